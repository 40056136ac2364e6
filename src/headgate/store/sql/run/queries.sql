-- name: insert_run
INSERT INTO run (id, mark, pipeline, pipeline_digest, mode, state, created_at, seed, cost_cap_nanos, price_digest, engine_version, options)
VALUES (:id, :mark, :pipeline, :pipeline_digest, :mode, :state, :created_at, :seed, :cost_cap_nanos, :price_digest, :engine_version, :options);

-- name: insert_step
INSERT INTO step (run, idx, name, kind, lane, provider, account, model, price, overridden)
VALUES (:run, :idx, :name, :kind, :lane, :provider, :account, :model, :price, :overridden);

-- name: find_run
SELECT key, id, mark, pipeline, pipeline_digest, mode, state, created_at, finished_at, planned, total, seed, cost_cap_nanos, price_digest,
    engine_version, options, reason
FROM run WHERE id = :id OR :id IS NULL ORDER BY key LIMIT 1;

-- name: find_steps
SELECT idx, name, kind, lane, provider, account, model, price, overridden FROM step WHERE run = :run ORDER BY idx;

-- name: set_run_state
UPDATE run SET state = :state, reason = :reason, finished_at = :finished_at WHERE key = :run;

-- name: set_run_options
UPDATE run SET cost_cap_nanos = :cost_cap_nanos, engine_version = :engine_version WHERE key = :run;

-- name: set_planned
UPDATE run SET planned = :planned WHERE key = :run;

-- name: set_total
UPDATE run SET total = :total WHERE key = :run;

-- name: insert_event
INSERT INTO event (at, run, level, what, data) VALUES (:at, :run, :level, :what, :data);

-- name: last_events
SELECT id, at, level, what, data FROM event WHERE run = :run AND id > :after ORDER BY id DESC LIMIT :limit;

-- name: warnings
SELECT what, data FROM event WHERE run = :run AND id > :after AND level = 'warning' ORDER BY id;

-- name: make_segment
INSERT INTO segment (run, name) VALUES (:run, :name) ON CONFLICT (name) DO NOTHING;

-- name: find_segment
SELECT id, name, committed, rows FROM segment WHERE name = :name;

-- name: segment_by_id
SELECT id, name, committed, rows FROM segment WHERE id = :id;

-- name: insert_frame
INSERT INTO frame (segment, first_row, offset, length, rows) VALUES (:segment, :first_row, :offset, :length, :rows);

-- name: commit_segment
UPDATE segment SET committed = :committed, rows = :rows WHERE id = :segment;

-- name: find_frames
SELECT first_row, offset, length, rows FROM frame WHERE segment = :segment ORDER BY first_row;

-- name: frames_between
SELECT first_row, offset, length, rows FROM frame
WHERE segment = :segment AND first_row <= :high
    AND first_row >= coalesce((SELECT max(first_row) FROM frame WHERE segment = :segment AND first_row <= :low), 0)
ORDER BY first_row;

-- name: insert_chunk
INSERT INTO chunk (run, step, lane, state, round, parent, n, created_at, why)
VALUES (:run, :step, :lane, 'open', :round, :parent, :n, :created_at, :why);

-- name: move_chunk
UPDATE chunk SET lane = :lane, why = :why, state = 'open', epoch = epoch + 1 WHERE id = :id AND state IN ('open', 'built');

-- name: unsubmit_chunk
UPDATE chunk SET state = 'built' WHERE id = :id AND state = 'submitted';

-- name: set_chunk_why
UPDATE chunk SET why = :why WHERE id = :id;

-- name: set_lanes
UPDATE step SET lane = :lane WHERE run = :run AND kind = 'chunk';

-- name: set_mode
UPDATE run SET mode = :mode WHERE key = :run;

-- name: lane_reasons
SELECT id, why FROM chunk WHERE run = :run AND why IS NOT NULL ORDER BY id;

-- name: find_chunk
SELECT id, run, step, lane, state, round, parent, epoch, n, valid, failed, retry, cost_nanos, request_segment, why FROM chunk WHERE id = :id;

