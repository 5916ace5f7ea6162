#!/usr/bin/env bash
# wrangler 4.164.0 (npm): `d1 execute --file` refuses what `d1 export` has written when a view has a trigger.
#
# Expected: an export can be loaded again.
# Seen:     the triggers are written before the views, and CREATE TRIGGER ... INSTEAD OF ... ON a view that does not yet
#           exist fails: "no such table".
source "$(dirname "$0")/lib/setup.sh"
d1_install
cat > schema.sql <<'EOF'
CREATE TABLE readings (id INTEGER PRIMARY KEY, celsius REAL);
CREATE VIEW fahrenheit AS SELECT id, celsius * 1.8 + 32 AS degrees FROM readings;
CREATE TRIGGER fahrenheit_insert INSTEAD OF INSERT ON fahrenheit
BEGIN INSERT INTO readings (celsius) VALUES ((new.degrees - 32) / 1.8); END;
EOF
wrangler d1 execute pool --local --file schema.sql > log 2>&1 || { cat log; exit 2; }
wrangler d1 export pool --local --output export.sql > log 2>&1 || { cat log; exit 2; }
check "order" "$(grep -oE 'CREATE (TABLE|VIEW|TRIGGER)' export.sql | tr '\n' ' ')" "CREATE TABLE CREATE TRIGGER CREATE VIEW "
if wrangler d1 execute pool --local --persist-to other --file export.sql > log 2>&1; then loaded=yes; else loaded=no; fi
check "loads again" "$loaded" "no"
check "reason" "$(grep -o 'no such table: main.fahrenheit' log | head -1)" "no such table: main.fahrenheit"
