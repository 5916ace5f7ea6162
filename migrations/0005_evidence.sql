-- When the latest call that worked began: its end says less about what came between.
ALTER TABLE api_keys ADD COLUMN last_success_began_at TEXT;

-- Slots and days are read and forgotten each by their own bound.
DROP INDEX IF EXISTS idx_budget_usage_began_at;
CREATE INDEX IF NOT EXISTS idx_budget_usage_per ON budget_usage (per, began_at);