-- name: open_chunks
SELECT id, run, step, lane, state, round, parent, epoch, n, valid, failed, retry, cost_nanos, request_segment, why
FROM chunk WHERE run = :run AND state NOT IN ('done', 'split') ORDER BY id;

-- name: has_open_chunks
SELECT EXISTS (SELECT 1 FROM chunk WHERE run = :run AND state NOT IN ('done', 'split'));

-- name: set_chunk_state
UPDATE chunk SET state = :state WHERE id = :id;

-- name: set_chunk_built
UPDATE chunk SET state = 'built', request_segment = :segment WHERE id = :id AND state = 'open';

-- name: drop_frames
DELETE FROM frame WHERE segment = :segment;

-- name: set_chunk_epoch
UPDATE chunk SET epoch = :epoch WHERE id = :id;

-- name: finish_chunk
UPDATE chunk SET state = 'done', finished_at = :at, retry = retry + :retry, away = away + :away WHERE id = :id AND state != 'done';

-- name: split_chunk
UPDATE chunk SET state = 'split', finished_at = :at, n = valid + failed WHERE id = :id;

-- name: count_chunk
UPDATE chunk SET valid = valid + :valid, failed = failed + :failed, cost_nanos = cost_nanos + :cost_nanos WHERE id = :id;

-- name: insert_unit
INSERT INTO unit (run, step, seq, parent_seq, state, chunk, input_segment, input_row)
VALUES (:run, :step, :seq, :parent_seq, 0, :chunk, :input_segment, :input_row);

-- name: promote_units
INSERT INTO unit (run, step, seq, parent_seq, state, chunk, input_segment, input_row)
SELECT run, :next, seq, seq, 0, :child, segment, row FROM unit WHERE chunk = :chunk AND state = 3 ORDER BY seq
ON CONFLICT (run, step, seq) DO UPDATE SET state = 0, chunk = excluded.chunk, input_segment = excluded.input_segment, input_row = excluded.input_row
WHERE unit.state = 6;

-- name: next_seq
SELECT coalesce(max(seq) + 1, 0) FROM unit WHERE run = :run AND step = :step;

-- name: leave_step
UPDATE unit SET state = 6, tries = CASE WHEN :forget THEN 0 ELSE tries END, errors = 0 WHERE run = :run AND step = :step AND seq = :seq;

-- name: return_unit
UPDATE unit SET state = 0, chunk = :child, tries = 0, errors = 0, returns = returns + 1, segment = :segment, row = :row, reason = :reason
WHERE run = :run AND step = :step AND seq = :seq;

-- name: left_chunk
UPDATE chunk SET valid = valid - 1, away = away + 1
WHERE id = (SELECT chunk FROM unit WHERE run = :run AND step = :step AND seq = :seq);

-- name: finish_step
UPDATE step SET finished_at = :at WHERE run = :run AND idx = :step;

-- name: finished_steps
SELECT idx FROM step WHERE run = :run AND finished_at IS NOT NULL ORDER BY idx;

-- name: move_retries
UPDATE unit SET chunk = :child, state = 0 WHERE chunk = :chunk AND state = 2;

-- name: move_units
UPDATE unit SET chunk = :child WHERE chunk = :chunk AND seq BETWEEN :low AND :high AND state IN (0, 1, 2, 5);

-- name: units_of_chunk
SELECT seq, parent_seq, state, tries, errors, attempts, input_segment, input_row, segment, row, cost_nanos, reason, children, returns
FROM unit WHERE chunk = :chunk ORDER BY seq;

-- name: find_unit
SELECT seq, parent_seq, state, tries, errors, attempts, input_segment, input_row, segment, row, cost_nanos, reason, children, returns
FROM unit WHERE run = :run AND step = :step AND seq = :seq;

-- name: inputs_of_step
SELECT seq, input_segment, input_row FROM unit WHERE run = :run AND step = :step AND state != 6 ORDER BY seq;

-- name: parents
SELECT seq, parent_seq FROM unit WHERE run = :run AND step = :step;

-- name: mark_sent
UPDATE unit SET state = 1 WHERE chunk = :chunk AND state = 0;

-- name: mark_unsent
UPDATE unit SET state = 0 WHERE chunk = :chunk AND state = 1;

