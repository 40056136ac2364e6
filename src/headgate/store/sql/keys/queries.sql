-- name: insert_key
INSERT INTO virtual_key (
    id, version, name, owner, team, user_name, tenant, lineage, tags, scopes, models, created_at, created_by, expires_at, revoked_at, disabled,
    seal, old_seal, old_until, max_output, rpm, tpm, input_tpm, output_tpm, concurrency, budget_nanos, budget_window, budget_action, recording
) VALUES (
    :id, :version, :name, :owner, :team, :user_name, :tenant, :lineage, :tags, :scopes, :models, :created_at, :created_by, :expires_at,
    :revoked_at, :disabled, :seal, :old_seal, :old_until, :max_output, :rpm, :tpm, :input_tpm, :output_tpm, :concurrency, :budget_nanos,
    :budget_window, :budget_action, :recording
) ON CONFLICT (id) DO NOTHING;

-- name: update_key
UPDATE virtual_key SET
    version = :version, name = :name, owner = :owner, team = :team, user_name = :user_name, tenant = :tenant, tags = :tags, scopes = :scopes,
    models = :models, expires_at = :expires_at, revoked_at = :revoked_at, disabled = :disabled, seal = :seal, old_seal = :old_seal,
    old_until = :old_until, max_output = :max_output, rpm = :rpm, tpm = :tpm, input_tpm = :input_tpm, output_tpm = :output_tpm,
    concurrency = :concurrency, budget_nanos = :budget_nanos, budget_window = :budget_window, budget_action = :budget_action,
    recording = :recording
WHERE id = :id;

-- name: key_by_id
-- For whoever presents the key.
SELECT
    id, version, name, owner, team, user_name, lineage, tags, scopes, models, created_at, created_by, expires_at, revoked_at, disabled,
    max_output, rpm, tpm, input_tpm, output_tpm, concurrency, budget_nanos, budget_window, budget_action, recording, seal, old_seal, old_until
FROM virtual_key WHERE id = :id;

-- name: visible_key
-- For whoever looks after keys: those of the own tenant, and those one's own key made.
SELECT
    id, version, name, owner, team, user_name, lineage, tags, scopes, models, created_at, created_by, expires_at, revoked_at, disabled,
    max_output, rpm, tpm, input_tpm, output_tpm, concurrency, budget_nanos, budget_window, budget_action, recording, seal, old_seal, old_until
FROM virtual_key
WHERE id = :id AND (CAST(:everybody AS INTEGER) = 1 OR tenant = :tenant OR lineage LIKE :made);

-- name: visible_keys
SELECT
    id, version, name, owner, team, user_name, lineage, tags, scopes, models, created_at, created_by, expires_at, revoked_at, disabled,
    max_output, rpm, tpm, input_tpm, output_tpm, concurrency, budget_nanos, budget_window, budget_action, recording, seal, old_seal, old_until
FROM virtual_key
WHERE id > :after AND (CAST(:everybody AS INTEGER) = 1 OR tenant = :tenant OR lineage LIKE :made)
ORDER BY id LIMIT :limit;

-- name: keys_made_by
SELECT
    id, version, name, owner, team, user_name, lineage, tags, scopes, models, created_at, created_by, expires_at, revoked_at, disabled,
    max_output, rpm, tpm, input_tpm, output_tpm, concurrency, budget_nanos, budget_window, budget_action, recording, seal, old_seal, old_until
FROM virtual_key WHERE lineage LIKE :made AND revoked_at IS NULL ORDER BY id;

-- name: changed_keys
SELECT
    id, version, name, owner, team, user_name, lineage, tags, scopes, models, created_at, created_by, expires_at, revoked_at, disabled,
    max_output, rpm, tpm, input_tpm, output_tpm, concurrency, budget_nanos, budget_window, budget_action, recording, seal, old_seal, old_until
FROM virtual_key WHERE version > :since ORDER BY version;

-- name: last_version
SELECT max(version) FROM virtual_key;

-- name: pepper_mark
SELECT mark FROM pepper WHERE one = 1;

-- name: keep_pepper_mark
INSERT INTO pepper (one, mark) VALUES (1, :mark) ON CONFLICT (one) DO NOTHING;

-- name: last_entry
SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1;

-- name: insert_entry
INSERT INTO audit (seq, at, text, hash) VALUES (:seq, :at, :text, :hash);

-- name: latest_entries
SELECT seq, text, hash FROM audit ORDER BY seq DESC LIMIT :limit;

-- name: all_entries
SELECT seq, text, hash FROM audit ORDER BY seq;
