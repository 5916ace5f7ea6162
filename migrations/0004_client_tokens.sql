-- Client tokens: for each client of the pool one, besides the built-in `my_api_token`. Times are
-- ISO-8601 text in UTC with milliseconds.

CREATE TABLE IF NOT EXISTS client_tokens (
    -- The log refers to it, so it is never used again.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- the first characters, for display
    prefix TEXT NOT NULL,
    -- SHA-256 of the token
    digest BLOB NOT NULL UNIQUE,
    -- that of the token before the latest rotation, and until when it is still accepted
    previous_digest BLOB,
    previous_until TEXT,
    name TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    expires_at TEXT,
    disabled_at TEXT,
    -- JSON arrays of texts; NULL for all
    models TEXT,
    networks TEXT,
    -- NULL for no limit
    requests_per_minute INTEGER,
    tokens_per_day INTEGER,
    -- as in api_keys
    changed_by TEXT
);
-- ;;
CREATE INDEX IF NOT EXISTS idx_client_tokens_previous_digest ON client_tokens (previous_digest)
    WHERE previous_digest IS NOT NULL;
-- ;;
-- What each token has used, for its limit per day. Rows live for a few days.
CREATE TABLE IF NOT EXISTS client_token_hours (
    token_id INTEGER NOT NULL,
    -- as in api_call_hours
    hour TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (token_id, hour)
) WITHOUT ROWID;
-- ;;
CREATE TRIGGER IF NOT EXISTS count_client_token AFTER INSERT ON api_call_logs
WHEN NEW.token_id IS NOT NULL AND NEW.input_tokens IS NOT NULL
BEGIN
    INSERT INTO client_token_hours (token_id, hour, tokens)
    VALUES (
        CAST(NEW.token_id AS INTEGER),
        coalesce(strftime('%Y-%m-%dT%H:00:00.000Z', NEW.called_at), ''),
        CAST(NEW.input_tokens AS INTEGER) + CAST(coalesce(NEW.output_tokens, 0) AS INTEGER)
            + CAST(coalesce(NEW.thinking_tokens, 0) AS INTEGER)
    )
    ON CONFLICT (token_id, hour) DO UPDATE SET tokens = tokens + excluded.tokens;
END;
-- ;;
CREATE TRIGGER IF NOT EXISTS audit_token_change AFTER UPDATE OF changed_by ON client_tokens
WHEN json_valid(NEW.changed_by)
BEGIN
    INSERT OR IGNORE INTO audit_log (at, actor, action, subject, before, after, request_id)
    VALUES (NEW.updated_at, NEW.changed_by ->> 'by', NEW.changed_by ->> 'action',
        'token:' || NEW.id,
        iif(NEW.changed_by ->> 'action' = 'create_token', NULL,
        json_object('name', CAST(OLD.name AS TEXT), 'prefix', OLD.prefix,
            'expires_at', OLD.expires_at, 'disabled_at', OLD.disabled_at,
            'models', iif(json_valid(OLD.models), json(OLD.models), NULL),
            'networks', iif(json_valid(OLD.networks), json(OLD.networks), NULL),
            'requests_per_minute', OLD.requests_per_minute,
            'tokens_per_day', OLD.tokens_per_day, 'previous_until', OLD.previous_until)),
        iif(NEW.changed_by ->> 'action' = 'delete_token', NULL,
        json_object('name', CAST(NEW.name AS TEXT), 'prefix', NEW.prefix,
            'expires_at', NEW.expires_at, 'disabled_at', NEW.disabled_at,
            'models', iif(json_valid(NEW.models), json(NEW.models), NULL),
            'networks', iif(json_valid(NEW.networks), json(NEW.networks), NULL),
            'requests_per_minute', NEW.requests_per_minute,
            'tokens_per_day', NEW.tokens_per_day, 'previous_until', NEW.previous_until)),
        NEW.changed_by ->> 'request');
    -- A token is deleted by its audited change, so that both are one statement.
    DELETE FROM client_tokens WHERE id = NEW.id AND NEW.changed_by ->> 'action' = 'delete_token';
END;
-- ;;
CREATE TRIGGER IF NOT EXISTS audit_created_token AFTER INSERT ON client_tokens
BEGIN
    UPDATE client_tokens SET changed_by = NEW.changed_by WHERE id = NEW.id;
END;