-- name: set_unit
UPDATE unit SET state = :state, tries = :tries, errors = :errors, attempts = :n, segment = coalesce(:segment, segment), row = coalesce(:row, row),
    cost_nanos = cost_nanos + coalesce(:cost_nanos, 0), reason = :reason, children = :children
WHERE run = :run AND step = :step AND seq = :seq AND attempts < :n;

-- name: insert_attempt
INSERT INTO attempt (run, step, seq, n, chunk, lane, outcome, reason, at, duration, request_id, upstream_id, model, usage, cost_nanos,
    cost_source, price_rule, submission, segment, row)
VALUES (:run, :step, :seq, :n, :chunk, :lane, :outcome, :reason, :at, :duration, :request_id, :upstream_id, :model, :usage, :cost_nanos,
    :cost_source, :price_rule, :submission, :segment, :row);

-- name: add_tally
INSERT INTO tally (run, step, retry, calls, input_tokens, output_tokens, cost_nanos, unpriced)
VALUES (:run, :step, :retry, :calls, :input_tokens, :output_tokens, :cost_nanos, :unpriced)
ON CONFLICT (run, step, retry) DO UPDATE SET calls = calls + excluded.calls, input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens, cost_nanos = cost_nanos + excluded.cost_nanos, unpriced = unpriced + excluded.unpriced;

-- name: insert_claim
INSERT INTO claim (run, step, seq, n, chunk, request_id, bound_nanos, at) VALUES (:run, :step, :seq, :n, :chunk, :request_id, :bound_nanos, :at);

-- name: end_claim
DELETE FROM claim WHERE run = :run AND step = :step AND seq = :seq AND n = :n;

-- name: orphan_claims
SELECT c.run, c.step, c.seq, c.n, c.chunk, c.request_id, c.bound_nanos, c.at FROM claim c
LEFT JOIN attempt a ON a.run = c.run AND a.step = c.step AND a.seq = c.seq AND a.n = c.n
WHERE c.run = :run AND a.n IS NULL ORDER BY c.step, c.seq, c.n;

-- name: open_bound
-- Chunks go first: a call without an answer belongs to a chunk that is still open, and there may be a million answered ones.
SELECT coalesce(sum(c.bound_nanos), 0) FROM chunk k CROSS JOIN claim c ON c.chunk = k.id
LEFT JOIN attempt a ON a.run = c.run AND a.step = c.step AND a.seq = c.seq AND a.n = c.n
WHERE k.run = :run AND k.state NOT IN ('done', 'split') AND a.n IS NULL;

-- name: true_up
UPDATE attempt SET cost_nanos = :cost_nanos, cost_source = 'invoice' WHERE run = :run AND request_id = :request_id AND cost_source = 'bound';

-- name: upper_bounds
SELECT a.step, a.seq, a.n, a.chunk, a.request_id, a.cost_nanos, a.lane, s.provider, s.account, s.model
FROM attempt a JOIN step s ON s.run = a.run AND s.idx = a.step
WHERE a.run = :run AND a.cost_source = 'bound' ORDER BY a.step, a.seq, a.n;

-- name: true_up_unit
UPDATE unit SET cost_nanos = cost_nanos + :delta WHERE run = :run AND step = :step AND seq = :seq;

-- name: true_up_tally
UPDATE tally SET cost_nanos = cost_nanos + :delta, unpriced = unpriced - :priced WHERE run = :run AND step = :step AND retry = :retry;

-- name: true_up_chunk
UPDATE chunk SET cost_nanos = cost_nanos + :delta WHERE id = :chunk;

-- name: some_attempts
SELECT step, seq, n, chunk, lane, outcome, reason, at, duration, request_id, upstream_id, model, usage, cost_nanos, cost_source, price_rule,
    submission, segment, row
FROM attempt WHERE run = :run AND (step, seq, n) > (:step, :seq, :n) ORDER BY step, seq, n LIMIT :limit;

-- name: insert_submission
INSERT INTO submission (key, run, chunk, n, provider, account, state, prefix, rows, reserved_nanos, intent_at)
VALUES (:key, :run, :chunk, :n, :provider, :account, 'intent', :prefix, :rows, :reserved_nanos, :intent_at);

