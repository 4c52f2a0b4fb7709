#!/usr/bin/env bash
# Run `make $3` in a Debian or Ubuntu of its own, in the directory $2: `stack/system.sh trixie
# DIRECTORY test`. The system is made by debootstrap when there is none. The clone in it is new each
# time and has the last commit alone, so that nothing that was installed or left here by hand hides a
# missing step.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '== %s\n' "$*"; }
fail() { printf 'system: %s\n' "$*" >&2; exit 1; }
suite=$1 directory=$2 target=$3

# Only root may make a system and enter it.
[ "$(id -u)" = 0 ] || exec sudo "$PWD/stack/system.sh" "$@"
if ! command -v debootstrap >/dev/null; then
    say "Installing debootstrap"
    { apt-get -qq update && apt-get -qq install --no-install-recommends debootstrap; } >/dev/null ||
        fail "apt-get could not install debootstrap."
fi
mkdir -p "$directory"
system=$(cd "$directory" && pwd)
clone=/srv/favorites-priority

# Debian has no keys of Ubuntu's archive. They are what this sum says.
ubuntu=http://archive.ubuntu.com/ubuntu
package=ubuntu-keyring_2023.11.28.1build1_all.deb
sum=c377ccf26964f4c206c05c0bc7adb708e031beb919bb9a0ff63af983d064cd66
fetch_ubuntu_keys() {
    mkdir "$system.keys"
    wget -q -O "$system.keys/$package" "$ubuntu/pool/main/u/ubuntu-keyring/$package" ||
        fail "$ubuntu could not be reached."
    echo "$sum $system.keys/$package" | sha256sum -c --quiet ||
        fail "$package is not what it was; look why before you trust it."
    dpkg-deb -x "$system.keys/$package" "$system.keys"
}

if [ ! -e "$system/etc/debian_version" ]; then
    # Under another name until it is whole.
    say "Making a system, $suite, in $system"
    rm -rf "$system.new" "$system.keys"
    options=(--variant=minbase --include=ca-certificates,make)
    # A suite that is newer than debootstrap is made as the newest is.
    scripts=/usr/share/debootstrap/scripts
    if [ "$suite" = resolute ]; then
        fetch_ubuntu_keys
        options+=(--components=main,universe)
        options+=(--keyring="$system.keys/usr/share/keyrings/ubuntu-archive-keyring.gpg")
        from=$ubuntu newest=gutsy
    else
        from='' newest=sid
    fi
    how=$scripts/$suite
    [ -e "$how" ] || how=$scripts/$newest
    debootstrap "${options[@]}" "$suite" "$system.new" "$from" "$how" >"$system.log" ||
        fail "debootstrap failed; see $system.log"
    rmdir "$system"
    mv "$system.new" "$system"
    rm -rf "$system.log" "$system.keys"
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
