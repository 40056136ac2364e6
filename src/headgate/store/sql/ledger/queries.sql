-- name: append_receipt
-- The next receipt of the chain; its parameters are those of `rows.receipt_row` after number and hash.
INSERT INTO receipt (
    seq, hash, id, at, face, provider, account, model, lane, status, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
    cost_nanos, key_id, team, user_name, tenant, run, submission, detail
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: receipt_exists
SELECT 1 FROM receipt WHERE id = :id;

-- name: chain_head
SELECT seq, hash FROM chain WHERE name = 'receipt';

-- name: move_head
UPDATE chain SET seq = :seq, hash = :hash WHERE name = 'receipt';

-- name: insert_settlement
-- A submission settled; a second time changes nothing.
INSERT INTO settlement (
    key, at, face, run, provider, account, model, lane, calls,
    input_uncached, cache_read, cache_write_5m, cache_write_1h, input_audio, input_image,
    output_text, output_reasoning, output_audio, output_image, cost_nanos, unpriced
) VALUES (
    :key, :at, :face, :run, :provider, :account, :model, :lane, :calls,
    :input_uncached, :cache_read, :cache_write_5m, :cache_write_1h, :input_audio, :input_image,
    :output_text, :output_reasoning, :output_audio, :output_image, :cost_nanos, :unpriced
) ON CONFLICT (key) DO NOTHING;

-- name: receipt_by_id
SELECT at, detail FROM receipt WHERE id = :id;

-- name: receipts
-- The newest receipts first; `before_at` and `before_id` are those of the last one of the page before.
SELECT at, detail
FROM receipt
WHERE
    (CAST(:since AS DOUBLE PRECISION) IS NULL OR at >= :since)
    AND (CAST(:until AS DOUBLE PRECISION) IS NULL OR at < :until)
    AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
    AND (CAST(:model AS TEXT) IS NULL OR model = :model)
    AND (CAST(:face AS TEXT) IS NULL OR face = :face)
    AND (CAST(:lane AS TEXT) IS NULL OR lane = :lane)
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:run AS TEXT) IS NULL OR run = :run)
    AND (CAST(:submission AS TEXT) IS NULL OR submission = :submission)
    AND (CAST(:before_at AS DOUBLE PRECISION) IS NULL OR (at, id) < (:before_at, :before_id))
ORDER BY at DESC, id DESC
LIMIT :limit;

-- name: totals
-- What was spent, by provider, account, model and lane.
SELECT
    provider, account, model, lane,
    sum(calls) AS calls,
    sum(input_tokens) AS input_tokens,
    sum(cached_tokens) AS cached_tokens,
    sum(output_tokens) AS output_tokens,
    sum(reasoning_tokens) AS reasoning_tokens,
    sum(cost_nanos) AS cost_nanos,
    sum(unpriced) AS unpriced
FROM spent
WHERE
    (CAST(:since AS DOUBLE PRECISION) IS NULL OR at >= :since)
    AND (CAST(:until AS DOUBLE PRECISION) IS NULL OR at < :until)
    AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
    AND (CAST(:model AS TEXT) IS NULL OR model = :model)
    AND (CAST(:face AS TEXT) IS NULL OR face = :face)
    AND (CAST(:lane AS TEXT) IS NULL OR lane = :lane)
    AND (CAST(:run AS TEXT) IS NULL OR run = :run)
GROUP BY provider, account, model, lane
ORDER BY provider, account, model, lane;

-- name: settled
SELECT 1 FROM settlement WHERE key = :key;
