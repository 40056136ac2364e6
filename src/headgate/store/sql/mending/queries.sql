-- Finding what is wrong in a run's database, and mending it. States of units: 0 todo, 1 sent, 2 retry, 3 valid, 4 failed, 5 back, 6 away.

-- name: unit_states
SELECT step, state, count(*) FROM unit WHERE run = :run GROUP BY step, state;

-- name: first_units
SELECT seq FROM unit WHERE run = :run AND step = 0 AND parent_seq IS NULL AND state != 6 ORDER BY seq;

-- name: planned_units
SELECT planned, coalesce(total, planned) FROM run WHERE key = :run;

-- name: expected_children
-- What of each step has to be at the next one: its valid units whose chunk is closed, each with as many units as it became.
SELECT u.step, coalesce(sum(coalesce(u.children, 1)), 0) FROM unit u LEFT JOIN chunk k ON k.id = u.chunk
WHERE u.run = :run AND u.state = 3 AND u.step < :last AND coalesce(k.state, 'done') IN ('done', 'split') GROUP BY u.step;

-- name: wrong_children
SELECT u.step, u.seq, u.children, u.segment, u.row, u.input_segment, u.input_row, u.chunk, count(c.seq)
FROM unit u LEFT JOIN chunk k ON k.id = u.chunk
LEFT JOIN unit c ON c.run = u.run AND c.step = u.step + 1 AND c.parent_seq = u.seq AND c.state != 6
WHERE u.run = :run AND u.state = 3 AND u.step < :last AND coalesce(k.state, 'done') IN ('done', 'split')
GROUP BY u.step, u.seq HAVING count(c.seq) != coalesce(u.children, 1) ORDER BY u.step, u.seq;

-- name: orphans
SELECT c.step, c.seq, c.input_segment, c.input_row FROM unit c
LEFT JOIN unit u ON u.run = c.run AND u.step = c.step - 1 AND u.seq = c.parent_seq AND u.state = 3
WHERE c.run = :run AND c.step > 0 AND c.state != 6 AND u.seq IS NULL ORDER BY c.step, c.seq;

-- name: children_of
SELECT seq FROM unit WHERE run = :run AND step = :step AND parent_seq = :seq AND state != 6 ORDER BY seq;

-- name: stranded
-- Undecided units in a chunk that nobody will look at again.
SELECT u.step, u.seq, u.input_segment, u.input_row, u.chunk FROM unit u LEFT JOIN chunk k ON k.id = u.chunk
WHERE u.run = :run AND u.state IN (0, 1, 2, 5) AND coalesce(k.state, 'done') IN ('done', 'split') ORDER BY u.step, u.seq;

-- name: chunk_counts
SELECT k.id, k.step, k.state, k.round, k.n - k.retry - k.away, k.valid, k.failed, k.cost_nanos, coalesce(u.valid, 0), coalesce(u.failed, 0),
    coalesce(a.cost_nanos, 0)
FROM chunk k
LEFT JOIN (SELECT chunk, sum(state = 3) AS valid, sum(state = 4) AS failed FROM unit WHERE run = :run GROUP BY chunk) u ON u.chunk = k.id
LEFT JOIN (SELECT chunk, sum(cost_nanos) AS cost_nanos FROM attempt WHERE run = :run GROUP BY chunk) a ON a.chunk = k.id
WHERE k.run = :run ORDER BY k.id;

-- name: wrong_units
-- Units whose cost or number of attempts is not what their attempts say.
SELECT u.step, u.seq, u.cost_nanos, coalesce(a.cost_nanos, 0), u.attempts, coalesce(a.n, 0) FROM unit u
LEFT JOIN (SELECT step, seq, sum(cost_nanos) AS cost_nanos, max(n) AS n FROM attempt WHERE run = :run GROUP BY step, seq) a
    ON a.step = u.step AND a.seq = u.seq
WHERE u.run = :run AND (u.cost_nanos != coalesce(a.cost_nanos, 0) OR u.attempts != coalesce(a.n, 0)) ORDER BY u.step, u.seq;

-- name: without_result
SELECT step, seq, input_segment, input_row FROM unit WHERE run = :run AND state = 3 AND (segment IS NULL OR row IS NULL) ORDER BY step, seq;

-- name: money
SELECT (SELECT coalesce(sum(cost_nanos), 0) FROM attempt WHERE run = :run), (SELECT coalesce(sum(cost_nanos), 0) FROM outbox WHERE run = :run),
    (SELECT count(*) FROM outbox WHERE run = :run AND settled_at IS NULL);

