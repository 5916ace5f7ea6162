-- What a call that has ended leaves behind: its row in the log and, where it is `counted`, what it adds to its key's counters. A
-- failure of the key is counted with the key's state, by a statement of its own.
-- INSERT INTO ended_calls takes many calls as well as one, and is one statement for all tables. In place of call_batches, which
-- instances of earlier versions go on using: there each call's values came as JSON, and each wrote the indices of `status` and
-- `disabled_until` anew. A later migration that adds a column to the log makes a new view and trigger.

CREATE VIEW IF NOT EXISTS ended_calls (api_key_id, success, response_status, error_message, response_time_ms, called_at,
    request_id, model, attempt, outcome, first_byte_ms, input_tokens, output_tokens, thinking_tokens, cached_tokens,
    ended_at, counted)
AS SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL;

CREATE TRIGGER IF NOT EXISTS write_ended_call INSTEAD OF INSERT ON ended_calls
BEGIN
    INSERT INTO api_call_logs (api_key_id, success, response_status, error_message, response_time_ms, called_at,
        request_id, model, attempt, outcome, first_byte_ms, input_tokens, output_tokens, thinking_tokens, cached_tokens)
    VALUES (NEW.api_key_id, NEW.success, NEW.response_status, NEW.error_message, NEW.response_time_ms, NEW.called_at,
        NEW.request_id, NEW.model, NEW.attempt, NEW.outcome, NEW.first_byte_ms, NEW.input_tokens, NEW.output_tokens,
        NEW.thinking_tokens, NEW.cached_tokens);

    -- Nothing here is in an index.
    UPDATE api_keys SET
        total_calls = total_calls + 1,
        success_calls = success_calls + NEW.success,
        last_used_at = max(coalesce(last_used_at, ''), NEW.called_at),
        last_success_at = CASE WHEN NEW.success THEN max(coalesce(last_success_at, ''), NEW.ended_at)
            ELSE last_success_at END,
        last_success_began_at = CASE WHEN NEW.success THEN max(coalesce(last_success_began_at, ''), NEW.called_at)
            ELSE last_success_began_at END,
        last_outcome = CASE WHEN NEW.ended_at >= coalesce(last_outcome_at, '') THEN NEW.outcome ELSE last_outcome END,
        last_outcome_at = max(coalesce(last_outcome_at, ''), NEW.ended_at),
        updated_at = max(updated_at, NEW.ended_at)
    WHERE NEW.counted AND id = NEW.api_key_id;

    -- A success forgives failures only when its call began after the latest of them: an answer that was already on its
    -- way when the key ran into its quota says nothing about the key now. Status 2 is cooling, 1 active.
    UPDATE api_keys SET
        consecutive_failures = 0,
        disabled_until = NULL,
        status = CASE WHEN status = 2 THEN 1 ELSE status END,
        trial_until = NULL
    WHERE NEW.counted AND NEW.success AND id = NEW.api_key_id AND NEW.called_at >= coalesce(last_failure_at, '')
        AND (consecutive_failures <> 0 OR disabled_until IS NOT NULL OR status = 2 OR trial_until IS NOT NULL);
END;
