-- Failover: why a key is out and whose quota it uses, what cools, what is left of known limits, and one row per attempt
-- with its request's id. Times are ISO-8601 text with milliseconds, in UTC; an outcome is its name.

-- the Google project, such as projects/123; NULL where nobody knows it: then the key counts alone
ALTER TABLE api_keys ADD COLUMN project TEXT;
-- why and when the pool disabled the key; NULL where a person did
ALTER TABLE api_keys ADD COLUMN disabled_reason TEXT;
ALTER TABLE api_keys ADD COLUMN disabled_at TEXT;
-- how the latest call ended
ALTER TABLE api_keys ADD COLUMN last_outcome TEXT;
ALTER TABLE api_keys ADD COLUMN last_outcome_at TEXT;
-- a call is trying whether the key works after its pause; until then no other may
ALTER TABLE api_keys ADD COLUMN trial_until TEXT;

ALTER TABLE api_call_logs ADD COLUMN request_id TEXT;
ALTER TABLE api_call_logs ADD COLUMN model TEXT;
-- 1 for a request's first call, 2 for the next
ALTER TABLE api_call_logs ADD COLUMN attempt INTEGER;
ALTER TABLE api_call_logs ADD COLUMN outcome TEXT;
-- from sending to the first byte of the answer
ALTER TABLE api_call_logs ADD COLUMN first_byte_ms INTEGER;
-- as the answer's usage tells; NULL where it has none
ALTER TABLE api_call_logs ADD COLUMN input_tokens INTEGER;
ALTER TABLE api_call_logs ADD COLUMN output_tokens INTEGER;
ALTER TABLE api_call_logs ADD COLUMN thinking_tokens INTEGER;
ALTER TABLE api_call_logs ADD COLUMN cached_tokens INTEGER;

CREATE TABLE IF NOT EXISTS cool_downs (
    -- key:7 or project:projects/123
    scope TEXT NOT NULL,
    -- '' for all models
    model TEXT NOT NULL,
    reason TEXT NOT NULL,
    began_at TEXT NOT NULL,
    until TEXT NOT NULL,
    -- incidents in a row
    strikes INTEGER NOT NULL,
    trial_until TEXT,
    PRIMARY KEY (scope, model)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS limits (
    scope TEXT NOT NULL,
    -- '' for all models together
    model TEXT NOT NULL,
    -- requests or input_tokens
    unit TEXT NOT NULL,
    -- minute or day
    per TEXT NOT NULL,
    -- as an error told; NULL where none did
    learned INTEGER,
    learned_at TEXT,
    -- as an operator wants it; the lower of the two holds
    preset INTEGER,
    PRIMARY KEY (scope, model, unit, per)
) WITHOUT ROWID;

-- Calls that count towards known limits, in slots of 10 seconds and in days of Los Angeles.
CREATE TABLE IF NOT EXISTS budget_usage (
    scope TEXT NOT NULL,
    model TEXT NOT NULL,
    -- minute: the slot that began then; day: the day
    per TEXT NOT NULL,
    began_at TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    PRIMARY KEY (scope, model, per, began_at)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS idx_budget_usage_began_at ON budget_usage (began_at);

-- Retries that the pool's budget has given, per minute since the Unix epoch, and how many calls there had been by then.
CREATE TABLE IF NOT EXISTS retry_budget (
    minute INTEGER PRIMARY KEY,
    calls_before INTEGER NOT NULL,
    retries INTEGER NOT NULL
);
