-- What status and report tell at once, however large the run is. A tally counts the calls of a step that may have been billed, first tries
-- and retries apart, kept in the transactions that store them; the indexes find what is rare among all units, claims and events.

CREATE TABLE tally (
    run INTEGER NOT NULL,
    step INTEGER NOT NULL,
    retry INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    PRIMARY KEY (run, step, retry)
) WITHOUT ROWID;

INSERT INTO tally (run, step, retry, calls, input_tokens, output_tokens, cost_nanos, unpriced)
SELECT run, step, n > 1, count(*), coalesce(sum(json_extract(usage, '$.input_total')), 0),
    coalesce(sum(json_extract(usage, '$.output_total')), 0), coalesce(sum(cost_nanos), 0), sum(cost_nanos IS NULL)
FROM attempt WHERE cost_source != 'none' OR usage IS NOT NULL OR cost_nanos IS NULL GROUP BY run, step, n > 1;

CREATE INDEX claim_chunk ON claim (chunk);
CREATE INDEX unit_failed ON unit (run, state, step, seq, reason) WHERE state = 4;
CREATE INDEX event_warning ON event (run, id) WHERE level = 'warning';
CREATE INDEX event_run_state ON event (run, id) WHERE what = 'run_state';
