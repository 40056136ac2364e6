-- Virtual keys. Of a secret only a keyed hash is kept, under a pepper that lies outside this database.
-- `version` is the number of the audit entry of a key's last change: what is newer than a number was changed since.

CREATE TABLE virtual_key (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT,
    team TEXT,
    user_name TEXT,
    tenant TEXT NOT NULL,
    lineage TEXT NOT NULL, -- JSON: the ids of the keys that made it
    tags TEXT NOT NULL, -- JSON
    scopes TEXT NOT NULL, -- JSON
    models TEXT NOT NULL, -- JSON
    created_at DOUBLE PRECISION NOT NULL,
    created_by TEXT NOT NULL,
    expires_at DOUBLE PRECISION,
    revoked_at DOUBLE PRECISION,
    disabled BIGINT NOT NULL,
    seal BYTEA NOT NULL,
    old_seal BYTEA,
    old_until DOUBLE PRECISION,
    max_output BIGINT,
    rpm BIGINT,
    tpm BIGINT,
    input_tpm BIGINT,
    output_tpm BIGINT,
    concurrency BIGINT,
    budget_nanos BIGINT,
    budget_window TEXT,
    budget_action TEXT,
    recording TEXT NOT NULL
);

CREATE INDEX virtual_key_version ON virtual_key (version);
CREATE INDEX virtual_key_tenant ON virtual_key (tenant);

-- By which the pepper is known again that keys of this database were made with.
CREATE TABLE pepper (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    mark BYTEA NOT NULL
);

-- Who did what, only ever appended to; each entry is sealed together with the one before it.
CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL,
    text TEXT NOT NULL, -- JSON
    hash BYTEA NOT NULL
);

CREATE FUNCTION audit_is_only_appended_to() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''the audit trail is only appended to'' USING ERRCODE = ''integrity_constraint_violation''; END';

CREATE OR REPLACE TRIGGER audit_is_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_appended_to();
