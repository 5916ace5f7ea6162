-- Calls per client address and minute, counted by all instances together. Rows live for a few minutes.

CREATE TABLE IF NOT EXISTS rate_limits (
    client_address TEXT NOT NULL,
    -- minutes since the Unix epoch
    minute INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (client_address, minute)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS idx_rate_limits_minute ON rate_limits (minute);
