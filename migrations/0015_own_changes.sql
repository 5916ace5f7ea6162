-- The pool marks its own changes of a key's state, so that what a person has changed is not undone by calls that were under
-- way; and a call that is written twice is counted once.

-- changes of the state by the pool
ALTER TABLE api_keys ADD COLUMN pool_moves INTEGER NOT NULL DEFAULT 0;
-- changes of the state by anybody else: a call that began before such a change does not move the state any more
ALTER TABLE api_keys ADD COLUMN edits INTEGER NOT NULL DEFAULT 0;
-- the end of a pause that the pool has set: of any other pause this differs from disabled_until
ALTER TABLE api_keys ADD COLUMN paused_until TEXT;

CREATE TRIGGER IF NOT EXISTS note_edited_key AFTER UPDATE OF status, disabled_until ON api_keys
WHEN NEW.pool_moves IS OLD.pool_moves
    AND (NEW.status IS NOT OLD.status OR NEW.disabled_until IS NOT OLD.disabled_until)
BEGIN
    UPDATE api_keys SET
        edits = edits + 1,
        paused_until = NULL,
        trial_until = NULL,
        disabled_at = NULL,
        disabled_reason = CASE WHEN disabled_reason IS OLD.disabled_reason THEN NULL ELSE disabled_reason END
    WHERE id = NEW.id;
END;

-- A pause of 30 minutes since the latest failure is the pool's.
UPDATE api_keys SET paused_until = disabled_until
WHERE status = 2 AND paused_until IS NULL
    AND abs(julianday(disabled_until) - julianday(last_failure_at) - 30.0 / 1440) < 1.0 / 1440;

-- Tables of earlier deployments allow NULL, which no addition changes.
UPDATE api_keys SET
    total_calls = coalesce(total_calls, 0),
    success_calls = coalesce(success_calls, 0),
    consecutive_failures = coalesce(consecutive_failures, 0)
WHERE total_calls IS NULL OR success_calls IS NULL OR consecutive_failures IS NULL;

-- When an operator has reset keys: what began before does not cool them again.
CREATE TABLE IF NOT EXISTS resets (
    -- key:7 or project:projects/123
    scope TEXT PRIMARY KEY,
    reset_at TEXT NOT NULL
) WITHOUT ROWID;

-- When the latest readiness check wrote.
ALTER TABLE readiness ADD COLUMN checked_at TEXT;

-- What a call that has ended leaves behind: its row in the log, and what it adds to its key's counters. A failure of the key
-- moves the key's state by a statement of its own. INSERT INTO recorded_calls takes many calls as well as one, and is one
-- statement for all tables. It may run twice: a call that is in the log already is left as it is.
-- A later migration that adds a column to the log makes a new view and trigger.
DROP VIEW IF EXISTS call_batches;
DROP VIEW IF EXISTS ended_calls;

CREATE VIEW IF NOT EXISTS recorded_calls (api_key_id, success, response_status, error_message, response_time_ms, called_at,
    request_id, model, attempt, outcome, first_byte_ms, input_tokens, output_tokens, thinking_tokens, cached_tokens,
    ended_at, horizon)
AS SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

-- Times after the horizon, which is a while after the call's end, were written by a clock that ran ahead, or are none.
CREATE TRIGGER IF NOT EXISTS record_call INSTEAD OF INSERT ON recorded_calls
WHEN NOT EXISTS (SELECT 1 FROM api_call_logs
    WHERE called_at = NEW.called_at AND request_id = NEW.request_id AND attempt = NEW.attempt)
BEGIN
    INSERT INTO api_call_logs (api_key_id, success, response_status, error_message, response_time_ms, called_at,
        request_id, model, attempt, outcome, first_byte_ms, input_tokens, output_tokens, thinking_tokens, cached_tokens)
    VALUES (NEW.api_key_id, NEW.success, NEW.response_status, NEW.error_message, NEW.response_time_ms, NEW.called_at,
        NEW.request_id, NEW.model, NEW.attempt, NEW.outcome, NEW.first_byte_ms, NEW.input_tokens, NEW.output_tokens,
        NEW.thinking_tokens, NEW.cached_tokens);

    -- Nothing here is in an index.
    UPDATE api_keys SET
        total_calls = coalesce(total_calls, 0) + 1,
        success_calls = coalesce(success_calls, 0) + NEW.success,
        last_used_at = CASE WHEN last_used_at > NEW.called_at AND last_used_at <= NEW.horizon
            THEN last_used_at ELSE NEW.called_at END,
        last_success_at = CASE WHEN NOT NEW.success OR (last_success_at > NEW.ended_at AND last_success_at <= NEW.horizon)
            THEN last_success_at ELSE NEW.ended_at END,
        last_success_began_at = CASE WHEN NOT NEW.success
            OR (last_success_began_at > NEW.called_at AND last_success_began_at <= NEW.horizon)
            THEN last_success_began_at ELSE NEW.called_at END,
        last_outcome = CASE WHEN last_outcome_at > NEW.ended_at AND last_outcome_at <= NEW.horizon
            THEN last_outcome ELSE NEW.outcome END,
        last_outcome_at = CASE WHEN last_outcome_at > NEW.ended_at AND last_outcome_at <= NEW.horizon
            THEN last_outcome_at ELSE NEW.ended_at END,
        updated_at = CASE WHEN updated_at > NEW.ended_at AND updated_at <= NEW.horizon
            THEN updated_at ELSE NEW.ended_at END
    WHERE id = NEW.api_key_id;

    -- A success forgives failures only when its call began after the latest of them: an answer that was already on its
    -- way when the key ran into its quota says nothing about the key now.
    UPDATE api_keys SET consecutive_failures = 0, trial_until = NULL
    WHERE NEW.success AND id = NEW.api_key_id
        AND (NEW.called_at >= coalesce(last_failure_at, '') OR last_failure_at > NEW.horizon)
        AND (consecutive_failures IS NOT 0 OR trial_until IS NOT NULL);

    -- And it ends a pause (status 2) that the pool has set, or that is over. A date is asked for, since SQLite takes other
    -- texts for times, too: 2099 is a day long past.
    UPDATE api_keys SET status = 1, disabled_until = NULL, paused_until = NULL, pool_moves = pool_moves + 1
    WHERE NEW.success AND id = NEW.api_key_id AND status = 2
        AND (NEW.called_at >= coalesce(last_failure_at, '') OR last_failure_at > NEW.horizon)
        AND (disabled_until = paused_until
            OR (trim(disabled_until) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
                AND strftime('%Y-%m-%dT%H:%M:%fZ', trim(disabled_until)) <= NEW.called_at));
END;
