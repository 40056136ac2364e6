-- name: find_answer
SELECT answer, at, expires FROM cached_answer WHERE key = :key AND expires > :now;

-- name: keep_answer
INSERT INTO cached_answer (key, at, expires, size, answer) VALUES (:key, :at, :expires, :size, :answer)
ON CONFLICT (key) DO UPDATE SET at = excluded.at, expires = excluded.expires, size = excluded.size, answer = excluded.answer
WHERE cached_answer.at <= excluded.at;

-- name: delete_answers
DELETE FROM cached_answer;

-- name: delete_expired_answers
DELETE FROM cached_answer WHERE expires <= :now;

-- name: delete_oldest_answers
-- The oldest, until those left have at most `most` bytes.
DELETE FROM cached_answer WHERE key IN (
    SELECT key FROM (SELECT key, sum(size) OVER (ORDER BY at DESC, key) AS held FROM cached_answer) AS ranked WHERE held > :most
);

-- name: take_key
-- Changes a row only when the key is new or its time is over.
INSERT INTO idempotency_key (key, request, holder, at, expires, done, answer) VALUES (:key, :request, :holder, :now, :expires, 0, NULL)
ON CONFLICT (key) DO UPDATE SET
    request = excluded.request, holder = excluded.holder, at = excluded.at, expires = excluded.expires, done = 0, answer = NULL
WHERE idempotency_key.expires <= excluded.at;

-- name: find_key
SELECT request, expires, holder, done, answer FROM idempotency_key WHERE key = :key;

-- name: finish_key
UPDATE idempotency_key SET done = 1, expires = :expires, answer = :answer WHERE key = :key AND holder = :holder;

-- name: renew_key
UPDATE idempotency_key SET expires = :expires WHERE key = :key AND holder = :holder AND done = 0;

-- name: abandon_key
DELETE FROM idempotency_key WHERE key = :key AND holder = :holder AND done = 0;

-- name: delete_expired_keys
DELETE FROM idempotency_key WHERE expires <= :now;
