-- Shares of limits that several processes have together. Losing these rows costs at most one span's worth of a limit, never money.

-- What was granted of a limit ("key:ab12|rpm") for a slot of time, to whomever.
CREATE TABLE limit_grant (
    bucket TEXT NOT NULL,
    slot INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (bucket, slot)
) WITHOUT ROWID;

CREATE INDEX limit_grant_at ON limit_grant (at);

-- How many requests at a time a process holds of a subject's and would hold, until when.
CREATE TABLE limit_hold (
    subject TEXT NOT NULL,
    holder TEXT NOT NULL,
    held INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (subject, holder)
) WITHOUT ROWID;
