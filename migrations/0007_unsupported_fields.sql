-- Fields of requests that Google does not know for a model, as its errors have told: they are left out from then on.
CREATE TABLE IF NOT EXISTS unsupported_fields (
    model TEXT NOT NULL,
    field TEXT NOT NULL,
    learned_at TEXT NOT NULL,
    PRIMARY KEY (model, field)
) WITHOUT ROWID;
