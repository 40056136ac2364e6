-- Answers that are given again. Neither table holds a prompt; `answer` is filled only where answers may be kept on disk.

CREATE TABLE cached_answer (
    key BYTEA NOT NULL PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL,
    expires DOUBLE PRECISION NOT NULL,
    size BIGINT NOT NULL,
    answer BYTEA NOT NULL
);

CREATE INDEX cached_answer_expires ON cached_answer (expires);

-- `key` is a hash of tenant and Idempotency-Key, `request` of what was asked, `holder` names the attempt that answers it.
CREATE TABLE idempotency_key (
    key BYTEA NOT NULL PRIMARY KEY,
    request BYTEA NOT NULL,
    holder TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    expires DOUBLE PRECISION NOT NULL,
    done BIGINT NOT NULL,
    answer BYTEA
);

CREATE INDEX idempotency_key_expires ON idempotency_key (expires);
