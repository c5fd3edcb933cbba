-- Version 6 of the journal: what a carrier counted for an attempt that it took, as JSON: segments, price_micros,
-- currency. NULL in every other line of the history.
ALTER TABLE history ADD COLUMN charge TEXT;
