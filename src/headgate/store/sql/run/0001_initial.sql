-- State of runs. `unit` is what is, `attempt` is what happened (append-only), `chunk` are envelopes with counters kept in the same
-- transaction. Payloads lie in segment files; `frame` says where each committed group of rows begins. Money is integer nano-dollars.

CREATE TABLE run (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    mark TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    pipeline_digest TEXT NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    finished_at REAL,
    planned INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    seed TEXT NOT NULL,
    cost_cap_nanos INTEGER,
    price_digest TEXT NOT NULL,
    engine_version TEXT NOT NULL,
    options TEXT NOT NULL,
    reason TEXT
);

CREATE TABLE step (
    run INTEGER NOT NULL REFERENCES run (key),
    idx INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,
    provider TEXT,
    account TEXT,
    model TEXT,
    price TEXT,
    overridden INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, idx)
) WITHOUT ROWID;

CREATE TABLE segment (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    name TEXT NOT NULL UNIQUE,
    committed INTEGER NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE frame (
    segment INTEGER NOT NULL,
    first_row INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    PRIMARY KEY (segment, first_row)
) WITHOUT ROWID;

CREATE TABLE unit (
    run INTEGER NOT NULL,
    step INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    parent_seq INTEGER,
    state INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    chunk INTEGER NOT NULL,
    input_segment INTEGER NOT NULL,
    input_row INTEGER NOT NULL,
    segment INTEGER,
    row INTEGER,
    cost_nanos INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    PRIMARY KEY (run, step, seq)
) WITHOUT ROWID;

CREATE INDEX unit_chunk ON unit (chunk, state);

CREATE TABLE attempt (
    run INTEGER NOT NULL,
    step INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    lane TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    at REAL NOT NULL,
    duration REAL,
    request_id TEXT,
    upstream_id TEXT,
    model TEXT,
    usage TEXT,
    cost_nanos INTEGER,
    cost_source TEXT NOT NULL,
    price_rule TEXT,
    submission TEXT,
    segment INTEGER,
    row INTEGER,
    PRIMARY KEY (run, step, seq, n)
) WITHOUT ROWID;

-- A realtime call that may have reached the provider: written before the request, removed in the transaction that writes its attempt. One
-- that is left is a call whose answer was lost with the process.
CREATE TABLE claim (
    run INTEGER NOT NULL,
    step INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    request_id TEXT NOT NULL UNIQUE,
    bound_nanos INTEGER,
    at REAL NOT NULL,
    PRIMARY KEY (run, step, seq, n)
) WITHOUT ROWID;

CREATE TABLE chunk (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    step INTEGER NOT NULL,
    lane TEXT NOT NULL,
    state TEXT NOT NULL,
    round INTEGER NOT NULL DEFAULT 0,
    parent INTEGER,
    epoch INTEGER NOT NULL DEFAULT 0,
    n INTEGER NOT NULL,
    valid INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    retry INTEGER NOT NULL DEFAULT 0,
    cost_nanos INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    finished_at REAL,
    request_segment INTEGER
);

CREATE INDEX chunk_open ON chunk (run, state) WHERE state NOT IN ('done', 'split');

CREATE TABLE submission (
    key TEXT PRIMARY KEY,
    run INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    n INTEGER NOT NULL,
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    state TEXT NOT NULL,
    prefix TEXT NOT NULL,
    rows INTEGER NOT NULL,
    reserved_nanos INTEGER,
    intent_at REAL NOT NULL,
    submitted_at REAL,
    batch_id TEXT,
    input_file TEXT,
    matched_by TEXT,
    status TEXT,
    raw_status TEXT,
    succeeded INTEGER,
    failed INTEGER,
    expires_at REAL,
    polls INTEGER NOT NULL DEFAULT 0,
    polled_at REAL,
    refused INTEGER NOT NULL DEFAULT 0,
    error TEXT
);

CREATE INDEX submission_chunk ON submission (chunk, n);
CREATE UNIQUE INDEX submission_batch ON submission (provider, account, batch_id) WHERE batch_id IS NOT NULL;

CREATE TABLE outbox (
    key TEXT PRIMARY KEY,
    run INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    lane TEXT NOT NULL,
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    usage TEXT NOT NULL,
    cost_nanos INTEGER,
    unpriced INTEGER NOT NULL DEFAULT 0,
    at REAL NOT NULL,
    settled_at REAL
);

CREATE INDEX outbox_open ON outbox (settled_at) WHERE settled_at IS NULL;

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    run INTEGER NOT NULL,
    level TEXT NOT NULL,
    what TEXT NOT NULL,
    data TEXT NOT NULL
);
