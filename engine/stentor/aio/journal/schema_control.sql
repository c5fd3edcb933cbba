-- Batches, strands and order: what lets part of a queue wait without the rest of it.
--
-- A strand divides a queue by what its messages may wait for (stentor.pacing.strands): each is read by itself, so what waits
-- for a rate limit in one does not stand before what may go in another. Strand -1 holds what is held back.

ALTER TABLE message ADD COLUMN batch TEXT;
ALTER TABLE message ADD COLUMN strand INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN is_ordered INTEGER NOT NULL DEFAULT 0;

DROP INDEX message_backlog;
CREATE INDEX message_backlog ON message (route, priority, strand, due_at_ms, key, expires_at_ms, status)
    WHERE status = 1;
CREATE INDEX message_batch ON message (account, batch, status, strand, key) WHERE batch IS NOT NULL;