-- name: last_submission
SELECT key, run, chunk, n, provider, account, state, prefix, rows, reserved_nanos, intent_at, submitted_at, batch_id, input_file, matched_by,
    status, raw_status, succeeded, failed, expires_at, polls, polled_at, refused, error
FROM submission WHERE chunk = :chunk ORDER BY n DESC LIMIT 1;

-- name: submissions_of_run
SELECT key, run, chunk, n, provider, account, state, prefix, rows, reserved_nanos, intent_at, submitted_at, batch_id, input_file, matched_by,
    status, raw_status, succeeded, failed, expires_at, polls, polled_at, refused, error
FROM submission WHERE run = :run ORDER BY intent_at, key;

-- name: under_way
SELECT count(*), max(polled_at),
    (SELECT raw_status FROM submission WHERE run = :run AND state = 'submitted' ORDER BY intent_at DESC, key DESC LIMIT 1)
FROM submission WHERE run = :run AND state = 'submitted';

-- name: claimed_batches
SELECT batch_id FROM submission WHERE provider = :provider AND account = :account AND batch_id IS NOT NULL;

-- name: submission_submitted
UPDATE submission SET state = 'submitted', submitted_at = :at, batch_id = :batch_id, input_file = :input_file, matched_by = :matched_by
WHERE key = :key AND state = 'intent';

-- name: submission_refused
UPDATE submission SET state = 'refused', error = :error WHERE key = :key AND state = 'intent';

-- name: submission_set_back
UPDATE submission SET state = 'refused', error = :error WHERE key = :key AND state = 'ended';

-- name: submission_polled
UPDATE submission SET status = :status, raw_status = :raw_status, succeeded = :succeeded, failed = :failed, expires_at = :expires_at,
    polls = polls + 1, polled_at = :at
WHERE key = :key;

-- name: submission_state
UPDATE submission SET state = :state, error = coalesce(:error, error) WHERE key = :key AND state IN ('submitted', 'ended', 'lost');

-- name: submission_disowned
UPDATE submission SET state = 'intent', batch_id = NULL, input_file = NULL, matched_by = NULL, submitted_at = NULL, error = :error
WHERE key = :key AND state IN ('submitted', 'ended') AND matched_by = 'window';

-- name: use_reservation
UPDATE submission SET reserved_nanos = max(0, reserved_nanos - :nanos) WHERE key = :key AND reserved_nanos IS NOT NULL;

-- name: open_reservations
SELECT coalesce(sum(reserved_nanos), 0) FROM submission WHERE run = :run AND state IN ('intent', 'submitted', 'ended', 'lost');

-- name: insert_outbox
INSERT INTO outbox (key, run, chunk, lane, provider, account, model, calls, usage, cost_nanos, unpriced, at)
VALUES (:key, :run, :chunk, :lane, :provider, :account, :model, :calls, :usage, :cost_nanos, :unpriced, :at);

-- name: open_outbox
SELECT key, run, chunk, lane, provider, account, model, calls, usage, cost_nanos, unpriced, at FROM outbox WHERE settled_at IS NULL ORDER BY at, key;

-- name: settle_outbox
UPDATE outbox SET settled_at = :at WHERE key = :key AND settled_at IS NULL;

-- name: step_totals
SELECT s.idx, s.name, s.kind, s.lane, s.provider, s.model,
    coalesce(sum(c.n - c.retry - c.away), 0), coalesce(sum(c.valid), 0), coalesce(sum(c.failed), 0),
    coalesce(sum(c.cost_nanos), 0), count(c.id), coalesce(sum(c.state NOT IN ('done', 'split')), 0), coalesce(sum(c.retry), 0),
    (SELECT coalesce(sum(t.unpriced), 0) FROM tally t WHERE t.run = s.run AND t.step = s.idx)
FROM step s LEFT JOIN chunk c ON c.run = s.run AND c.step = s.idx
WHERE s.run = :run GROUP BY s.idx ORDER BY s.idx;

-- name: unit_counts
SELECT step, state, count(*), sum(coalesce(children, 1)) FROM unit WHERE run = :run AND state != 6 GROUP BY step, state ORDER BY step, state;

