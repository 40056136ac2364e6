-- Money. Every amount is an integer of nano-dollars; NULL means that the price is unknown, which is not zero.
-- A receipt is one logical request, whatever it took to answer it; no prompt and no answer is kept. Tokens are in disjoint buckets.

CREATE TABLE receipt (
    id TEXT NOT NULL PRIMARY KEY,
    at REAL NOT NULL,
    face TEXT NOT NULL,
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    model_answered TEXT,
    dialect_in TEXT,
    dialect_out TEXT,
    lane TEXT NOT NULL,
    stream INTEGER NOT NULL,
    status TEXT NOT NULL,
    finish TEXT,
    error TEXT,
    input_uncached INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    input_audio INTEGER NOT NULL,
    input_image INTEGER NOT NULL,
    output_text INTEGER NOT NULL,
    output_reasoning INTEGER NOT NULL,
    output_audio INTEGER NOT NULL,
    output_image INTEGER NOT NULL,
    usage_source TEXT NOT NULL,
    cost_nanos INTEGER,
    price_rule TEXT NOT NULL,
    price_digest TEXT NOT NULL,
    run TEXT,
    step TEXT,
    unit TEXT,
    attempt INTEGER,
    submission TEXT REFERENCES settlement (key),
    request_id TEXT,
    duration REAL,
    first_byte REAL,
    detail TEXT NOT NULL
);

CREATE INDEX receipt_at ON receipt (at, id);
CREATE INDEX receipt_run ON receipt (run, at) WHERE run IS NOT NULL;
CREATE INDEX receipt_submission ON receipt (submission) WHERE submission IS NOT NULL;

-- What a submission (a batch, or a chunk of realtime calls of a run) cost in all. Its key makes settling it a second time do nothing.
CREATE TABLE settlement (
    key TEXT NOT NULL PRIMARY KEY,
    at REAL NOT NULL,
    face TEXT NOT NULL,
    run TEXT,
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    lane TEXT NOT NULL,
    calls INTEGER NOT NULL,
    input_uncached INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    input_audio INTEGER NOT NULL,
    input_image INTEGER NOT NULL,
    output_text INTEGER NOT NULL,
    output_reasoning INTEGER NOT NULL,
    output_audio INTEGER NOT NULL,
    output_image INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    unpriced INTEGER NOT NULL
);

CREATE INDEX settlement_at ON settlement (at);
CREATE INDEX settlement_run ON settlement (run) WHERE run IS NOT NULL;

-- Everything that was spent, once: single calls, and submissions in place of the calls they consist of.
CREATE VIEW spent AS
SELECT
    at, face, run, provider, account, model, lane, 1 AS calls,
    input_uncached + cache_read + cache_write_5m + cache_write_1h + input_audio + input_image AS input_tokens,
    cache_read AS cached_tokens,
    output_text + output_reasoning + output_audio + output_image AS output_tokens,
    output_reasoning AS reasoning_tokens,
    coalesce(cost_nanos, 0) AS cost_nanos,
    cost_nanos IS NULL AS unpriced
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
