-- What the log of calls comes to per hour, key, model and outcome. It stays when rows of the log are deleted for their age,
-- or a key is.
CREATE TABLE IF NOT EXISTS api_call_hours (
    -- when the hour began in which the calls did; '' where a row has no time that can be read
    hour TEXT NOT NULL,
    api_key_id INTEGER NOT NULL,
    -- '' in rows of an earlier deployment, which did not know them
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    calls INTEGER NOT NULL,
    successes INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    total_response_time_ms INTEGER NOT NULL,
    max_response_time_ms INTEGER NOT NULL,
    -- of the calls whose answer had a first byte, and how many those are
    total_first_byte_ms INTEGER NOT NULL,
    first_bytes INTEGER NOT NULL,
    PRIMARY KEY (hour, api_key_id, model, outcome)
) WITHOUT ROWID;

-- Whoever writes the row, and by whatever way: an older instance and a dump that is loaded are counted, too. Nothing here
-- may fail, whatever the columns hold, since the row would be lost with it.
CREATE TRIGGER IF NOT EXISTS count_api_call AFTER INSERT ON api_call_logs
BEGIN
    INSERT INTO api_call_hours (hour, api_key_id, model, outcome, calls, successes, input_tokens, output_tokens,
        thinking_tokens, cached_tokens, total_response_time_ms, max_response_time_ms, total_first_byte_ms, first_bytes)
    VALUES (
        coalesce(strftime('%Y-%m-%dT%H:00:00.000Z', NEW.called_at), ''),
        CAST(coalesce(NEW.api_key_id, 0) AS INTEGER),
        coalesce(NEW.model, ''),
        coalesce(NEW.outcome, ''),
        1,
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
    ON CONFLICT (hour, api_key_id, model, outcome) DO UPDATE SET
        calls = calls + 1,
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

-- The rows that are there already, after the trigger, so that none falls between. Those that it has counted meanwhile are
-- in these sums, too: of the two the larger is right, however many instances do this, and also where one is late and rows
-- have been deleted since. That one need not count them all again, either, once the first has recorded the migration.
-- total() and not sum(), which fails where integers overflow.
INSERT INTO api_call_hours (hour, api_key_id, model, outcome, calls, successes, input_tokens, output_tokens,
    thinking_tokens, cached_tokens, total_response_time_ms, max_response_time_ms, total_first_byte_ms, first_bytes)
SELECT hour, api_key_id, model, outcome, count(*), total(success), total(input_tokens), total(output_tokens),
    total(thinking_tokens), total(cached_tokens), total(response_time_ms), max(response_time_ms),
    total(first_byte_ms), total(has_first_byte)
FROM (
    SELECT coalesce(strftime('%Y-%m-%dT%H:00:00.000Z', called_at), '') AS hour,
        CAST(coalesce(api_key_id, 0) AS INTEGER) AS api_key_id,
        coalesce(model, '') AS model,
        coalesce(outcome, '') AS outcome,
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
WHERE NOT EXISTS (SELECT 1 FROM schema_migrations WHERE id = 9)
GROUP BY hour, api_key_id, model, outcome
ON CONFLICT (hour, api_key_id, model, outcome) DO UPDATE SET
    calls = max(calls, excluded.calls),
    successes = max(successes, excluded.successes),
    input_tokens = max(input_tokens, excluded.input_tokens),
    output_tokens = max(output_tokens, excluded.output_tokens),
    thinking_tokens = max(thinking_tokens, excluded.thinking_tokens),
    cached_tokens = max(cached_tokens, excluded.cached_tokens),
    total_response_time_ms = max(total_response_time_ms, excluded.total_response_time_ms),
    max_response_time_ms = max(max_response_time_ms, excluded.max_response_time_ms),
    total_first_byte_ms = max(total_first_byte_ms, excluded.total_first_byte_ms),
    first_bytes = max(first_bytes, excluded.first_bytes);
