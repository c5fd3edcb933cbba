-- Version 7 of the journal: what a receipt that waits for its message says the carrier counted, as in the history.
-- NULL where it does not say.
ALTER TABLE parked ADD COLUMN charge TEXT;
