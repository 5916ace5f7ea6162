-- The tables of the earlier deployment on Cloudflare that this pool replaces, with its columns and
-- index names, so that its dump loads unchanged. A database that has them keeps them as they are.
--
-- Two things are left out on a new database: indexes that no query of the pool uses, and the foreign
-- key from calls to keys. Spin's SQLite enforces foreign keys, so with it the calls of a deleted key
-- would be deleted, too.
--
-- Times are ISO-8601 text in UTC with milliseconds.

CREATE TABLE IF NOT EXISTS api_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    api_key TEXT NOT NULL UNIQUE,
    name TEXT,
    priority INTEGER NOT NULL DEFAULT 100,
    -- 1 active, 2 cooling until disabled_until, 0 disabled
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
-- ;;
CREATE TABLE IF NOT EXISTS api_call_logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    api_key_id INTEGER NOT NULL,
    success INTEGER NOT NULL,
    -- NULL if the upstream sent no response
    response_status INTEGER,
    error_message TEXT,
    response_time_ms INTEGER,
    called_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
-- ;;
CREATE INDEX IF NOT EXISTS idx_api_keys_status ON api_keys (status);
-- ;;
CREATE INDEX IF NOT EXISTS idx_api_keys_priority ON api_keys (priority);
-- ;;
CREATE INDEX IF NOT EXISTS idx_logs_called_at ON api_call_logs (called_at);
