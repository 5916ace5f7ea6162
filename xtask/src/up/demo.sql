-- The history of the demo: three days of made-up calls until now, for `keypool import-sql`.
CREATE TABLE client_tokens (id INTEGER PRIMARY KEY, prefix TEXT, digest BLOB, name TEXT, created_at TEXT,
    updated_at TEXT, expires_at TEXT, models TEXT, requests_per_minute INTEGER, tokens_per_day INTEGER);
-- Nobody has the tokens of these digests.
INSERT INTO client_tokens
SELECT column1, column2, randomblob(32), column3, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days'),
    strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now', column4),
    column5, column6, column7
FROM (VALUES (1, 'kp_DemoAnna', 'Anna', '+5 days', NULL, 60, 4000000),
    (2, 'kp_DemoBots', 'Support bot', '+200 days', '["gemini-*flash*"]', 120, NULL),
    (3, 'kp_DemoLabs', 'Lab notebook', NULL, NULL, NULL, 20000000));

CREATE TABLE api_call_logs (id INTEGER PRIMARY KEY, api_key_id INTEGER, success INTEGER,
    response_status INTEGER, error_message TEXT, response_time_ms INTEGER, called_at TEXT,
    request_id TEXT, model TEXT, attempt INTEGER, outcome TEXT, first_byte_ms INTEGER,
    input_tokens INTEGER, output_tokens INTEGER, thinking_tokens INTEGER, cached_tokens INTEGER,
    token_id INTEGER);
INSERT INTO api_call_logs (api_key_id, success, response_status, error_message, response_time_ms,
    called_at, request_id, model, attempt, outcome, first_byte_ms, input_tokens, output_tokens,
    thinking_tokens, cached_tokens, token_id)
WITH RECURSIVE
-- How many requests an hour of the day (UTC) has.
rhythm (hour, requests) AS (VALUES
    ('00', 60), ('01', 50), ('02', 45), ('03', 40), ('04', 40), ('05', 50), ('06', 80), ('07', 120),
    ('08', 160), ('09', 180), ('10', 180), ('11', 170), ('12', 150), ('13', 170), ('14', 190), ('15', 180),
    ('16', 160), ('17', 140), ('18', 120), ('19', 110), ('20', 100), ('21', 90), ('22', 80), ('23', 70)),
hours (ago) AS (SELECT 0 UNION ALL SELECT ago + 1 FROM hours WHERE ago < 71),
numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 199),
-- Eight numbers from 0 to 999 for each request, which look random.
requests AS MATERIALIZED (
    SELECT (unixepoch('now') - ago * 3600) * 1000 - (n * 3600000 / r.requests) - 3000 AS ms, seed,
        seed * 7919 % 100003 % 1000 AS r1, seed * 104729 % 1000033 % 1000 AS r2,
        seed * 15485 % 999983 % 1000 AS r3, seed * 32452 % 100019 % 1000 AS r4,
        seed * 49979 % 1000211 % 1000 AS r5, seed * 67867 % 100043 % 1000 AS r6
    FROM (SELECT ago, n, ago * 7331 + n * 613 + 17 AS seed FROM hours, numbers) AS s
    JOIN rhythm AS r ON r.hour = strftime('%H', 'now', '-' || ago || ' hours') AND s.n < r.requests),
-- What is asked for, and how the first attempt ends.
asked AS MATERIALIZED (
    SELECT *, CASE WHEN r1 < 520 THEN 'gemini-2.5-flash' WHEN r1 < 780 THEN 'gemini-2.5-pro'
            WHEN r1 < 940 THEN 'gemini-flash-latest' ELSE 'gemini-embedding-001' END AS model,
        CASE WHEN r2 < 895 THEN 'success' WHEN r2 < 935 THEN 'quota_per_minute'
            WHEN r2 < 960 THEN 'model_overloaded' WHEN r2 < 968 THEN 'upstream_trouble'
            WHEN r2 < 976 THEN 'unanswered' WHEN r2 < 988 THEN 'client_fault'
            WHEN r2 < 994 THEN 'client_gone' WHEN r1 < 780 AND r1 >= 520 THEN 'quota_per_day'
            ELSE 'success' END AS first_outcome,
        'req_' || printf('%012x', ms) || printf('%020x', seed * 2654435761) AS request_id
    FROM requests),
attempts (attempt, ms, seed, r3, r4, r5, r6, model, outcome, request_id) AS (
    SELECT 1, ms, seed, r3, r4, r5, r6, model, first_outcome, request_id FROM asked
    UNION ALL
    SELECT attempt + 1, ms + 150 + r4 * 2, seed * 31 % 1000003, (r3 + 377) % 1000, (r4 + 619) % 1000, r5,
        (r6 + 389) % 1000, model, CASE WHEN attempt = 1 AND r6 < 150 THEN 'model_overloaded' ELSE 'success' END,
        request_id
    FROM attempts WHERE attempt < 3 AND outcome NOT IN ('success', 'client_fault', 'client_gone')),
