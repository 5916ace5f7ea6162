-- Keys at rest. A sealed key has an envelope in api_key: sealed:1:ENCRYPTION-KEY-ID:BASE64.

-- The digest of the key under the encryption key, after a space. It binds the envelope to its row,
-- and a key is found by it without opening any. NULL for a key in clear text.
ALTER TABLE api_keys ADD COLUMN key_digest TEXT;
-- ;;
CREATE UNIQUE INDEX IF NOT EXISTS idx_api_keys_key_digest ON api_keys (key_digest);
-- ;;
-- A key that someone replaces by one in clear text has no digest any more.
CREATE TRIGGER IF NOT EXISTS forget_key_digest AFTER UPDATE OF api_key ON api_keys
WHEN NEW.key_digest IS NOT NULL AND NOT (NEW.api_key >= 'sealed:' AND NEW.api_key < 'sealed;')
BEGIN
    UPDATE api_keys SET key_digest = NULL WHERE id = NEW.id;
END;
