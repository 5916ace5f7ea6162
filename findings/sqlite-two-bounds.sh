#!/usr/bin/env bash
# SQLite 3.54.1 (apsw 3.54.1.0 on PyPI) searches an index by the first of two bounds, however loose that is.
#
# Expected: of `x > 0 AND x >= 99990`, with constants on an indexed column, the tighter bound begins the search.
# Seen:     the one that is written first does, so the search visits all 100,000 rows; the other way round, ten. The
#           plan is the same in both cases.
source "$(dirname "$0")/lib/setup.sh"
pip_install apsw==3.54.1.0
cat > run.py <<'EOF'
import apsw

database = apsw.Connection(":memory:")
database.execute("CREATE TABLE numbers (x INTEGER PRIMARY KEY)")
database.execute("WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000) INSERT INTO numbers SELECT x FROM n")


def cost(condition):
    """The rows found, and the thousands of steps of the virtual machine."""
    steps = 0

    def count():
        nonlocal steps
        steps += 1
        return False

    database.set_progress_handler(count, 1)
    rows = database.execute(f"SELECT count(x) FROM numbers WHERE {condition}").fetchone()[0]
    database.set_progress_handler(None)
    return f"{rows} rows, {steps // 1000},000 steps"


print(cost("x > 0 AND x >= 99991"))
print(cost("x >= 99991 AND x > 0"))
EOF
run venv/bin/python run.py > seen.txt
check "the loose bound first" "$(sed -n 1p seen.txt)" "10 rows, 300,000 steps"
check "the tight bound first" "$(sed -n 2p seen.txt)" "10 rows, 0,000 steps"