-- name: endless_submissions
SELECT s.key, s.state FROM submission s LEFT JOIN chunk k ON k.id = s.chunk
WHERE s.run = :run AND s.state NOT IN ('collected', 'refused') AND coalesce(k.state, 'done') IN ('done', 'split')
    AND NOT (s.state = 'lost' AND EXISTS (SELECT 1 FROM submission t WHERE t.chunk = s.chunk AND t.n > s.n)) ORDER BY s.key;

-- name: lost_claims
SELECT count(*) FROM claim c LEFT JOIN attempt a ON a.run = c.run AND a.step = c.step AND a.seq = c.seq AND a.n = c.n
WHERE c.run = :run AND a.n IS NULL;

-- name: segments
SELECT id, name, committed, rows FROM segment WHERE run = :run ORDER BY id;

-- name: frames
SELECT segment, first_row, offset, length, rows FROM frame WHERE segment IN (SELECT id FROM segment WHERE run = :run)
ORDER BY segment, first_row;

-- name: places
-- Every place in a segment that something of the run points to.
SELECT segment, row FROM (
    SELECT input_segment AS segment, input_row AS row FROM unit WHERE run = :run AND state != 6
    UNION SELECT segment, row FROM unit WHERE run = :run AND state != 6 AND segment IS NOT NULL
    UNION SELECT segment, row FROM attempt WHERE run = :run AND segment IS NOT NULL
) ORDER BY segment, row;

-- name: request_chunks
SELECT id, state, request_segment FROM chunk WHERE run = :run AND request_segment IS NOT NULL AND state NOT IN ('done', 'split');

-- name: failed_units
SELECT step, seq, reason, chunk, tries, errors, attempts, input_segment, input_row, segment, row FROM unit
WHERE run = :run AND state = 4 ORDER BY step, seq;

-- name: put_back
-- A unit gets new tries in another chunk. What it cost and how often it was asked stays.
UPDATE unit SET state = 0, chunk = :chunk, tries = 0, errors = 0, returns = 0 WHERE run = :run AND step = :step AND seq = :seq;

-- name: move_to
UPDATE unit SET chunk = :chunk WHERE run = :run AND step = :step AND seq = :seq;

-- name: forget_result
UPDATE unit SET segment = NULL, row = NULL, reason = NULL, children = NULL WHERE run = :run AND step = :step AND seq = :seq;

-- name: set_aside
UPDATE unit SET state = 6 WHERE run = :run AND step = :step AND seq = :seq;

-- name: restore_unit
-- A unit of the step after its parent's, made anew; what attempts of it there were stay its own.
INSERT INTO unit (run, step, seq, parent_seq, state, chunk, input_segment, input_row, segment, row, attempts, cost_nanos)
VALUES (:run, :step, :seq, :parent_seq, :state, :chunk, :input_segment, :input_row, :segment, :row, :attempts, :cost_nanos)
ON CONFLICT (run, step, seq) DO UPDATE SET state = excluded.state, chunk = excluded.chunk, parent_seq = excluded.parent_seq,
    input_segment = excluded.input_segment, input_row = excluded.input_row, segment = excluded.segment, row = excluded.row,
    attempts = excluded.attempts, cost_nanos = excluded.cost_nanos, tries = 0, errors = 0, reason = NULL
WHERE unit.state = 6;

-- name: past_of_unit
SELECT coalesce(max(n), 0), coalesce(sum(cost_nanos), 0) FROM attempt WHERE run = :run AND step = :step AND seq = :seq;

-- name: last_attempt
SELECT outcome, segment, row FROM attempt WHERE run = :run AND step = :step AND seq = :seq ORDER BY n DESC LIMIT 1;

-- name: uncount_failed
UPDATE chunk SET failed = failed - :count, retry = retry + :count WHERE id = :id;

-- name: insert_chunk
INSERT INTO chunk (run, step, lane, state, round, parent, n, valid, created_at)
VALUES (:run, :step, :lane, 'open', :round, :parent, :n, :valid, :at);

-- name: drop_frame
DELETE FROM frame WHERE segment = :segment AND first_row = :first_row;

-- name: shorten_segment
UPDATE segment SET committed = :committed WHERE id = :segment;

-- name: units_at
-- Units whose result lies in some rows of a segment.
SELECT step, seq, state, chunk FROM unit WHERE run = :run AND segment = :segment AND row BETWEEN :low AND :high AND state IN (3, 4)
ORDER BY step, seq;

-- name: inputs_at
SELECT step, seq FROM unit WHERE run = :run AND input_segment = :segment AND input_row BETWEEN :low AND :high AND state != 6 ORDER BY step, seq;

-- name: set_input
UPDATE unit SET input_segment = :segment, input_row = :row WHERE run = :run AND step = :step AND seq = :seq;

-- name: forget_attempts
UPDATE attempt SET segment = NULL, row = NULL WHERE run = :run AND segment = :segment AND row BETWEEN :low AND :high;

