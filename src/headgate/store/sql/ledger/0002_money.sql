-- Money that is capped before it is spent, and receipts that are written fast and chained.

-- A receipt is now a few columns to search and sum by, and `detail`: the whole receipt as JSON. What the first schema kept in columns of
-- its own goes into `detail`; those receipts are not part of the chain (their `hash` is NULL).
DROP VIEW spent;

CREATE TABLE receipt_new (
    seq INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at REAL NOT NULL,
    face TEXT NOT NULL,
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    lane TEXT NOT NULL,
    status TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nanos INTEGER,
    key_id TEXT,
    team TEXT,
    user_name TEXT,
    tenant TEXT,
    run TEXT,
    submission TEXT,
    hash BLOB,
    detail TEXT NOT NULL
);

INSERT INTO receipt_new (
    seq, id, at, face, provider, account, model, lane, status, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nanos,
    run, submission, detail
)
SELECT
    row_number() OVER (ORDER BY at, id),
    id, at, face, provider, account, model, lane, status,
    input_uncached + cache_read + cache_write_5m + cache_write_1h + input_audio + input_image,
    cache_read,
    output_text + output_reasoning + output_audio + output_image,
    output_reasoning,
    cost_nanos, run, submission,
    json_set(
        json_remove(detail, '$.fees', '$.native'),
        '$.id', id, '$.at', json(printf('%!.17g', at)), '$.face', face, '$.provider', provider, '$.account', account, '$.model', model,
        '$.model_answered', model_answered, '$.dialect_in', dialect_in, '$.dialect_out', dialect_out, '$.lane', lane,
        '$.stream', json(CASE stream WHEN 0 THEN 'false' ELSE 'true' END), '$.status', status, '$.finish', finish, '$.error', error,
        '$.cost_nanos', cost_nanos, '$.price_rule', price_rule, '$.price_digest', price_digest, '$.run', run, '$.step', step,
        '$.unit', unit, '$.attempt', attempt, '$.submission', submission, '$.request_id', request_id,
        '$.duration', json(CASE WHEN duration IS NULL THEN 'null' ELSE printf('%!.17g', duration) END),
        '$.first_byte', json(CASE WHEN first_byte IS NULL THEN 'null' ELSE printf('%!.17g', first_byte) END),
        '$.usage', json_object(
            'input_uncached', input_uncached, 'cache_read', cache_read, 'cache_write_5m', cache_write_5m, 'cache_write_1h', cache_write_1h,
            'input_audio', input_audio, 'input_image', input_image, 'output_text', output_text, 'output_reasoning', output_reasoning,
            'output_audio', output_audio, 'output_image', output_image, 'source', usage_source,
            'fees', json(coalesce(json_extract(detail, '$.fees'), '{}')), 'native', json(json_extract(detail, '$.native'))
        )
    )
FROM receipt;

DROP TABLE receipt;
ALTER TABLE receipt_new RENAME TO receipt;
CREATE INDEX receipt_at ON receipt (at);
CREATE INDEX receipt_run ON receipt (run, at) WHERE run IS NOT NULL;
CREATE INDEX receipt_submission ON receipt (submission) WHERE submission IS NOT NULL;

-- The last link of the chain: `hash` of a receipt is sha256(hash of the one before it, then the bytes of `detail`), `seq` counts them.
-- The row `budget` counts the changes of the table of budgets.
CREATE TABLE chain (name TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL);
INSERT INTO chain SELECT 'receipt', coalesce(max(seq), 0), zeroblob(32) FROM receipt;
INSERT INTO chain VALUES ('budget', 0, zeroblob(0));

-- What may be spent, by whom and in which time. `scope` ends with * where every subject has a balance of its own.
CREATE TABLE budget (
    id TEXT NOT NULL PRIMARY KEY,
    scope TEXT NOT NULL,
    limit_nanos INTEGER NOT NULL,
    period TEXT NOT NULL,
    action TEXT NOT NULL,
    thresholds TEXT NOT NULL,
    origin TEXT NOT NULL,
    active INTEGER NOT NULL
);

-- One subject's account in one window [starts, ends) of a budget. For budgets that block, spent + held never passes the limit but by what
-- a request cost above its bound; held is the sum of `slab.amount`.
CREATE TABLE balance (
    n INTEGER NOT NULL PRIMARY KEY,
    budget TEXT NOT NULL,
    subject TEXT NOT NULL,
    starts REAL NOT NULL,
    ends REAL,
    spent INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
    wanted REAL NOT NULL DEFAULT 0,
    UNIQUE (budget, subject, starts)
);

-- Who may spend from slabs, until when by the database's own clock. `state` is live or lost (a lost one's slabs count as spent); `flushed`
-- counts the batches it has committed, so that one whose commit was not heard of is not booked twice.
CREATE TABLE process (
    id TEXT NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    state TEXT NOT NULL,
    started REAL NOT NULL,
    expires REAL NOT NULL,
    flushed INTEGER NOT NULL DEFAULT 0
);

-- What a process may spend of a balance without asking again.
CREATE TABLE slab (
    process TEXT NOT NULL,
    balance INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (process, balance)
);
CREATE INDEX slab_balance ON slab (balance);

-- Corrections, appended and never changed: `receipt` was billed differently, a slab was lost or found. `balance` NULL is the receipt's own
-- cost, else what the balance was charged. balance.spent = the charges of all receipts + the postings.
CREATE TABLE posting (
    n INTEGER NOT NULL PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    balance INTEGER,
    receipt TEXT,
    process TEXT,
    nanos INTEGER NOT NULL
);
CREATE INDEX posting_receipt ON posting (receipt) WHERE receipt IS NOT NULL;

-- Thresholds that were passed, each once in a window, in order; an outbox for whoever delivers them.
CREATE TABLE alert (
    n INTEGER NOT NULL PRIMARY KEY,
    at REAL NOT NULL,
    budget TEXT NOT NULL,
    subject TEXT NOT NULL,
    starts REAL NOT NULL,
    threshold INTEGER NOT NULL,
    scope TEXT NOT NULL,
    period TEXT NOT NULL,
    action TEXT NOT NULL,
    limit_nanos INTEGER NOT NULL,
    spent_nanos INTEGER NOT NULL,
    claimed REAL NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    delivered REAL,
    UNIQUE (budget, subject, starts, threshold)
);

-- Everything that was spent, once: single calls, submissions in place of the calls they consist of, and what invoices corrected.
CREATE VIEW spent AS
SELECT
    at, face, run, provider, account, model, lane, 1 AS calls,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens,
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
FROM settlement
UNION ALL
SELECT
    posting.at, receipt.face, receipt.run, receipt.provider, receipt.account, receipt.model, receipt.lane, 0,
    0, 0, 0, 0,
    posting.nanos,
    CASE
        WHEN receipt.cost_nanos IS NULL AND posting.n = (
            SELECT min(first.n) FROM posting AS first WHERE first.receipt = posting.receipt AND first.balance IS NULL
        ) THEN -1
        ELSE 0
    END
FROM posting
JOIN receipt ON receipt.id = posting.receipt
WHERE posting.balance IS NULL AND posting.receipt IS NOT NULL;
