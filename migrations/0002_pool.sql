-- The pool's own columns and tables. Times are ISO-8601 text in UTC with milliseconds; an outcome
-- is its name (docs/errors.md); a scope is `key:7` or `project:projects/123`.
--
-- Every statement may run twice, and alongside other instances that do the same.

-- The Google project, such as projects/123. NULL if it is not known: then the key counts alone.
ALTER TABLE api_keys ADD COLUMN project TEXT;
-- ;;
-- Why and when the pool disabled the key. NULL if a person did.
ALTER TABLE api_keys ADD COLUMN disabled_reason TEXT;
-- ;;
ALTER TABLE api_keys ADD COLUMN disabled_at TEXT;
-- ;;
-- How the latest call ended.
ALTER TABLE api_keys ADD COLUMN last_outcome TEXT;
-- ;;
ALTER TABLE api_keys ADD COLUMN last_outcome_at TEXT;
-- ;;
-- When the latest call that worked began. The start is stored, since a call
-- that began before a failure proves nothing about the key after it.
ALTER TABLE api_keys ADD COLUMN last_success_began_at TEXT;
-- ;;
-- Until when a call is trying whether the key works after its pause, and no other call may.
ALTER TABLE api_keys ADD COLUMN trial_until TEXT;
-- ;;
-- When the upstream last rejected the key. A second rejection in a row disables it.
ALTER TABLE api_keys ADD COLUMN rejected_at TEXT;
-- ;;
-- The header in which the upstream accepts the key, if it has refused the usual one: authorization
-- or x-goog-api-key.
ALTER TABLE api_keys ADD COLUMN credential_header TEXT;
-- ;;
-- How often the pool has changed the state.
ALTER TABLE api_keys ADD COLUMN pool_moves INTEGER NOT NULL DEFAULT 0;
-- ;;
-- How often anyone but the pool has changed the state. A call that began before such a change
-- no longer moves it.
ALTER TABLE api_keys ADD COLUMN edits INTEGER NOT NULL DEFAULT 0;
-- ;;
-- A copy of disabled_until for a pause that the pool has set. If the two differ, someone else has
-- set the pause.
ALTER TABLE api_keys ADD COLUMN paused_until TEXT;
-- ;;
ALTER TABLE api_call_logs ADD COLUMN request_id TEXT;
-- ;;
ALTER TABLE api_call_logs ADD COLUMN model TEXT;
-- ;;
-- 1 for a request's first attempt, 2 for the next.
ALTER TABLE api_call_logs ADD COLUMN attempt INTEGER;
-- ;;
ALTER TABLE api_call_logs ADD COLUMN outcome TEXT;
-- ;;
-- From sending to the first byte of the answer.
ALTER TABLE api_call_logs ADD COLUMN first_byte_ms INTEGER;
-- ;;
-- As the answer's usage states; NULL if it has none.
ALTER TABLE api_call_logs ADD COLUMN input_tokens INTEGER;
-- ;;
ALTER TABLE api_call_logs ADD COLUMN output_tokens INTEGER;
-- ;;
ALTER TABLE api_call_logs ADD COLUMN thinking_tokens INTEGER;
-- ;;
ALTER TABLE api_call_logs ADD COLUMN cached_tokens INTEGER;
-- ;;
-- The client token of the call; NULL for the built-in one.
ALTER TABLE api_call_logs ADD COLUMN token_id INTEGER;
-- ;;
-- 1 if a fault drill ended the call, so that the upstream got none.
ALTER TABLE api_call_logs ADD COLUMN drill INTEGER;
-- ;;
-- Calls per minute. Rows live for a few minutes.
CREATE TABLE IF NOT EXISTS rate_limits (
    -- a client's address, or what else is counted of it
    counter TEXT NOT NULL,
    -- minutes since the Unix epoch
    minute INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (counter, minute)
) WITHOUT ROWID;
-- ;;
CREATE INDEX IF NOT EXISTS idx_rate_limits_minute ON rate_limits (minute);
-- ;;
-- One row that each readiness check writes: a full disk shows only in a write.
CREATE TABLE IF NOT EXISTS readiness (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    checks INTEGER NOT NULL,
    checked_at TEXT
);
-- ;;
-- One row with the number of statements that have failed, as far as instances could tell afterwards.
CREATE TABLE IF NOT EXISTS database_errors (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    errors INTEGER NOT NULL
);
-- ;;
CREATE TABLE IF NOT EXISTS cool_downs (
    scope TEXT NOT NULL,
    -- '' for all models
    model TEXT NOT NULL,
    -- the outcome
    reason TEXT NOT NULL,
    began_at TEXT NOT NULL,
    until TEXT NOT NULL,
    -- incidents in a row
    strikes INTEGER NOT NULL,
    trial_until TEXT,
    PRIMARY KEY (scope, model)
) WITHOUT ROWID;
-- ;;
CREATE TABLE IF NOT EXISTS limits (
    scope TEXT NOT NULL,
    -- '' for all models together
    model TEXT NOT NULL,
    -- requests, input_tokens or texts (texts to embed)
    unit TEXT NOT NULL,
    -- minute or day
    per TEXT NOT NULL,
    -- as an error stated it; NULL if none did
    learned INTEGER,
    learned_at TEXT,
    -- as an operator set it; the lower of the two counts
    preset INTEGER,
    PRIMARY KEY (scope, model, unit, per)
) WITHOUT ROWID;
-- ;;
-- Calls that count towards known limits, in slots of 10 seconds and in days of Los Angeles.
CREATE TABLE IF NOT EXISTS budget_usage (
    scope TEXT NOT NULL,
    model TEXT NOT NULL,
    -- minute for a slot, or day
    per TEXT NOT NULL,
    began_at TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    PRIMARY KEY (scope, model, per, began_at)
) WITHOUT ROWID;
-- ;;
CREATE INDEX IF NOT EXISTS idx_budget_usage_per ON budget_usage (per, began_at);
-- ;;
-- Retries that the pool's budget has granted, per minute since the Unix epoch, and how many calls
-- there had been by then.
CREATE TABLE IF NOT EXISTS retry_budget (
    minute INTEGER PRIMARY KEY,
    calls_before INTEGER NOT NULL,
    retries INTEGER NOT NULL
);
-- ;;
-- When an operator has reset keys: what began before does not cool them again.
CREATE TABLE IF NOT EXISTS resets (
    scope TEXT PRIMARY KEY,
    reset_at TEXT NOT NULL
) WITHOUT ROWID;
-- ;;
-- What was made with a key, and only keys of its project can use: files, cached contents, batches,
-- operations, uploads.
CREATE TABLE IF NOT EXISTS resources (
    -- as Google names it: files/abc; for an upload in progress: uploads/ID
    name TEXT PRIMARY KEY,
    api_key_id INTEGER NOT NULL,
    -- the key's project at that time; NULL if it was not known
    project TEXT,
    made_at TEXT NOT NULL
) WITHOUT ROWID;
-- ;;
CREATE INDEX IF NOT EXISTS idx_resources_made_at ON resources (made_at);
-- ;;
-- Fields of requests that Google does not know for a model, by its errors. They are left out.
CREATE TABLE IF NOT EXISTS unsupported_fields (
    model TEXT NOT NULL,
    field TEXT NOT NULL,
    learned_at TEXT NOT NULL,
    PRIMARY KEY (model, field)
) WITHOUT ROWID;
-- ;;
-- The models that the pool's keys may use, as each API lists them. Fetched every few minutes.
CREATE TABLE IF NOT EXISTS model_lists (
    -- the path at the upstream: each version of an API has its own list
    path TEXT PRIMARY KEY,
    -- a JSON array of the list's entries
    entries TEXT NOT NULL,
    read_at TEXT NOT NULL
) WITHOUT ROWID;
-- ;;
-- Thought signatures of tool calls, for clients that do not send them back. The digest and the key
-- of the seal are both derived from the call, so that only those who know the call can find and
-- open its row.
CREATE TABLE IF NOT EXISTS thought_signatures (
    call_digest BLOB PRIMARY KEY,
    sealed BLOB NOT NULL,
    kept_at TEXT NOT NULL
) WITHOUT ROWID;
-- ;;
CREATE INDEX IF NOT EXISTS idx_thought_signatures_kept_at ON thought_signatures (kept_at);
-- ;;
-- Models that refuse a tool call without its thought signature, by their errors.
CREATE TABLE IF NOT EXISTS signed_models (
    model TEXT PRIMARY KEY,
    learned_at TEXT NOT NULL
) WITHOUT ROWID;
-- ;;
-- Of a large pool an instance reads a sample: the usable keys whose ids are close together in this
-- hash (Knuth's, of 32 bits), so that no sample follows the order in which keys were added. The
-- statement that reads the sample has the same expression.
CREATE INDEX IF NOT EXISTS idx_api_keys_sample
    ON api_keys ((id & 2147483647) * 2654435761 & 4294967295) WHERE status <> 0;
-- ;;
-- The calls of the log per hour, key, model, outcome and client token. The sums stay when rows of the
-- log expire, or a key or token is deleted.
CREATE TABLE IF NOT EXISTS api_call_hours (
    -- when the hour began in which the calls did; '' if a row's time cannot be read
    hour TEXT NOT NULL,
    api_key_id INTEGER NOT NULL,
    -- '' in rows of an earlier deployment
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    -- 0 for the built-in one
    token_id INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    -- calls that were the first of their request
    requests INTEGER NOT NULL,
    successes INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    total_response_time_ms INTEGER NOT NULL,
    max_response_time_ms INTEGER NOT NULL,
    -- of the calls whose answer had a first byte, and their number
    total_first_byte_ms INTEGER NOT NULL,
    first_bytes INTEGER NOT NULL,
    PRIMARY KEY (hour, api_key_id, model, outcome, token_id)
) WITHOUT ROWID;
-- ;;
-- Counts every row, whoever writes it: an older instance, or a dump that is loaded. Nothing here
-- may fail, whatever the columns hold, since the row would be lost with it.
CREATE TRIGGER IF NOT EXISTS count_api_call AFTER INSERT ON api_call_logs
BEGIN
    INSERT INTO api_call_hours (hour, api_key_id, model, outcome, token_id, calls, requests,
        successes, input_tokens, output_tokens, thinking_tokens, cached_tokens,
        total_response_time_ms, max_response_time_ms, total_first_byte_ms, first_bytes)
    VALUES (
        coalesce(strftime('%Y-%m-%dT%H:00:00.000Z', NEW.called_at), ''),
        CAST(coalesce(NEW.api_key_id, 0) AS INTEGER),
        coalesce(NEW.model, ''),
        coalesce(NEW.outcome, ''),
        CAST(coalesce(NEW.token_id, 0) AS INTEGER),
        1,
        coalesce(NEW.attempt, 1) = 1,
        coalesce(NEW.success, 0) <> 0,
        CAST(coalesce(NEW.input_tokens, 0) AS INTEGER),
        CAST(coalesce(NEW.output_tokens, 0) AS INTEGER),
        CAST(coalesce(NEW.thinking_tokens, 0) AS INTEGER),
        CAST(coalesce(NEW.cached_tokens, 0) AS INTEGER),
        CAST(coalesce(NEW.response_time_ms, 0) AS INTEGER),
        CAST(coalesce(NEW.response_time_ms, 0) AS INTEGER),
        CAST(coalesce(NEW.first_byte_ms, 0) AS INTEGER),
        NEW.first_byte_ms IS NOT NULL
    )
    ON CONFLICT (hour, api_key_id, model, outcome, token_id) DO UPDATE SET
        calls = calls + 1,
        requests = requests + excluded.requests,
        successes = successes + excluded.successes,
        input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        thinking_tokens = thinking_tokens + excluded.thinking_tokens,
        cached_tokens = cached_tokens + excluded.cached_tokens,
        total_response_time_ms = total_response_time_ms + excluded.total_response_time_ms,
        max_response_time_ms = max(max_response_time_ms, excluded.max_response_time_ms),
        total_first_byte_ms = total_first_byte_ms + excluded.total_first_byte_ms,
        first_bytes = first_bytes + excluded.first_bytes;
END;
-- ;;
-- Counts the rows that exist already, after the trigger is in place, so that none is missed. Rows
-- that the trigger has counted since are in these sums, too: the larger of the two is right,
-- however many instances do this. Once one has recorded the migration, no other counts again.
-- total() rather than sum(), which fails where integers overflow.
INSERT INTO api_call_hours (hour, api_key_id, model, outcome, token_id, calls, requests, successes,
    input_tokens, output_tokens, thinking_tokens, cached_tokens, total_response_time_ms,
    max_response_time_ms, total_first_byte_ms, first_bytes)
SELECT hour, api_key_id, model, outcome, token_id, count(*), total(request), total(success),
    total(input_tokens), total(output_tokens), total(thinking_tokens), total(cached_tokens),
    total(response_time_ms), max(response_time_ms), total(first_byte_ms), total(has_first_byte)
FROM (
    SELECT coalesce(strftime('%Y-%m-%dT%H:00:00.000Z', called_at), '') AS hour,
        CAST(coalesce(api_key_id, 0) AS INTEGER) AS api_key_id,
        coalesce(model, '') AS model,
        coalesce(outcome, '') AS outcome,
        CAST(coalesce(token_id, 0) AS INTEGER) AS token_id,
        coalesce(attempt, 1) = 1 AS request,
        coalesce(success, 0) <> 0 AS success,
        CAST(coalesce(input_tokens, 0) AS INTEGER) AS input_tokens,
        CAST(coalesce(output_tokens, 0) AS INTEGER) AS output_tokens,
        CAST(coalesce(thinking_tokens, 0) AS INTEGER) AS thinking_tokens,
        CAST(coalesce(cached_tokens, 0) AS INTEGER) AS cached_tokens,
        CAST(coalesce(response_time_ms, 0) AS INTEGER) AS response_time_ms,
        CAST(coalesce(first_byte_ms, 0) AS INTEGER) AS first_byte_ms,
        first_byte_ms IS NOT NULL AS has_first_byte
    FROM api_call_logs
)
WHERE NOT EXISTS (SELECT 1 FROM schema_migrations WHERE id = 2)
GROUP BY hour, api_key_id, model, outcome, token_id
ON CONFLICT (hour, api_key_id, model, outcome, token_id) DO UPDATE SET
    calls = max(calls, excluded.calls),
    requests = max(requests, excluded.requests),
    successes = max(successes, excluded.successes),
    input_tokens = max(input_tokens, excluded.input_tokens),
    output_tokens = max(output_tokens, excluded.output_tokens),
    thinking_tokens = max(thinking_tokens, excluded.thinking_tokens),
    cached_tokens = max(cached_tokens, excluded.cached_tokens),
    total_response_time_ms = max(total_response_time_ms, excluded.total_response_time_ms),
    max_response_time_ms = max(max_response_time_ms, excluded.max_response_time_ms),
    total_first_byte_ms = max(total_first_byte_ms, excluded.total_first_byte_ms),
    first_bytes = max(first_bytes, excluded.first_bytes);
-- ;;
-- Notes changes of a key's state by anyone but the pool, so that calls in progress do not undo
-- them.
CREATE TRIGGER IF NOT EXISTS note_edited_key AFTER UPDATE OF status, disabled_until ON api_keys
WHEN NEW.pool_moves IS OLD.pool_moves
    AND (NEW.status IS NOT OLD.status OR NEW.disabled_until IS NOT OLD.disabled_until)
BEGIN
    UPDATE api_keys SET
        edits = edits + 1,
        paused_until = NULL,
        trial_until = NULL,
        disabled_at = NULL,
        disabled_reason = CASE WHEN disabled_reason IS OLD.disabled_reason
            THEN NULL ELSE disabled_reason END
    WHERE id = NEW.id;
END;
-- ;;
-- Earlier deployments paused keys for 30 minutes after a failure. Such pauses are the pool's own.
UPDATE api_keys SET paused_until = disabled_until
WHERE status = 2 AND paused_until IS NULL
    AND abs(julianday(disabled_until) - julianday(last_failure_at) - 30.0 / 1440) < 1.0 / 1440;
-- ;;
-- Tables of earlier deployments allow NULL.
UPDATE api_keys SET
    total_calls = coalesce(total_calls, 0),
    success_calls = coalesce(success_calls, 0),
    consecutive_failures = coalesce(consecutive_failures, 0)
WHERE total_calls IS NULL OR success_calls IS NULL OR consecutive_failures IS NULL;
-- ;;
-- What a call that has ended leaves behind: its row in the log, and what it adds to its key's
-- counters. One INSERT INTO recorded_calls takes one call or many, and changes all tables in one
-- statement. It may run twice: a call that is in the log already is left as it is. A failure of the
-- key itself moves the key's state by another statement. A later migration that adds a column to
-- the log makes a new view and trigger.
CREATE VIEW IF NOT EXISTS recorded_calls (api_key_id, success, response_status, error_message,
    response_time_ms, called_at, request_id, model, attempt, outcome, first_byte_ms, input_tokens,
    output_tokens, thinking_tokens, cached_tokens, token_id, ended_at, horizon, drill)
AS SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL;
-- ;;
-- Times after the horizon, which is a while after the call's end, were written by a clock that ran
-- ahead, or are not times.
CREATE TRIGGER IF NOT EXISTS record_call INSTEAD OF INSERT ON recorded_calls
WHEN NOT EXISTS (SELECT 1 FROM api_call_logs
    WHERE called_at = NEW.called_at AND request_id = NEW.request_id AND attempt = NEW.attempt)
BEGIN
    INSERT INTO api_call_logs (api_key_id, success, response_status, error_message,
        response_time_ms, called_at, request_id, model, attempt, outcome, first_byte_ms,
        input_tokens, output_tokens, thinking_tokens, cached_tokens, token_id, drill)
    VALUES (NEW.api_key_id, NEW.success, NEW.response_status, NEW.error_message,
        NEW.response_time_ms, NEW.called_at, NEW.request_id, NEW.model, NEW.attempt, NEW.outcome,
        NEW.first_byte_ms, NEW.input_tokens, NEW.output_tokens, NEW.thinking_tokens,
        NEW.cached_tokens, NEW.token_id, NEW.drill);

    -- None of these columns is indexed, so the update touches no index.
    UPDATE api_keys SET
        total_calls = coalesce(total_calls, 0) + 1,
        success_calls = coalesce(success_calls, 0) + NEW.success,
        last_used_at = CASE WHEN last_used_at > NEW.called_at AND last_used_at <= NEW.horizon
            THEN last_used_at ELSE NEW.called_at END,
        last_success_at = CASE WHEN NOT NEW.success
            OR (last_success_at > NEW.ended_at AND last_success_at <= NEW.horizon)
            THEN last_success_at ELSE NEW.ended_at END,
        last_success_began_at = CASE WHEN NOT NEW.success
            OR (last_success_began_at > NEW.called_at AND last_success_began_at <= NEW.horizon)
            THEN last_success_began_at ELSE NEW.called_at END,
        last_outcome = CASE WHEN last_outcome_at > NEW.ended_at AND last_outcome_at <= NEW.horizon
            THEN last_outcome ELSE NEW.outcome END,
        last_outcome_at = CASE WHEN last_outcome_at > NEW.ended_at
            AND last_outcome_at <= NEW.horizon
            THEN last_outcome_at ELSE NEW.ended_at END,
        updated_at = CASE WHEN updated_at > NEW.ended_at AND updated_at <= NEW.horizon
            THEN updated_at ELSE NEW.ended_at END
    WHERE id = NEW.api_key_id;

    -- A success clears failures only if its call began after the latest of them: an answer that was
    -- already under way when the key failed says nothing about the key now.
    UPDATE api_keys SET consecutive_failures = 0, trial_until = NULL
    WHERE NEW.success AND id = NEW.api_key_id
        AND (NEW.called_at >= coalesce(last_failure_at, '') OR last_failure_at > NEW.horizon)
        AND (consecutive_failures IS NOT 0 OR trial_until IS NOT NULL);

    -- It also ends a pause (status 2) that the pool has set, or that is over. The text must be a
    -- date, since SQLite reads other texts as times, too: 2099 would be a day long past.
    UPDATE api_keys SET status = 1, disabled_until = NULL, paused_until = NULL,
        pool_moves = pool_moves + 1
    WHERE NEW.success AND id = NEW.api_key_id AND status = 2
        AND (NEW.called_at >= coalesce(last_failure_at, '') OR last_failure_at > NEW.horizon)
        AND (disabled_until = paused_until
            OR (trim(disabled_until) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
                AND strftime('%Y-%m-%dT%H:%M:%fZ', trim(disabled_until)) <= NEW.called_at));
END;
