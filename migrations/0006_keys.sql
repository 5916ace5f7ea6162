-- What became of keys, and the limits that operators set. Times are ISO-8601 text in UTC with
-- milliseconds.

-- Each change of a key's state, by the pool or by an operator.
CREATE TABLE IF NOT EXISTS key_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    api_key_id INTEGER NOT NULL,
    at TEXT NOT NULL,
    -- 1 active, 2 cooling, 0 disabled
    from_status INTEGER,
    to_status INTEGER,
    -- when a pause ends
    until TEXT,
    -- why the key is disabled or cooling; NULL if no reason was given
    reason TEXT
);
-- ;;
CREATE INDEX IF NOT EXISTS idx_key_history_api_key_id ON key_history (api_key_id, id);
-- ;;
CREATE INDEX IF NOT EXISTS idx_key_history_at ON key_history (at);
-- ;;
-- A change by SQL may leave the reason of an earlier state behind, which note_edited_key removes.
CREATE TRIGGER IF NOT EXISTS note_key_history AFTER UPDATE OF status, disabled_until ON api_keys
WHEN NEW.status IS NOT OLD.status
    OR (NEW.status = 2 AND NEW.disabled_until IS NOT OLD.disabled_until)
BEGIN
    INSERT INTO key_history (api_key_id, at, from_status, to_status, until, reason)
    VALUES (NEW.id,
        iif(NEW.updated_at IS OLD.updated_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
            coalesce(NEW.updated_at, '')),
        OLD.status, NEW.status,
        iif(NEW.status = 2, NEW.disabled_until, NULL),
        iif(NEW.status = 1 OR (NEW.pool_moves IS OLD.pool_moves
            AND NEW.disabled_reason IS OLD.disabled_reason), NULL, NEW.disabled_reason));
END;
-- ;;
-- SHA-256 digests, in hexadecimal digits, of deleted keys that the upstream had rejected.
CREATE TABLE IF NOT EXISTS dead_keys (
    digest TEXT PRIMARY KEY,
    deleted_at TEXT NOT NULL
) WITHOUT ROWID;
-- ;;
CREATE TRIGGER IF NOT EXISTS remember_dead_key AFTER UPDATE OF changed_by ON api_keys
WHEN json_valid(NEW.changed_by) AND NEW.changed_by ->> 'dead' IS NOT NULL
BEGIN
    INSERT OR IGNORE INTO dead_keys (digest, deleted_at)
    VALUES (NEW.changed_by ->> 'dead', NEW.updated_at);
END;
-- ;;
-- What an operator sets of limits: all presets of a key and its project. One INSERT INTO
-- preset_limits sets them, removes those that are left out, and writes the audit log. `presets` is
-- a JSON array of [scope, model, unit, per, preset], and `scopes` one of the scopes.
CREATE VIEW IF NOT EXISTS preset_limits (api_key_id, scopes, presets, at, changed_by)
AS SELECT NULL, NULL, NULL, NULL, NULL;
-- ;;
CREATE TRIGGER IF NOT EXISTS preset_limits_of_key INSTEAD OF INSERT ON preset_limits
BEGIN
    INSERT OR IGNORE INTO audit_log (at, actor, action, subject, before, after, request_id)
    VALUES (NEW.at, NEW.changed_by ->> 'by', NEW.changed_by ->> 'action',
        'key:' || NEW.api_key_id,
        json_object('limits', (SELECT json_group_array(json_array(scope, model, unit, per, preset))
            FROM limits WHERE preset IS NOT NULL
                AND scope IN (SELECT value FROM json_each(NEW.scopes)))),
        json_object('limits', json(NEW.presets)),
        NEW.changed_by ->> 'request');
    UPDATE limits SET preset = NULL
    WHERE preset IS NOT NULL AND scope IN (SELECT value FROM json_each(NEW.scopes));
    INSERT INTO limits (scope, model, unit, per, preset)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
    FROM json_each(NEW.presets)
    WHERE true
    ON CONFLICT (scope, model, unit, per) DO UPDATE SET preset = excluded.preset;
    DELETE FROM limits WHERE preset IS NULL AND learned IS NULL
        AND scope IN (SELECT value FROM json_each(NEW.scopes));
END;
-- ;;
-- Keys whose next calls end with a fault, without a call to the upstream.
CREATE TABLE IF NOT EXISTS fault_drills (
    api_key_id INTEGER PRIMARY KEY,
    -- 429, 503 or reset
    fault TEXT NOT NULL,
    calls_left INTEGER NOT NULL
);
-- ;;
-- What an operator sets of a drill. One INSERT INTO set_drills begins, replaces or, with 0 calls,
-- ends the drill of a key, and writes the audit log. It may run twice: a request that is in the
-- audit log already does not begin its drill again.
CREATE VIEW IF NOT EXISTS set_drills (api_key_id, fault, calls, at, changed_by)
AS SELECT NULL, NULL, NULL, NULL, NULL;
-- ;;
CREATE TRIGGER IF NOT EXISTS set_drill_of_key INSTEAD OF INSERT ON set_drills
WHEN NOT EXISTS (SELECT 1 FROM audit_log WHERE request_id = NEW.changed_by ->> 'request'
    AND action = NEW.changed_by ->> 'action' AND subject = 'key:' || NEW.api_key_id)
BEGIN
    INSERT INTO audit_log (at, actor, action, subject, before, after, request_id)
    VALUES (NEW.at, NEW.changed_by ->> 'by', NEW.changed_by ->> 'action',
        'key:' || NEW.api_key_id,
        json_object('drill', (SELECT json_object('fault', fault, 'calls_left', calls_left)
            FROM fault_drills WHERE api_key_id = NEW.api_key_id AND calls_left > 0)),
        json_object('drill', iif(NEW.calls > 0,
            json_object('fault', NEW.fault, 'calls_left', NEW.calls), NULL)),
        NEW.changed_by ->> 'request');
    DELETE FROM fault_drills WHERE api_key_id = NEW.api_key_id;
    INSERT INTO fault_drills (api_key_id, fault, calls_left)
    SELECT NEW.api_key_id, NEW.fault, NEW.calls WHERE NEW.calls > 0;
END;
-- ;;
CREATE TRIGGER IF NOT EXISTS end_drill_of_deleted_key AFTER DELETE ON api_keys
BEGIN
    DELETE FROM fault_drills WHERE api_key_id = OLD.id;
END;
