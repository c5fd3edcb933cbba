-- What drivers keep beyond restarts (stentor.memory): read as a whole at the start, bounded for each channel.
--
-- Values may have 64 KiB, so the rows are not kept in the tree of their names. The rows of a channel that is configured
-- no longer stay: it may come back, and its driver would otherwise have to ask for what it cannot be told again.

CREATE TABLE driver_memory (
    channel TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (channel, name)
) STRICT;
