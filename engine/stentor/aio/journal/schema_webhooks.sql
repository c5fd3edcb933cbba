-- Outgoing webhooks: what they are, how far each is, what waits to be tried again, and the log of attempts.
--
-- What a webhook has not been told yet stands in `event` and nowhere else: its cursor is all that a webhook costs that
-- cannot be reached, and what failed is kept with its event, which may outlive its row there.

ALTER TABLE body ADD COLUMN callback TEXT;   -- where the message's client wants its events

CREATE TABLE webhook (
    key               INTEGER PRIMARY KEY,
    tail              INTEGER NOT NULL,
    account           TEXT    NOT NULL,
    url               TEXT    NOT NULL,
    created_at_ms     INTEGER NOT NULL,
    events            TEXT    NOT NULL,      -- JSON array of types, or groups of them
    channels          TEXT    NOT NULL,      -- JSON array of names; empty: all
    fields            TEXT    NOT NULL,      -- JSON array of [name, value] that are sent along; secret
    secret            BLOB    NOT NULL,
    previous_secret   BLOB    NOT NULL,
    previous_until_ms INTEGER NOT NULL,
    is_enabled        INTEGER NOT NULL,
    reason            TEXT    NOT NULL,      -- why it was disabled by itself
    is_callback       INTEGER NOT NULL
) STRICT;

CREATE TABLE webhook_progress (
    webhook          INTEGER PRIMARY KEY,
    seq              INTEGER NOT NULL,       -- all up to this event is delivered, given up or waits below
    failing_since_ms INTEGER NOT NULL,
    delivered_at_ms  INTEGER NOT NULL,
    replay_seq       INTEGER NOT NULL,
    replay_end_seq   INTEGER NOT NULL,
    replay_since_ms  INTEGER NOT NULL,
    replay_until_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE webhook_waiting (
    webhook   INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    event     BLOB    NOT NULL,              -- MessagePack, as in `event`
    attempts  INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    since_ms  INTEGER NOT NULL,
    PRIMARY KEY (webhook, seq)
) STRICT, WITHOUT ROWID;

-- Rings: a block replaces the one that stood in its slot.
CREATE TABLE webhook_attempt (
    webhook      INTEGER NOT NULL,
    ring         INTEGER NOT NULL,           -- 0: delivered, 1: failed
    slot         INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    last_attempt INTEGER NOT NULL,
    at_ms        INTEGER NOT NULL,           -- of the last
    block        BLOB    NOT NULL,           -- MessagePack: array of attempts
    UNIQUE (webhook, ring, slot)
) STRICT;

CREATE INDEX webhook_attempt_age ON webhook_attempt (at_ms);
