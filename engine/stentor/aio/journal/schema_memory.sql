-- What drivers keep beyond restarts (stentor.dispatch.memory): read as a whole at the start, bounded for each channel.
--
-- Values may have 64 KiB, so the rows are not kept in the tree of their names. A channel's rows are kept when
-- it leaves the configuration: it may come back, and its driver cannot ask again for what it knew.

CREATE TABLE driver_memory (
    channel TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (channel, name)
) STRICT;