-- How long it takes: a slow tail, and a slower model.
timed AS (
    SELECT *, CASE model WHEN 'gemini-2.5-pro' THEN 1400 WHEN 'gemini-embedding-001' THEN 90 ELSE 260 END
            + r3 * CASE model WHEN 'gemini-2.5-pro' THEN 3 WHEN 'gemini-embedding-001' THEN 0 ELSE 1 END
            + CASE WHEN r4 > 985 THEN r3 * 14 ELSE 0 END AS first_byte,
        CASE model WHEN 'gemini-embedding-001' THEN 0 ELSE 40 + r6 * r5 / 500 END AS output
    FROM attempts)
-- Key 5 was not used lately.
SELECT CASE (seed + r3) % 12 WHEN 4 THEN 8 ELSE 1 + (seed + r3) % 12 END, outcome = 'success',
    CASE outcome WHEN 'success' THEN 200 WHEN 'client_gone' THEN 200 WHEN 'client_fault' THEN 400
        WHEN 'model_overloaded' THEN 503 WHEN 'upstream_trouble' THEN 500 WHEN 'unanswered' THEN NULL ELSE 429 END,
    CASE outcome WHEN 'quota_per_minute' THEN 'You exceeded your current quota (made up): requests per minute'
        WHEN 'quota_per_day' THEN 'You exceeded your current quota (made up): requests per day'
        WHEN 'model_overloaded' THEN 'The model is overloaded (made up)'
        WHEN 'upstream_trouble' THEN 'An internal error has occurred (made up)'
        WHEN 'unanswered' THEN 'the connection failed before the response (made up)'
        WHEN 'client_fault' THEN 'Request contains an invalid argument (made up)' END,
    CASE WHEN outcome IN ('success', 'client_gone') THEN first_byte + output * 7 ELSE 60 + r4 / 4 END,
    strftime('%Y-%m-%dT%H:%M:%fZ', ms / 1000.0, 'unixepoch'), request_id, model, attempt, outcome,
    CASE WHEN outcome IN ('success', 'client_gone') THEN first_byte WHEN outcome <> 'unanswered' THEN 55 + r4 / 4 END,
    CASE WHEN outcome = 'success' THEN 80 + r5 * 6 END,
    CASE WHEN outcome = 'success' THEN output END,
    CASE WHEN outcome = 'success' AND model = 'gemini-2.5-pro' THEN 200 + r3 END,
    CASE WHEN outcome = 'success' AND r6 > 700 THEN r5 * 4 END,
    nullif(r5 % 4, 0)
FROM timed ORDER BY ms;

CREATE TABLE api_keys (id INTEGER PRIMARY KEY, api_key TEXT, name TEXT, priority INTEGER, status INTEGER,
    consecutive_failures INTEGER, total_calls INTEGER, success_calls INTEGER, last_used_at TEXT,
    last_success_at TEXT, last_outcome TEXT, project TEXT, tags TEXT, note TEXT, created_at TEXT);
INSERT INTO api_keys
SELECT key_id, printf('not-a-real-key-for-the-demo-%04d', key_id), column2, column3,
    1, CASE key_id WHEN 11 THEN 3 ELSE 0 END,
    iif(key_id = 5, 812, (SELECT count(*) FROM api_call_logs WHERE api_key_id = key_id)),
    iif(key_id = 5, 790, (SELECT count(*) FROM api_call_logs WHERE api_key_id = key_id AND success)),
    iif(key_id = 5, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-9 days'), (SELECT max(called_at) FROM api_call_logs WHERE api_key_id = key_id)),
    iif(key_id = 5, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-9 days'), (SELECT max(called_at) FROM api_call_logs WHERE api_key_id = key_id AND success)),
    CASE key_id WHEN 11 THEN 'model_overloaded' ELSE 'success' END, column4, column5, column6, strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-60 days')
FROM (SELECT column1 AS key_id, * FROM (VALUES
    (1, 'team a, first', 100, 'projects/1001', '["team-a"]', NULL), (2, 'team a, second', 100, 'projects/1001', '["team-a"]', NULL),
    (3, 'team a, spare', 60, 'projects/1002', '["team-a","spare"]', 'Paid plan'), (4, 'team b', 100, 'projects/1003', '["team-b"]', NULL),
    (5, 'team b, old', 100, 'projects/1004', '["team-b"]', 'Replace before the new year'), (6, 'lab 1', 120, 'projects/1005', '["lab"]', NULL),
    (7, 'lab 2', 120, 'projects/1006', '["lab"]', NULL), (8, 'lab 3', 80, 'projects/1007', '["lab"]', NULL),
    (9, 'office', 100, 'projects/1008', '["office"]', 'Restricted to other APIs'), (10, NULL, 100, NULL, NULL, NULL),
    (11, 'batch', 100, 'projects/1009', '["batch"]', NULL), (12, 'batch, spare', 40, 'projects/1010', '["batch","spare"]', NULL)));
