-- Money. Every amount is an integer of nano-dollars; NULL means that the price is unknown, which is not zero.
-- A receipt is one logical request, whatever it took to answer it; no prompt and no answer is kept. Tokens are in disjoint buckets.

-- What a submission (a batch, or a chunk of realtime calls of a run) cost in all. Its key makes settling it a second time do nothing.
CREATE TABLE settlement (
    key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL,
    face TEXT NOT NULL,
    run TEXT,
    provider TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    lane TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    input_uncached BIGINT NOT NULL,
    cache_read BIGINT NOT NULL,
    cache_write_5m BIGINT NOT NULL,
    cache_write_1h BIGINT NOT NULL,
    input_audio BIGINT NOT NULL,
    input_image BIGINT NOT NULL,
    output_text BIGINT NOT NULL,
    output_reasoning BIGINT NOT NULL,
    output_audio BIGINT NOT NULL,
    output_image BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    unpriced BIGINT NOT NULL
);

CREATE INDEX settlement_at ON settlement (at);
CREATE INDEX settlement_run ON settlement (run) WHERE run IS NOT NULL;

CREATE TABLE receipt (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL,
    face TEXT NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    model_answered TEXT,
    dialect_in TEXT,
    dialect_out TEXT,
    lane TEXT COLLATE "C" NOT NULL,
    stream BIGINT NOT NULL,
    status TEXT NOT NULL,
    finish TEXT,
    error TEXT,
    input_uncached BIGINT NOT NULL,
    cache_read BIGINT NOT NULL,
    cache_write_5m BIGINT NOT NULL,
    cache_write_1h BIGINT NOT NULL,
    input_audio BIGINT NOT NULL,
    input_image BIGINT NOT NULL,
    output_text BIGINT NOT NULL,
    output_reasoning BIGINT NOT NULL,
    output_audio BIGINT NOT NULL,
    output_image BIGINT NOT NULL,
    usage_source TEXT NOT NULL,
    cost_nanos BIGINT,
    price_rule TEXT NOT NULL,
    price_digest TEXT NOT NULL,
    run TEXT,
    step TEXT,
    unit TEXT,
    attempt BIGINT,
    submission TEXT REFERENCES settlement (key),
    request_id TEXT,
    duration DOUBLE PRECISION,
    first_byte DOUBLE PRECISION,
    detail TEXT NOT NULL
);

CREATE INDEX receipt_at ON receipt (at, id);
CREATE INDEX receipt_run ON receipt (run, at) WHERE run IS NOT NULL;
CREATE INDEX receipt_submission ON receipt (submission) WHERE submission IS NOT NULL;

-- Everything that was spent, once: single calls, and submissions in place of the calls they consist of.
CREATE VIEW spent AS
SELECT
    at, face, run, provider, account, model, lane, CAST(1 AS BIGINT) AS calls,
    input_uncached + cache_read + cache_write_5m + cache_write_1h + input_audio + input_image AS input_tokens,
    cache_read AS cached_tokens,
    output_text + output_reasoning + output_audio + output_image AS output_tokens,
    output_reasoning AS reasoning_tokens,
    coalesce(cost_nanos, 0) AS cost_nanos,
    CASE WHEN cost_nanos IS NULL THEN 1 ELSE 0 END AS unpriced
FROM receipt
WHERE submission IS NULL
UNION ALL
SELECT
    at, face, run, provider, account, model, lane, calls,
    input_uncached + cache_read + cache_write_5m + cache_write_1h + input_audio + input_image,
    cache_read,
    output_text + output_reasoning + output_audio + output_image,
    output_reasoning,
    cost_nanos,
    unpriced
FROM settlement;
