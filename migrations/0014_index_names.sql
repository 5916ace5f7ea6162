-- The log's indexes under the names that the owner gave them: in a database of an earlier deployment, ours would stand beside them
-- with the same columns. The pool itself reads the log by called_at alone, so a new database gets no other index of it.
CREATE INDEX IF NOT EXISTS idx_logs_called_at ON api_call_logs (called_at);
DROP INDEX IF EXISTS idx_api_call_logs_called_at;
DROP INDEX IF EXISTS idx_api_call_logs_api_key_id;
DROP INDEX IF EXISTS idx_api_call_logs_success;
