-- name: receipt
-- One receipt, for whoever may see it.
SELECT detail
FROM receipt
WHERE id = :id AND (:everything = 1 OR coalesce(tenant, 'key:') = :tenant);

-- name: receipts
-- The newest first, from the moment `ceiling` down; of that moment itself only those before `before_id`.
SELECT detail
FROM receipt
WHERE
    at >= :since
    AND at <= :ceiling
    AND NOT (at = :ceiling AND id >= :before_id)
    AND (:everything = 1 OR coalesce(tenant, 'key:') = :tenant)
    AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
    AND (CAST(:account AS TEXT) IS NULL OR account = :account)
    AND (CAST(:model AS TEXT) IS NULL OR model = :model)
    AND (CAST(:face AS TEXT) IS NULL OR face = :face)
    AND (CAST(:lane AS TEXT) IS NULL OR lane = :lane)
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:run AS TEXT) IS NULL OR run = :run)
    AND (CAST(:submission AS TEXT) IS NULL OR submission = :submission)
    AND (CAST(:key AS TEXT) IS NULL OR key_id = :key)
    AND (CAST(:team AS TEXT) IS NULL OR team = :team)
    AND (CAST(:user AS TEXT) IS NULL OR user_name = :user)
ORDER BY at DESC, id DESC
LIMIT :limit;

-- name: ids_like
-- Receipts whose id begins like this, for people who do not type all of it; `next_id` is the first text that does not.
SELECT id FROM receipt WHERE id >= :id AND id < :next_id ORDER BY id LIMIT 3;

-- name: usage
-- Sums over [since, until), by what `dimension` says.
SELECT
    label,
    CAST(sum(calls) AS BIGINT),
    CAST(sum(errors) AS BIGINT),
    CAST(sum(input_tokens) AS BIGINT),
    CAST(sum(cached_tokens) AS BIGINT),
    CAST(sum(output_tokens) AS BIGINT),
    CAST(sum(reasoning_tokens) AS BIGINT),
    CAST(sum(cost_nanos) AS BIGINT),
    CAST(sum(unpriced) AS BIGINT)
FROM (
    SELECT
        CASE CAST(:dimension AS TEXT)
            WHEN 'day' THEN CAST(day AS TEXT)
            WHEN 'provider' THEN provider
            WHEN 'model' THEN provider || '/' || model
            WHEN 'account' THEN provider || '/' || account
            WHEN 'lane' THEN lane
            WHEN 'face' THEN face
            WHEN 'key' THEN coalesce(key_id, '')
            WHEN 'team' THEN coalesce(team, '')
            WHEN 'user' THEN coalesce(user_name, '')
            WHEN 'run' THEN coalesce(run, '')
            ELSE ''
        END AS label,
        calls, errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nanos, unpriced
    FROM used
    WHERE
        at >= :since
        AND at < :until
        AND (:everything = 1 OR coalesce(tenant, 'key:') = :tenant)
        AND (CAST(:provider AS TEXT) IS NULL OR provider = :provider)
        AND (CAST(:model AS TEXT) IS NULL OR model = :model)
        AND (CAST(:key AS TEXT) IS NULL OR key_id = :key)
        AND (CAST(:team AS TEXT) IS NULL OR team = :team)
        AND (CAST(:run AS TEXT) IS NULL OR run = :run)
) AS labelled
GROUP BY label
ORDER BY label;

-- name: usage_over_time
-- Sums from `since` on, in buckets of `width` seconds, numbered from the epoch.
SELECT
    CAST(bucket AS TEXT),
    CAST(sum(calls) AS BIGINT),
    CAST(sum(errors) AS BIGINT),
    CAST(sum(input_tokens) AS BIGINT),
    CAST(sum(cached_tokens) AS BIGINT),
    CAST(sum(output_tokens) AS BIGINT),
    CAST(sum(reasoning_tokens) AS BIGINT),
    CAST(sum(cost_nanos) AS BIGINT),
    CAST(sum(unpriced) AS BIGINT)
FROM (
    SELECT
        number - CASE WHEN number * CAST(:width AS DOUBLE PRECISION) > at THEN 1 ELSE 0 END AS bucket,
        calls, errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nanos, unpriced
    FROM (
        SELECT
            at, CAST(at / CAST(:width AS DOUBLE PRECISION) AS INTEGER) AS number,
            calls, errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nanos, unpriced
        FROM used
        WHERE at >= :since AND (:everything = 1 OR coalesce(tenant, 'key:') = :tenant)
    ) AS numbered
) AS bucketed
GROUP BY bucket
ORDER BY bucket;

-- name: run_spent
-- What a run has cost so far.
SELECT CAST(coalesce(sum(cost_nanos), 0) AS BIGINT)
FROM used
WHERE run = :run AND (:everything = 1 OR coalesce(tenant, 'key:') = :tenant);

-- name: booked
-- What a provider should bill, by day and model, over [since, until).
SELECT
    day,
    model,
    CAST(sum(calls) AS BIGINT),
    CAST(sum(input_tokens) AS BIGINT),
    CAST(sum(output_tokens) AS BIGINT),
    CAST(sum(cost_nanos) AS BIGINT),
    CAST(sum(unpriced) AS BIGINT)
FROM used
WHERE
    at >= :since
    AND at < :until
    AND provider = :provider
    AND (CAST(:account AS TEXT) IS NULL OR account = :account)
GROUP BY day, model
ORDER BY day, model;

-- name: links
-- The receipts behind `after`, in the order of the chain, with what is kept in columns beside them.
SELECT
    seq, hash, detail, id, at, face, provider, account, model, lane, status,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nanos, key_id, team, user_name, tenant, run, submission
FROM receipt
WHERE seq > :after
ORDER BY seq
LIMIT :limit;

-- name: heads
-- Where the chain ends, and where it begins when older receipts have been deleted.
SELECT name, seq, hash FROM chain WHERE name IN ('receipt', 'pruned');

-- name: corrections
-- What invoices changed about a receipt, in order.
SELECT at, kind, nanos FROM posting WHERE receipt = :id AND balance IS NULL ORDER BY n;

-- name: prunable
-- The oldest receipts.
SELECT seq, at, hash, detail FROM receipt ORDER BY seq LIMIT :limit;

-- name: delete_receipts
-- Those up to a place in the chain.
DELETE FROM receipt WHERE seq <= :seq;

-- name: pruned_hash
-- The hash of the last receipt that was deleted.
SELECT hash FROM chain WHERE name = 'pruned';

-- name: note_pruned
-- Where the chain begins from now on.
INSERT INTO chain (name, seq, hash) VALUES (:name, :seq, :hash)
ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, hash = excluded.hash;

-- name: post_pruned
-- What deleted receipts had charged to a balance, where it is not gone itself.
INSERT INTO posting (at, kind, balance, nanos) SELECT :at, 'pruned', n, :nanos FROM balance WHERE n = :balance;
