-- The pool's keys and the log of their calls. Times are ISO-8601 text with milliseconds, in UTC.
-- "IF NOT EXISTS" throughout: a database of an earlier deployment has these tables already and keeps them as they are.

CREATE TABLE IF NOT EXISTS api_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    api_key TEXT NOT NULL UNIQUE,
    name TEXT,
    priority INTEGER NOT NULL DEFAULT 100,
    -- 1 active, 2 temporarily disabled until disabled_until, 0 disabled
    status INTEGER NOT NULL DEFAULT 1,
    consecutive_failures INTEGER NOT NULL DEFAULT 0,
    total_calls INTEGER NOT NULL DEFAULT 0,
    success_calls INTEGER NOT NULL DEFAULT 0,
    last_used_at TEXT,
    last_success_at TEXT,
    last_failure_at TEXT,
    disabled_until TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE IF NOT EXISTS api_call_logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    api_key_id INTEGER NOT NULL,
    success INTEGER NOT NULL,
    -- NULL where the upstream sent no response
    response_status INTEGER,
    error_message TEXT,
    response_time_ms INTEGER,
    called_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE INDEX IF NOT EXISTS idx_api_keys_status ON api_keys (status);
CREATE INDEX IF NOT EXISTS idx_api_keys_disabled_until ON api_keys (disabled_until);
CREATE INDEX IF NOT EXISTS idx_api_keys_priority ON api_keys (priority);
CREATE INDEX IF NOT EXISTS idx_api_call_logs_api_key_id ON api_call_logs (api_key_id);
CREATE INDEX IF NOT EXISTS idx_api_call_logs_called_at ON api_call_logs (called_at);
CREATE INDEX IF NOT EXISTS idx_api_call_logs_success ON api_call_logs (success);
