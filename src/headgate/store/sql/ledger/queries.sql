-- name: insert_receipt
-- One receipt; a second one with the same id changes nothing.
INSERT INTO receipt (
    id, at, face, provider, account, model, model_answered, dialect_in, dialect_out, lane, stream, status, finish, error,
    input_uncached, cache_read, cache_write_5m, cache_write_1h, input_audio, input_image,
    output_text, output_reasoning, output_audio, output_image, usage_source,
    cost_nanos, price_rule, price_digest, run, step, unit, attempt, submission, request_id, duration, first_byte, detail
) VALUES (
    :id, :at, :face, :provider, :account, :model, :model_answered, :dialect_in, :dialect_out, :lane, :stream, :status, :finish, :error,
    :input_uncached, :cache_read, :cache_write_5m, :cache_write_1h, :input_audio, :input_image,
    :output_text, :output_reasoning, :output_audio, :output_image, :usage_source,
    :cost_nanos, :price_rule, :price_digest, :run, :step, :unit, :attempt, :submission, :request_id, :duration, :first_byte, :detail
) ON CONFLICT (id) DO NOTHING;

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
SELECT
    id, at, face, provider, account, model, model_answered, dialect_in, dialect_out, lane, stream, status, finish, error,
    input_uncached, cache_read, cache_write_5m, cache_write_1h, input_audio, input_image,
    output_text, output_reasoning, output_audio, output_image, usage_source,
    cost_nanos, price_rule, price_digest, run, step, unit, attempt, submission, request_id, duration, first_byte, detail
FROM receipt
WHERE id = :id;

-- name: receipts
-- The newest receipts first; `before_at` and `before_id` are those of the last one of the page before.
SELECT
    id, at, face, provider, account, model, model_answered, dialect_in, dialect_out, lane, stream, status, finish, error,
    input_uncached, cache_read, cache_write_5m, cache_write_1h, input_audio, input_image,
    output_text, output_reasoning, output_audio, output_image, usage_source,
    cost_nanos, price_rule, price_digest, run, step, unit, attempt, submission, request_id, duration, first_byte, detail
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
