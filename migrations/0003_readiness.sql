-- One row that each readiness check writes anew: a full disk shows only when something is written.

CREATE TABLE IF NOT EXISTS readiness (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    checks INTEGER NOT NULL
);
