-- Everything that was used and spent, once, with whose it is: single calls, submissions in place of the calls they consist of, and what
-- invoices corrected (no call of its own, on the day of the correction). `day` counts the days since 1970-01-01 in UTC; `unpriced` the
-- calls that are in no amount.
CREATE VIEW used AS
SELECT
    at,
    CAST(at / 86400.0 AS INTEGER) - CASE WHEN CAST(at / 86400.0 AS INTEGER) * 86400.0 > at THEN 1 ELSE 0 END AS day,
    face, run, tenant, key_id, team, user_name, provider, account, model, lane,
    1 AS calls,
    CASE WHEN status = 'ok' THEN 0 ELSE 1 END AS errors,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens,
    coalesce(cost_nanos, 0) AS cost_nanos,
    CASE WHEN cost_nanos IS NULL THEN 1 ELSE 0 END AS unpriced
FROM receipt
WHERE submission IS NULL
UNION ALL
SELECT
    at,
    CAST(at / 86400.0 AS INTEGER) - CASE WHEN CAST(at / 86400.0 AS INTEGER) * 86400.0 > at THEN 1 ELSE 0 END,
    face, run, NULL, NULL, NULL, NULL, provider, account, model, lane,
    calls,
    0,
    input_uncached + cache_read + cache_write_5m + cache_write_1h + input_audio + input_image,
    cache_read,
    output_text + output_reasoning + output_audio + output_image,
    output_reasoning,
    cost_nanos,
    unpriced
FROM settlement
UNION ALL
SELECT
    posting.at,
    CAST(posting.at / 86400.0 AS INTEGER) - CASE WHEN CAST(posting.at / 86400.0 AS INTEGER) * 86400.0 > posting.at THEN 1 ELSE 0 END,
    receipt.face, receipt.run, receipt.tenant, receipt.key_id, receipt.team, receipt.user_name,
    receipt.provider, receipt.account, receipt.model, receipt.lane,
    0,
    0,
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
