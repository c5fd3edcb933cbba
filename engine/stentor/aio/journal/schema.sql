-- Version 1 of the journal. Later versions are steps in migrate.py; this file is never edited again.
--
-- Text, numbers and what billing needs are kept apart: the text in `body`, the numbers in columns of their own, so
-- that each can be sealed or erased without the rest. Keys are ordered by time (stentor.ids): what is new is
-- appended at the end of each tree, and a message's segments stand side by side. A queue, what is due and what
-- awaits a receipt are partial indexes: they hold what is still open and stay small.

CREATE TABLE message (
    key             INTEGER PRIMARY KEY,
    tail            INTEGER NOT NULL,
    account         TEXT    NOT NULL,
    direction       INTEGER NOT NULL,
    status          INTEGER NOT NULL,
    priority        INTEGER NOT NULL,
    route           TEXT    NOT NULL,  -- JSON array of channel names, in order of preference
    channel         TEXT    NOT NULL,
    encoding        TEXT    NOT NULL,
    segments        INTEGER NOT NULL,
    delivery        INTEGER NOT NULL,
    wants_receipt   INTEGER NOT NULL,
    flash           INTEGER NOT NULL,
    reference       INTEGER NOT NULL,
    submitted_at_ms INTEGER NOT NULL,
    send_at_ms      INTEGER NOT NULL,
    due_at_ms       INTEGER NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    sent_at_ms      INTEGER NOT NULL,
    final_at_ms     INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    error           TEXT,              -- JSON object: code, carrier_code, detail
    ref             TEXT,
    destination     TEXT,              -- NULL once erased
    originator      TEXT
) STRICT;

-- The status numbers are those of stentor.message.Status.
CREATE INDEX message_backlog ON message (route, priority, due_at_ms, key, expires_at_ms, status) WHERE status = 1;
CREATE INDEX message_scheduled ON message (due_at_ms, key, expires_at_ms, status) WHERE status = 0;
CREATE INDEX message_leased ON message (status) WHERE status = 2;
CREATE INDEX message_unanswered ON message (sent_at_ms) WHERE status = 3 AND final_at_ms = 0;
CREATE INDEX message_ended ON message (account, status) WHERE status >= 5;

-- Where messages stand by destination (kind 1) and by ref (kind 2): see lookup.py.
CREATE TABLE lookup (
    block INTEGER NOT NULL,            -- the last key of a block of messages
    kind  INTEGER NOT NULL,
    word  TEXT    NOT NULL,
    key   INTEGER NOT NULL,
    PRIMARY KEY (block, kind, word, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE body (
    key      INTEGER PRIMARY KEY,      -- the message's
    text     TEXT,
    data     BLOB,
    udh      BLOB,
    metadata BLOB
) STRICT;

CREATE TABLE segment (
    key         INTEGER PRIMARY KEY,   -- the message's key + the segment's index
    status      INTEGER NOT NULL,
    channel     TEXT    NOT NULL,
    carrier_id  TEXT,
    match_id    TEXT,                  -- while a receipt is awaited
    sent_at_ms  INTEGER NOT NULL,
    final_at_ms INTEGER NOT NULL,
    error       TEXT
) STRICT;

CREATE INDEX segment_awaited ON segment (channel, match_id) WHERE match_id IS NOT NULL;

CREATE TABLE history (
    key     INTEGER NOT NULL,          -- the message's
    at_ms   INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status  INTEGER NOT NULL,
    channel TEXT    NOT NULL,
    error   TEXT,
    PRIMARY KEY (key, at_ms, segment, attempt, status)
) STRICT, WITHOUT ROWID;

-- One row a commit: events are many, written in order and read in order.
CREATE TABLE event (
    last_seq  INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,        -- of the last
    block     BLOB    NOT NULL         -- MessagePack: array of [seq, kind, at_ms, account, key, channel, detail]
) STRICT;

CREATE TABLE parked (
    family     TEXT    NOT NULL,
    match_id   TEXT    NOT NULL,
    status     INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    error      TEXT,
    done_at_ms INTEGER NOT NULL,
    PRIMARY KEY (family, match_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    id      INTEGER PRIMARY KEY,       -- in order of arrival, so that the oldest are found without an index on time
    account TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    line    INTEGER NOT NULL,
    digest  BLOB    NOT NULL,
    at_ms   INTEGER NOT NULL,
    answer  BLOB    NOT NULL,
    UNIQUE (account, key, line)
) STRICT;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
