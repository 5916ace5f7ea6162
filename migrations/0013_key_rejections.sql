-- When the upstream last rejected the key: the second rejection in a row, without a success in between, disables it.
ALTER TABLE api_keys ADD COLUMN rejected_at TEXT;
-- The header in which the upstream takes the key, where it has refused the usual one: authorization or x-goog-api-key.
ALTER TABLE api_keys ADD COLUMN credential_header TEXT;
