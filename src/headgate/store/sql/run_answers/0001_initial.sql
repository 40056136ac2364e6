-- Answers that runs on this machine were given, for later runs that ask the same. The statements are those of `answers`.

CREATE TABLE cached_answer (
    key BLOB NOT NULL PRIMARY KEY,
    at REAL NOT NULL,
    expires REAL NOT NULL,
    size INTEGER NOT NULL,
    answer BLOB NOT NULL
);

CREATE INDEX cached_answer_expires ON cached_answer (expires);
