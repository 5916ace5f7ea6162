-- Thought signatures of tool calls, for clients that do not send them back. Only who knows the call can find its row, and
-- open it: the digest and the key of the seal are both derived from what the call says.
CREATE TABLE IF NOT EXISTS thought_signatures (
    call_digest BLOB PRIMARY KEY,
    sealed BLOB NOT NULL,
    kept_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idx_thought_signatures_kept_at ON thought_signatures (kept_at);
-- Models that refuse a tool call without its thought signature, as their errors have told.
CREATE TABLE IF NOT EXISTS signed_models (
    model TEXT PRIMARY KEY,
    learned_at TEXT NOT NULL
) WITHOUT ROWID;
