-- Units may become several, one or none at the next step (`children`, NULL: one), and may be sent back to an earlier one (`returns`: how
-- often). A chunk's `away` counts the units that left it backwards, `retry` those that went on into a chunk of further tries, so that
-- n - retry - away is what is in it now. `why` says why it is in another lane than the run's mode.

ALTER TABLE unit ADD COLUMN children INTEGER;
ALTER TABLE unit ADD COLUMN returns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunk ADD COLUMN away INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunk ADD COLUMN why TEXT;
ALTER TABLE step ADD COLUMN finished_at REAL;

UPDATE chunk SET n = valid + failed WHERE state = 'split';

-- The law of conservation, held by the database itself: nothing is decided that was not started, and a closed chunk has decided everything.
CREATE TRIGGER chunk_law AFTER UPDATE ON chunk
WHEN new.valid < 0 OR new.failed < 0 OR new.retry < 0 OR new.away < 0 OR new.valid + new.failed + new.retry + new.away > new.n
    OR (new.state = 'done' AND new.valid + new.failed + new.retry + new.away != new.n)
BEGIN
    SELECT raise(ABORT, 'a chunk would have decided more or fewer units than it holds');
END;
