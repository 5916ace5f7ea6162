-- What operators note of keys and change in the pool. Times are ISO-8601 text in UTC with
-- milliseconds.

-- Labels for groups of keys, as a JSON array of texts.
ALTER TABLE api_keys ADD COLUMN tags TEXT;
-- ;;
ALTER TABLE api_keys ADD COLUMN note TEXT;
-- ;;
-- Patterns of models, as JSON arrays of texts: the only ones for which the key may be used, and
-- those for which it must not be.
ALTER TABLE api_keys ADD COLUMN allowed_models TEXT;
-- ;;
ALTER TABLE api_keys ADD COLUMN forbidden_models TEXT;
-- ;;
-- Who has made the latest change as an operator, as JSON: {"by", "action", "request"}. Each change
-- sets it, so that a trigger can write the audit log in the same statement.
ALTER TABLE api_keys ADD COLUMN changed_by TEXT;
-- ;;
-- The audit log: what operators have changed, never a secret.
CREATE TABLE IF NOT EXISTS audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    -- the token: admin_token
    actor TEXT NOT NULL,
    -- such as pause_key
    action TEXT NOT NULL,
    -- such as key:7
    subject TEXT NOT NULL,
    -- JSON objects; NULL if there was nothing before, or is nothing after
    before TEXT,
    after TEXT,
    request_id TEXT NOT NULL,
    -- A statement may run twice.
    UNIQUE (request_id, action, subject)
);
-- ;;
CREATE TRIGGER IF NOT EXISTS audit_key_change AFTER UPDATE OF changed_by ON api_keys
WHEN json_valid(NEW.changed_by)
BEGIN
    INSERT OR IGNORE INTO audit_log (at, actor, action, subject, before, after, request_id)
    VALUES (NEW.updated_at, NEW.changed_by ->> 'by', NEW.changed_by ->> 'action',
        'key:' || NEW.id,
        json_object('name', CAST(OLD.name AS TEXT), 'priority', OLD.priority,
            'status', OLD.status, 'disabled_until', OLD.disabled_until,
            'disabled_reason', CAST(OLD.disabled_reason AS TEXT),
            'project', CAST(OLD.project AS TEXT),
            'tags', iif(json_valid(OLD.tags), json(OLD.tags), NULL),
            'note', CAST(OLD.note AS TEXT),
            'allowed_models',
            iif(json_valid(OLD.allowed_models), json(OLD.allowed_models), NULL),
            'forbidden_models',
            iif(json_valid(OLD.forbidden_models), json(OLD.forbidden_models), NULL)),
        iif(NEW.changed_by ->> 'action' = 'delete_key', NULL,
        json_object('name', CAST(NEW.name AS TEXT), 'priority', NEW.priority,
            'status', NEW.status, 'disabled_until', NEW.disabled_until,
            'disabled_reason', CAST(NEW.disabled_reason AS TEXT),
            'project', CAST(NEW.project AS TEXT),
            'tags', iif(json_valid(NEW.tags), json(NEW.tags), NULL),
            'note', CAST(NEW.note AS TEXT),
            'allowed_models',
            iif(json_valid(NEW.allowed_models), json(NEW.allowed_models), NULL),
            'forbidden_models',
            iif(json_valid(NEW.forbidden_models), json(NEW.forbidden_models), NULL))),
        NEW.changed_by ->> 'request');
    -- A key is deleted by its audited change, so that both are one statement.
    DELETE FROM api_keys WHERE id = NEW.id AND NEW.changed_by ->> 'action' = 'delete_key';
END;
-- ;;
-- Keys that an operator adds have one entry together: the statement sets changed_by in one of
-- them, with their number. A request may need several statements.
CREATE TRIGGER IF NOT EXISTS audit_added_keys AFTER INSERT ON api_keys
WHEN json_valid(NEW.changed_by)
BEGIN
    INSERT INTO audit_log (at, actor, action, subject, before, after, request_id)
    VALUES (NEW.created_at, NEW.changed_by ->> 'by', NEW.changed_by ->> 'action', 'keys', NULL,
        json_object('added', NEW.changed_by ->> 'added'), NEW.changed_by ->> 'request')
    ON CONFLICT (request_id, action, subject) DO UPDATE SET
        after = json_object('added', (after ->> 'added') + (excluded.after ->> 'added'));
END;
-- ;;
-- What operators were alerted to, or will be. Rows live for a week.
CREATE TABLE IF NOT EXISTS alerts (
    -- keys_low, key_disabled:ID:TIME or budget_ends:SCOPE:MODEL:UNIT:TIME
    subject TEXT PRIMARY KEY,
    -- the event's id, which is the same for each try to deliver it
    id TEXT NOT NULL,
    -- the event as JSON
    body TEXT NOT NULL,
    began_at TEXT NOT NULL,
    -- when a check last noted that it holds
    seen_at TEXT NOT NULL,
    tries INTEGER NOT NULL,
    next_try_at TEXT NOT NULL,
    -- NULL until it is delivered
    sent_at TEXT
) WITHOUT ROWID;
-- ;;
CREATE TRIGGER IF NOT EXISTS delete_old_alerts AFTER INSERT ON alerts
BEGIN
    DELETE FROM alerts WHERE seen_at < strftime('%Y-%m-%dT%H:%M:%fZ', NEW.seen_at, '-7 days');
END;
