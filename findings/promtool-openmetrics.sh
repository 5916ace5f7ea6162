#!/usr/bin/env bash
# promtool 2.42.0 (Debian 12) finds faults in OpenMetrics that Prometheus reads without any, and none in nothing.
#
# Expected: `check metrics` understands what Prometheus asks for first in `Accept`, and an empty response is an error.
# Seen:     it reads the older text format only. There, a counter's `# HELP` has to repeat `_total`, which OpenMetrics
#           leaves out, so the counter has "no help text"; the type `info` is a parsing error; and an empty response,
#           such as that of a failed `curl --silent`, passes.
source "$(dirname "$0")/lib/setup.sh"
promtool_install 2.42.0+ds-5+deb12u1
lint() {
  local code=0
  promtool check metrics 2>&1 || code=$?
  echo "exit code $code"
}

counter='# TYPE calls counter
# HELP calls Calls.
calls_total 3 1700000000
# EOF'
info='# TYPE build info
# HELP build Build.
build_info{version="1"} 1 1700000000
# EOF'
# Prometheus's own parser of OpenMetrics accepts both.
for metrics in "$counter" "$info"; do
  echo "$metrics" > metrics.txt
  read=accepted
  promtool tsdb create-blocks-from openmetrics metrics.txt blocks > read.txt 2>&1 || read=$(cat read.txt)
  check "as OpenMetrics" "$read" accepted
done
check "a counter" "$(lint <<< "$counter")" $'calls_total no help text\nexit code 3'
check "an info" "$(lint <<< "$info")" \
  $'error while linting: text format parsing error in line 1: unknown metric type "info"\nexit code 1'
check "nothing" "$(lint < /dev/null)" "exit code 0"
