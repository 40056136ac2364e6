-- Shares of limits that several processes have together. Losing these rows costs at most one span's worth of a limit, never money.

-- What was granted of a limit ("key:ab12|rpm") for a slot of time, to whomever.
CREATE TABLE limit_grant (
    bucket TEXT NOT NULL,
    slot BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (bucket, slot)
);

CREATE INDEX limit_grant_at ON limit_grant (at);

-- How many requests at a time a process holds of a subject's and would hold, until when.
CREATE TABLE limit_hold (
    subject TEXT NOT NULL,
    holder TEXT NOT NULL,
    held BIGINT NOT NULL,
    wanted BIGINT NOT NULL,
    until DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (subject, holder)
);
