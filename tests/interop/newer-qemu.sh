#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Finds a QEMU that has vfio-user-pci, which came with 10.1, and prints how to start it, in one word:
#
#   newer-qemu.sh [--cached] [--cache DIR]
#
# It is $QEMU_VFIO_USER if that is set, else the machine's own QEMU if that is new enough, else one
# of a newer Debian release, which is made here once by debootstrap, from the mirror that the
# machine's own apt sources name, and kept in DIR (build/cache in a checkout, else
# ~/.cache/mpqemu). That takes root, the network, 500 MiB and about a minute; --cached does without
# and takes only what is there. The release's programs are run by its own dynamic loader, not in a
# chroot, so that starting them takes no root, and files, sockets and descriptors are what they are
# outside.
#
# Exit status: 0 and the program on standard output, or 1 and one sentence that says why not on
# standard error.

set -eu

RELEASE=trixie
SUITE=$RELEASE-backports
PACKAGE=qemu-system-x86
LIBRARIES=usr/lib/x86_64-linux-gnu

main() {
    cached=
    cache=
    while [ $# -gt 0 ]; do
        case $1 in
        --cached) cached=yes ;;
        --cache) cache=${2:?} && shift ;;
        *) fail "unknown option $1" ;;
        esac
        shift
    done

    if [ -n "${QEMU_VFIO_USER-}" ]; then
        command -v "$QEMU_VFIO_USER" >/dev/null ||
            fail "\$QEMU_VFIO_USER is $QEMU_VFIO_USER, which is no program"
        has_client "$QEMU_VFIO_USER" || fail "$QEMU_VFIO_USER has no vfio-user-pci"
        echo "$QEMU_VFIO_USER"
    elif has_client qemu-system-x86_64; then
        echo qemu-system-x86_64
    else
        place=$(cd_cache && pwd)/debian-$RELEASE
        [ -x "$place/qemu-system-x86_64" ] || make_release
        echo "$place/qemu-system-x86_64"
    fi
}

fail() {
    echo "newer-qemu: $*" >&2
    exit 1
}

# -device help would do, but loads every module that the program has ever heard of.
has_client() {
    "$1" -device vfio-user-pci,help </dev/null 2>/dev/null | grep -q '^vfio-user-pci options'
}

cd_cache() {
    top=$(cd "$(dirname "$0")/../.." && pwd)
    if [ -z "$cache" ] && [ -w "$top/build" ]; then
        cache=$top/build/cache
    fi
    cache=${cache:-${XDG_CACHE_HOME:-$HOME/.cache}/mpqemu}
    mkdir -p "$cache" && cd "$cache"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

make_release() {
    [ -z "$cached" ] || fail "no QEMU with vfio-user-pci here, nor in $place: make check-interop"
    [ "$(uname -m)" = x86_64 ] || fail "a newer QEMU is fetched for x86_64 alone"
    command -v apt-get >/dev/null || fail "there is no apt-get here to name a mirror"
    PATH=$PATH:/usr/sbin:/sbin
    command -v debootstrap >/dev/null || fail "debootstrap is not installed"
    as_root true 2>/dev/null || fail "debootstrap needs root, or sudo without a password"

    # Beside the place where it will be, so that a rename ends it; one at a time.
    exec 9>"$place.lock"
    flock -w 600 9 || fail "another process has been making $place for 10 minutes"
    [ ! -x "$place/qemu-system-x86_64" ] || return 0
    work=$(mktemp -d "$place.XXXXXX")
    trap 'as_root rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    chmod 755 "$work"

    mirror=$(find_mirror)
    echo "newer-qemu: making $place from $mirror, once: about a minute" >&2
    logged debootstrap as_root unshare -m debootstrap --variant=minbase --force-check-gpg \
        "$RELEASE" "$work/root" "$mirror"
    install_package
    write_starter
    has_client "$work/qemu-system-x86_64" ||
        fail "the $PACKAGE of $SUITE on $mirror has no vfio-user-pci"
    rm -f "$work/log" "$work/InRelease"
    # Whoever may remove the cache may remove this.
    as_root chown -Rh "$(id -u):$(id -g)" "$work/root"
    as_root rm -rf "$place"
    mv "$work" "$place"
}

# Runs a command with its output in a log; where it fails, its last words are the reason.
logged() {
    what=$1
    shift
    "$@" </dev/null >"$work/log" 2>&1 || fail "$what failed: $(tail -n 1 "$work/log")"
}

# Of the archives that the machine's own release comes from, the first that has the newer one.
find_mirror() {
    asked=
    # shellcheck disable=SC2016
    for uri in $(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Identifier: Packages' |
        awk '$1 ~ /^https?:/ && $2 == "main" && !seen[$1]++ { print $1 }'); do
        asked="$asked $uri"
        if /usr/lib/apt/apt-helper download-file "${uri%/}/dists/$SUITE/InRelease" \
            "$work/InRelease" >"$work/log" 2>&1; then
            echo "${uri%/}"
            return
        fi
    done
    [ -n "$asked" ] || fail "apt's sources name no archive that is reached by http"
    fail "no $SUITE on$asked: $(sed -n 's/^E: //p' "$work/log" | head -n 1)"
}

# By the release's own apt, with the machine's proxies and names.
install_package() {
    apt-config dump --no-empty --format '%f "%v";%n' Acquire |
        grep -iE '^Acquire::(https?|ftp|Check-Valid-Until|Retries)\b' >"$work/apt.conf" || true
    printf 'deb %s %s main\n' "$mirror" "$RELEASE" "$mirror" "$SUITE" >"$work/sources.list"
    as_root install -m 644 "$work/apt.conf" "$work/root/etc/apt/apt.conf.d/machine"
    as_root install -m 644 "$work/sources.list" "$work/root/etc/apt/sources.list"
    for file in /etc/resolv.conf /etc/hosts; do
        [ ! -e "$file" ] || as_root install -m 644 "$file" "$work/root/etc"
    done
    rm "$work/apt.conf" "$work/sources.list"
    # The mounts go with the name space. Nothing that is installed may start anything.
    # shellcheck disable=SC2016
    logged "the installation of $PACKAGE" as_root unshare -m sh -eu -c '
        printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"
        chmod 755 "$1/usr/sbin/policy-rc.d"
        mount -t proc proc "$1/proc"
        export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
        chroot "$1" apt-get -qq update
        chroot "$1" apt-get -qq -y --no-install-recommends -t "$2" install "$3"
        chroot "$1" apt-get -qq clean' - "$work/root" "$SUITE" "$PACKAGE"
}

write_starter() {
    cat >"$work/qemu-system-x86_64" <<END
#!/bin/sh
# Runs this release's QEMU by this release's loader, from wherever the two are.
root=\$(dirname "\$(readlink -f "\$0")")/root
export QEMU_MODULE_DIR="\$root/$LIBRARIES/qemu"
exec "\$root/$LIBRARIES/ld-linux-x86-64.so.2" --library-path "\$root/$LIBRARIES" \\
    "\$root/usr/bin/qemu-system-x86_64" \\
    -L "\$root/usr/share/qemu" -L "\$root/usr/share/seabios" "\$@"
END
    chmod 755 "$work/qemu-system-x86_64"
}

main "$@"
