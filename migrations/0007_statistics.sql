-- The calls of all time per key, model, outcome and client token: counters for monitoring, which
-- would take too long to sum from the hours. The pool adds the calls of the log from time to time.
CREATE TABLE IF NOT EXISTS api_call_totals (
    api_key_id INTEGER NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    token_id INTEGER NOT NULL,
    -- the id of the earliest; 0 for calls before this table
    first_call_id INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    successes INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    total_response_time_ms INTEGER NOT NULL,
    total_first_byte_ms INTEGER NOT NULL,
    -- the id of the latest; later calls than the latest of all rows were not added yet
    last_call_id INTEGER NOT NULL,
    PRIMARY KEY (api_key_id, model, outcome, token_id)
) WITHOUT ROWID;
-- ;;
CREATE INDEX IF NOT EXISTS idx_api_call_totals_last_call_id ON api_call_totals (last_call_id);
-- ;;
-- How long the calls of past hours took. The rows of an hour are written some time after its end,
-- from the log. Merging the rows at level call would be slow, so there are rows at several levels of
-- detail: pool, key, model, token, and call for all columns. At level total, a row has all calls for
-- a model up to and including this hour.
CREATE TABLE IF NOT EXISTS call_durations (
    level TEXT NOT NULL,
    hour TEXT NOT NULL,
    -- 0 or '' where the level has no such detail
    api_key_id INTEGER NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    token_id INTEGER NOT NULL,
    -- JSON objects: how many calls took so many milliseconds, such as {"288":2,"12":1}, and how many
    -- first bytes came after so many. The times are rounded down to four significant bits, and 2^25
    -- at most.
    durations TEXT NOT NULL,
    first_bytes TEXT NOT NULL,
    PRIMARY KEY (level, hour, api_key_id, model, outcome, token_id)
) WITHOUT ROWID;
-- ;;
-- The calls so far. Instances may do this concurrently, while others log calls.
INSERT INTO api_call_totals (api_key_id, model, outcome, token_id, first_call_id, calls, requests,
    successes, input_tokens, output_tokens, thinking_tokens, cached_tokens, total_response_time_ms,
    total_first_byte_ms, last_call_id)
SELECT api_key_id, model, outcome, token_id, 0, total(calls), total(requests),
    total(successes), total(input_tokens), total(output_tokens), total(thinking_tokens),
    total(cached_tokens), total(total_response_time_ms), total(total_first_byte_ms),
    (SELECT coalesce(max(id), 0) FROM api_call_logs)
FROM api_call_hours
WHERE NOT EXISTS (SELECT 1 FROM schema_migrations WHERE id = 7)
GROUP BY api_key_id, model, outcome, token_id
ON CONFLICT (api_key_id, model, outcome, token_id) DO UPDATE SET
    first_call_id = excluded.first_call_id,
    calls = excluded.calls,
    requests = excluded.requests,
    successes = excluded.successes,
    input_tokens = excluded.input_tokens,
    output_tokens = excluded.output_tokens,
    thinking_tokens = excluded.thinking_tokens,
    cached_tokens = excluded.cached_tokens,
    total_response_time_ms = excluded.total_response_time_ms,
    total_first_byte_ms = excluded.total_first_byte_ms,
    last_call_id = excluded.last_call_id
WHERE last_call_id < excluded.last_call_id;
