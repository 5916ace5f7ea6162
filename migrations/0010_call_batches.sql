-- What calls that have ended leave behind, in one statement for all that end together: their rows in the log, and what
-- they add to their keys' counters. INSERT INTO call_batches takes both as JSON arrays: a statement whose text is always
-- the same is compiled once in a connection's life, and one value crosses the host's border instead of fifteen a row.
-- A later migration that adds a column to the log has to make the trigger anew.

CREATE VIEW IF NOT EXISTS call_batches (calls, counts) AS SELECT NULL, NULL;

CREATE TRIGGER IF NOT EXISTS write_call_batch INSTEAD OF INSERT ON call_batches
BEGIN
    INSERT INTO api_call_logs (api_key_id, success, response_status, error_message, response_time_ms, called_at,
        request_id, model, attempt, outcome, first_byte_ms, input_tokens, output_tokens, thinking_tokens, cached_tokens)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
        value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14
    FROM json_each(NEW.calls);

    -- A success forgives failures only when its call began after the latest of them: an answer that was already on its
    -- way when the key ran into its quota says nothing about the key now. Status 2 is cooling, 1 active.
    UPDATE api_keys SET
        total_calls = total_calls + counts.calls,
        success_calls = success_calls + counts.successes,
        last_used_at = max(coalesce(last_used_at, ''), counts.used),
        last_success_at = CASE WHEN counts.succeeded IS NULL THEN last_success_at
            ELSE max(coalesce(last_success_at, ''), counts.succeeded) END,
        last_success_began_at = CASE WHEN counts.began IS NULL THEN last_success_began_at
            ELSE max(coalesce(last_success_began_at, ''), counts.began) END,
        consecutive_failures = CASE WHEN counts.began >= coalesce(last_failure_at, '') THEN 0 ELSE consecutive_failures END,
        disabled_until = CASE WHEN counts.began >= coalesce(last_failure_at, '') THEN NULL ELSE disabled_until END,
        status = CASE WHEN counts.began >= coalesce(last_failure_at, '') AND status = 2 THEN 1 ELSE status END,
        trial_until = CASE WHEN counts.began >= coalesce(last_failure_at, '') THEN NULL ELSE trial_until END,
        last_outcome = CASE WHEN counts.ended >= coalesce(last_outcome_at, '') THEN counts.outcome ELSE last_outcome END,
        last_outcome_at = max(coalesce(last_outcome_at, ''), counts.ended),
        updated_at = counts.ended
    FROM (
        SELECT value ->> 0 AS id, value ->> 1 AS calls, value ->> 2 AS successes, value ->> 3 AS used,
            value ->> 4 AS succeeded, value ->> 5 AS began, value ->> 6 AS ended, value ->> 7 AS outcome
        FROM json_each(NEW.counts)
    ) AS counts
    WHERE api_keys.id = counts.id;
END;
