-- What was made with a key, and only keys of its project can use: files, cached contents, batches, operations, uploads.
CREATE TABLE IF NOT EXISTS resources (
    -- as Google names it: files/abc; of an upload under way: uploads/ID
    name TEXT PRIMARY KEY,
    api_key_id INTEGER NOT NULL,
    -- the key's project when it was made; NULL where nobody knew it
    project TEXT,
    made_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS idx_resources_made_at ON resources (made_at);
