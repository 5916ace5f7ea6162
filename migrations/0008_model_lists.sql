-- The models that the pool's keys may use, as each API lists them: read anew every few minutes.
CREATE TABLE IF NOT EXISTS model_lists (
    -- where it is at the upstream: each version of an API has its own
    path TEXT PRIMARY KEY,
    -- a JSON array of the list's entries
    entries TEXT NOT NULL,
    read_at TEXT NOT NULL
) WITHOUT ROWID;
