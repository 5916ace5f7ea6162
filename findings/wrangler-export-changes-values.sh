#!/usr/bin/env bash
# wrangler 4.164.0 (npm): `d1 export` changes texts and integers.
#
# Expected: the values come back as they were stored.
# Seen:     a line break is written as `\n` with replace() around the text, so that a text which has both a line break
#           and the two characters `\n`, such as logged JSON or code, comes back with two line breaks. An integer beyond
#           2^53 is rounded. There is no warning.
source "$(dirname "$0")/lib/setup.sh"
d1_install
cat > values.sql <<'EOF'
CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, big INTEGER);
INSERT INTO notes VALUES (1, 'first' || char(10) || 'printf("%d\n")', 9007199254740993);
EOF
# Read as text by SQL, so that no number passes through JavaScript here.
stored() {
  wrangler d1 execute pool --local --persist-to "$1" --json \
    --command "SELECT hex(body) AS body, CAST(big AS TEXT) AS big FROM notes" |
    node -e 'const [{ results: [row] }] = JSON.parse(require("fs").readFileSync(0)); console.log(Buffer.from(row.body, "hex").toString("latin1").split("\n").length, row.big)'
}
wrangler d1 execute pool --local --persist-to one --file values.sql > log 2>&1 || { cat log; exit 2; }
check "lines and integer before" "$(stored one)" "2 9007199254740993"
mkdir -p .wrangler && mv one .wrangler/state
wrangler d1 export pool --local --output export.sql > log 2>&1 || { cat log; exit 2; }
wrangler d1 execute pool --local --persist-to two --file export.sql > log 2>&1 || { cat log; exit 2; }
check "lines and integer after" "$(stored two)" "3 9007199254740992"
