#!/usr/bin/env bash
# Run `make $3` in a Debian of its own, in the directory $2: `stack/debian.sh trixie DIRECTORY test`.
# The system is made by debootstrap when there is none. The clone in it is new each time and has the
# last commit alone, so that nothing that was installed or left here by hand hides a missing step.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '== %s\n' "$*"; }
fail() { printf 'debian: %s\n' "$*" >&2; exit 1; }
suite=$1 directory=$2 target=$3

# Only root may make a system and enter it.
[ "$(id -u)" = 0 ] || exec sudo "$PWD/stack/debian.sh" "$@"
if ! command -v debootstrap >/dev/null; then
    say "Installing debootstrap"
    { apt-get -qq update && apt-get -qq install --no-install-recommends debootstrap; } >/dev/null ||
        fail "apt-get could not install debootstrap."
fi
mkdir -p "$directory"
system=$(cd "$directory" && pwd)
clone=/srv/favorites-priority

if [ ! -e "$system/etc/debian_version" ]; then
    # Under another name until it is whole.
    say "Making a Debian, $suite, in $system"
    rm -rf "$system.new"
    # A suite that is newer than debootstrap is made as the newest is.
    how=/usr/share/debootstrap/scripts/$suite
    [ -e "$how" ] || how=/usr/share/debootstrap/scripts/sid
    debootstrap --variant=minbase --include=ca-certificates,make "$suite" "$system.new" "" "$how" \
        >"$system.log" ||
        fail "debootstrap failed; see $system.log"
    rmdir "$system"
    mv "$system.new" "$system"
    rm "$system.log"
fi

say "Cloning $(git log -1 --format='%h, %s')"
[ -z "$(git status --porcelain)" ] || say "What is not committed is left out"
rm -rf "${system:?}$clone"
git clone -q --no-local . "$system$clone"

# Names and certificates are found as on this machine.
cp -L /etc/resolv.conf /etc/hosts "$system/etc/"
if compgen -G '/usr/local/share/ca-certificates/*' >/dev/null; then
    cp -r /usr/local/share/ca-certificates "$system/usr/local/share/"
    chroot "$system" update-ca-certificates >/dev/null
fi

# The mounts are seen in there alone, and go, as every process does, with the first one.
# shellcheck disable=SC2016  # what is in quotes is for the shells in there
exec unshare --mount --pid --fork --kill-child bash -c '
    set -euo pipefail
    mount -t proc proc "$1/proc"
    mount --rbind /sys "$1/sys"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs shm "$1/dev/shm"
    # What names a directory of this machine is left here.
    exec env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u TMPDIR -u PIP_FIND_LINKS \
        chroot "$1" make -C "$2" "$3"
' - "$system" "$clone" "$target"
