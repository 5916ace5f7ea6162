-- Of a pool of many keys an instance reads a sample: the usable ones whose ids lie close together in this hash (Knuth's, of
-- 32 bits), so that no sample follows the order in which keys were added. The statement that reads it has the same expression.

CREATE INDEX IF NOT EXISTS idx_api_keys_sample ON api_keys ((id & 2147483647) * 2654435761 & 4294967295) WHERE status <> 0;
