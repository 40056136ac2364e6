-- Virtual keys. Of a secret only a keyed hash is kept, under a pepper that lies outside this database.
-- `version` is the number of the audit entry of a key's last change: what is newer than a number was changed since.

CREATE TABLE virtual_key (
    id TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    owner TEXT,
    team TEXT,
    user_name TEXT,
    tenant TEXT NOT NULL,
    lineage TEXT NOT NULL, -- JSON: the ids of the keys that made it
    tags TEXT NOT NULL, -- JSON
    scopes TEXT NOT NULL, -- JSON
    models TEXT NOT NULL, -- JSON
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    expires_at REAL,
    revoked_at REAL,
    disabled INTEGER NOT NULL,
    seal BLOB NOT NULL,
    old_seal BLOB,
    old_until REAL,
    max_output INTEGER,
    rpm INTEGER,
    tpm INTEGER,
    input_tpm INTEGER,
    output_tpm INTEGER,
    concurrency INTEGER,
    budget_nanos INTEGER,
    budget_window TEXT,
    budget_action TEXT,
    recording TEXT NOT NULL
);

CREATE INDEX virtual_key_version ON virtual_key (version);
CREATE INDEX virtual_key_tenant ON virtual_key (tenant);

-- By which the pepper is known again that keys of this database were made with.
CREATE TABLE pepper (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    mark BLOB NOT NULL
);

-- Who did what, only ever appended to; each entry is sealed together with the one before it.
CREATE TABLE audit (
    seq INTEGER NOT NULL PRIMARY KEY,
    at REAL NOT NULL,
    text TEXT NOT NULL, -- JSON
    hash BLOB NOT NULL
);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is only appended to'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is only appended to'); END;
