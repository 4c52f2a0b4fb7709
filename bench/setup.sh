#!/usr/bin/env bash
# Install what only the benchmarks need, after stack/setup.sh: the peers, and what draws the plots.
set -euo pipefail
cd "$(dirname "$0")/.."

echo '== Installing procrastinate, PgQueuer and matplotlib into .venv'
.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r bench/requirements.lock

echo '== Installing graphile-worker and the Node that it needs'
npm ci --prefix bench --silent --no-audit --no-fund || {
    echo 'setup: npm could not install bench/package-lock.json.' >&2
    exit 1
}
