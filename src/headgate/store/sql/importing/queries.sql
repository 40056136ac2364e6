-- Writing a run whole that happened elsewhere. States of units: 0 todo, 3 valid, 4 failed.

-- name: put_unit
INSERT INTO unit (run, step, seq, parent_seq, state, tries, errors, attempts, chunk, input_segment, input_row, segment, row, reason, children)
VALUES (:run, :step, :seq, :parent_seq, :state, :tries, :errors, :attempts, :chunk, :input_segment, :input_row, :segment, :row, :reason, :children);

-- name: put_chunk
INSERT INTO chunk (id, run, step, lane, state, round, n, valid, failed, created_at, finished_at)
VALUES (:id, :run, :step, :lane, :state, :round, :n, :valid, :failed, :created_at, :finished_at);

-- name: put_end
UPDATE run SET state = :state, reason = :reason, finished_at = :finished_at, planned = :total, total = :total WHERE key = :run;
