-- Answers that are given again. Neither table holds a prompt; `answer` is filled only where answers may be kept on disk.

CREATE TABLE cached_answer (
    key BLOB NOT NULL PRIMARY KEY,
    at REAL NOT NULL,
    expires REAL NOT NULL,
    size INTEGER NOT NULL,
    answer BLOB NOT NULL
);

CREATE INDEX cached_answer_expires ON cached_answer (expires);

-- `key` is a hash of tenant and Idempotency-Key, `request` of what was asked, `holder` names the attempt that answers it.
CREATE TABLE idempotency_key (
    key BLOB NOT NULL PRIMARY KEY,
    request BLOB NOT NULL,
    holder TEXT NOT NULL,
    at REAL NOT NULL,
    expires REAL NOT NULL,
    done INTEGER NOT NULL,
    answer BLOB
);

CREATE INDEX idempotency_key_expires ON idempotency_key (expires);
