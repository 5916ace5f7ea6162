#!/usr/bin/env bash
# promtool 2.42.0 (Debian 12) passes a test of an alert that does not exist.
#
# Expected: `test rules` refuses an `alertname` that none of the rule files has.
# Seen:     a test that an alert does not fire also passes if its name is misspelt, or was changed in the rules.
source "$(dirname "$0")/lib/setup.sh"
promtool_install 2.42.0+ds-5+deb12u1
cat > rules.yml <<'EOF'
groups:
  - name: alerts
    rules:
      - alert: Down
        expr: up == 0
EOF
# result NAME: of a test that the alert does not fire, although the target is down.
result() {
  cat > test.yml <<EOF
rule_files: [rules.yml]
tests:
  - input_series: [{ series: up, values: 0x5 }]
    alert_rule_test: [{ eval_time: 2m, alertname: $1, exp_alerts: [] }]
EOF
  promtool test rules test.yml 2>&1 | grep --only-matching --extended-regexp 'SUCCESS|FAILED' || true
}
check "the alert" "$(result Down)" FAILED
check "a misspelt alert" "$(result Donw)" SUCCESS