-- name: failures
SELECT u.step, u.seq, u.reason, u.tries, u.attempts, u.segment, u.row, u.input_segment, u.input_row
FROM unit u INDEXED BY unit_failed WHERE u.run = :run AND u.state = 4 AND (u.step, u.seq) > (:step, :after) ORDER BY u.step, u.seq LIMIT :limit;

-- name: valid_units
SELECT seq, segment, row, children FROM unit WHERE run = :run AND step = :step AND seq > :after AND state = 3 ORDER BY seq LIMIT :limit;

-- name: unanswered
SELECT seq FROM unit WHERE chunk = :chunk AND state IN (0, 1);

-- What is read by those who only look

-- name: read_tallies
SELECT step, retry, calls, input_tokens, output_tokens, cost_nanos, unpriced FROM tally WHERE run = :run ORDER BY step, retry;

-- name: open_calls
SELECT count(*) FROM chunk k CROSS JOIN claim c ON c.chunk = k.id
LEFT JOIN attempt a ON a.run = c.run AND a.step = c.step AND a.seq = c.seq AND a.n = c.n
WHERE k.run = :run AND k.state NOT IN ('done', 'split') AND a.n IS NULL;

-- name: failed_by_reason
SELECT step, reason, count(*) FROM unit INDEXED BY unit_failed WHERE run = :run AND state = 4 GROUP BY step, reason ORDER BY step, count(*) DESC, reason;

-- name: chunks_by_state
SELECT step, state, count(*) FROM chunk WHERE run = :run GROUP BY step, state ORDER BY step, state;

-- name: listed_chunks
SELECT id, run, step, lane, state, round, parent, epoch, n, valid, failed, retry, cost_nanos, request_segment, why
FROM chunk WHERE run = :run ORDER BY id LIMIT :limit;

-- name: submissions_by_state
SELECT state, count(*), sum(rows) FROM submission WHERE run = :run GROUP BY state ORDER BY state;

-- name: newest_submissions
SELECT key, run, chunk, n, provider, account, state, prefix, rows, reserved_nanos, intent_at, submitted_at, batch_id, input_file, matched_by,
    status, raw_status, succeeded, failed, expires_at, polls, polled_at, refused, error
FROM submission WHERE run = :run ORDER BY state IN ('collected', 'refused'), intent_at DESC, key DESC LIMIT :limit;

-- name: run_states
SELECT id, at, json_extract(data, '$.state') FROM event WHERE run = :run AND what = 'run_state' ORDER BY id;

-- name: event_before
SELECT at FROM event WHERE run = :run AND id < :id ORDER BY id DESC LIMIT 1;

-- name: warnings_by_kind
SELECT what, count(*) FROM event WHERE run = :run AND level = 'warning' GROUP BY what ORDER BY what;

-- name: some_units
SELECT seq, parent_seq, state, tries, errors, attempts, input_segment, input_row, segment, row, cost_nanos, reason, children, returns
FROM unit WHERE run = :run AND step = :step AND seq > :after ORDER BY seq LIMIT :limit;
-- name: unpriced_units
SELECT DISTINCT seq FROM attempt WHERE run = :run AND step = :step AND seq BETWEEN :first AND :last AND cost_nanos IS NULL;

-- name: lessons
SELECT s.name, s.provider, s.model, count(*),
    sum(json_extract(a.usage, '$.input_total')), sum(json_extract(a.usage, '$.input_total') * json_extract(a.usage, '$.input_total')),
    sum(json_extract(a.usage, '$.output_total')), sum(json_extract(a.usage, '$.output_total') * json_extract(a.usage, '$.output_total')),
    coalesce(sum(CASE WHEN a.lane = 'realtime' THEN a.duration END), 0.0), coalesce(sum(a.lane = 'realtime' AND a.duration IS NOT NULL), 0)
FROM attempt a JOIN step s ON s.run = a.run AND s.idx = a.step
WHERE a.run = :run AND a.usage IS NOT NULL AND a.cost_source = 'usage' GROUP BY s.idx ORDER BY s.idx;