-- name: rebuild_chunk
UPDATE chunk SET state = 'open', request_segment = NULL WHERE id = :id AND state = 'built';

-- name: rename_run
UPDATE run SET id = :id WHERE key = :run;

-- name: new_events
SELECT id, at, level, what, data FROM event WHERE run = :run AND id > :after ORDER BY id LIMIT :limit;

-- name: last_event
SELECT coalesce(max(id), 0) FROM event WHERE run = :run;

-- name: chunk_round
SELECT round FROM chunk WHERE id = :id;

-- name: set_state
UPDATE run SET state = :state, reason = :reason, finished_at = NULL WHERE key = :run;

-- name: reopen_steps
UPDATE step SET finished_at = NULL WHERE run = :run AND kind = 'run';

-- name: insert_event
INSERT INTO event (at, run, level, what, data) VALUES (:at, :run, :level, :what, :data);

-- name: lineage
-- A unit with its parent's state, result and chunk.
SELECT u.parent_seq, p.state, p.segment, p.row, coalesce(k.state, 'done') FROM unit u
LEFT JOIN unit p ON p.run = u.run AND p.step = u.step - 1 AND p.seq = u.parent_seq
LEFT JOIN chunk k ON k.id = p.chunk
WHERE u.run = :run AND u.step = :step AND u.seq = :seq;

-- name: revive
UPDATE unit SET state = 3, segment = :segment, row = :row, reason = NULL WHERE run = :run AND step = :step AND seq = :seq;

-- name: rescue
UPDATE unit SET state = 0, chunk = :chunk WHERE run = :run AND step = :step AND seq = :seq;

-- name: forget_answer
UPDATE unit SET segment = NULL, row = NULL WHERE run = :run AND step = :step AND seq = :seq;

-- name: restore_chunks
-- Chunks that units are in and that are not there.
INSERT INTO chunk (id, run, step, lane, state, round, n, created_at)
SELECT DISTINCT u.chunk, u.run, u.step, s.lane, 'done', 1, 0, :at FROM unit u JOIN step s ON s.run = u.run AND s.idx = u.step
WHERE u.run = :run AND u.chunk NOT IN (SELECT id FROM chunk) GROUP BY u.chunk;

-- name: recount_chunks
-- What is in a chunk now, and what went on from it or back before.
UPDATE chunk SET n = t.units + retry + away, valid = t.valid, failed = t.failed, cost_nanos = t.cost_nanos FROM (
    SELECT k.id, coalesce(u.units, 0) AS units, coalesce(u.valid, 0) AS valid, coalesce(u.failed, 0) AS failed,
        coalesce(a.cost_nanos, 0) AS cost_nanos
    FROM chunk k
    LEFT JOIN (
        SELECT chunk, sum(state != 6) AS units, sum(state = 3) AS valid, sum(state = 4) AS failed FROM unit WHERE run = :run GROUP BY chunk
    ) u ON u.chunk = k.id
    LEFT JOIN (SELECT chunk, sum(cost_nanos) AS cost_nanos FROM attempt WHERE run = :run GROUP BY chunk) a ON a.chunk = k.id
    WHERE k.run = :run
) t WHERE chunk.id = t.id;

-- name: lift_law
DROP TRIGGER IF EXISTS chunk_law;

-- name: close_chunk
UPDATE chunk SET state = 'done', finished_at = :at WHERE id = :id;

-- name: recount_units
UPDATE unit SET
    cost_nanos = (SELECT coalesce(sum(a.cost_nanos), 0) FROM attempt a WHERE a.run = unit.run AND a.step = unit.step AND a.seq = unit.seq),
    attempts = (SELECT coalesce(max(a.n), 0) FROM attempt a WHERE a.run = unit.run AND a.step = unit.step AND a.seq = unit.seq)
WHERE run = :run;

-- name: pending
SELECT count(*) FROM unit WHERE run = :run AND state IN (0, 1, 2, 5);

-- name: open
SELECT count(*) FROM chunk WHERE run = :run AND state NOT IN ('done', 'split');

-- name: keep_traces
-- Units that are not there and were asked once: set aside, so that their attempts go on being counted when they come again.
INSERT INTO unit (run, step, seq, parent_seq, state, chunk, input_segment, input_row, attempts, cost_nanos)
SELECT a.run, a.step, a.seq, a.seq, 6, max(a.chunk), 0, 0, max(a.n), coalesce(sum(a.cost_nanos), 0) FROM attempt a
LEFT JOIN unit u ON u.run = a.run AND u.step = a.step AND u.seq = a.seq
WHERE a.run = :run AND u.seq IS NULL GROUP BY a.run, a.step, a.seq;
