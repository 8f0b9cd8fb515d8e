#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Finds a QEMU that has vfio-user-pci, which came with 10.1, and prints how to start it, in one word:
#
#   newer-qemu.sh [--cached] [--cache DIR]
#
# It is $QEMU_VFIO_USER if that is set, else the machine's own QEMU if that is new enough, else one
# of a newer Debian release, which scripts/deb-chroot makes once in DIR (build/cache in a checkout,
# else ~/.cache/mpqemu); --cached does without and takes only what is there. The release's programs
# are run by its own dynamic loader, not in a chroot, so that starting them takes no root, and files,
# sockets and descriptors are what they are outside.
#
# Exit status: 0 and the program on standard output, or 1 and one sentence that says why not on
# standard error.

set -eu

RELEASE=trixie
SUITE=$RELEASE-backports
PACKAGE=qemu-system-x86
LIBRARIES=usr/lib/x86_64-linux-gnu

main() {
    top=$(cd "$(dirname "$0")/../.." && pwd)
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
    if [ -z "$cache" ] && [ -w "$top/build" ]; then
        cache=$top/build/cache
    fi
    cache=${cache:-${XDG_CACHE_HOME:-$HOME/.cache}/mpqemu}
    mkdir -p "$cache" && cd "$cache"
}

make_release() {
    [ -z "$cached" ] || fail "no QEMU with vfio-user-pci here, nor in $place: make check-interop"
    [ "$(uname -m)" = x86_64 ] || fail "a newer QEMU is fetched for x86_64 alone"
    "$top/scripts/deb-chroot" make "$place" "$RELEASE" "$SUITE" "$PACKAGE"
    # Whoever may remove the cache may remove this.
    [ "$(id -u)" = 0 ] || sudo -n chown -Rh "$(id -u):$(id -g)" "$place/root"
    write_starter
}

write_starter() {
    starter=$(mktemp "$place/starter.XXXXXX")
    cat >"$starter" <<END
#!/bin/sh
# Runs this release's QEMU by this release's loader, from wherever the two are.
root=\$(dirname "\$(readlink -f "\$0")")/root
export QEMU_MODULE_DIR="\$root/$LIBRARIES/qemu"
exec "\$root/$LIBRARIES/ld-linux-x86-64.so.2" --library-path "\$root/$LIBRARIES" \\
    "\$root/usr/bin/qemu-system-x86_64" \\
    -L "\$root/usr/share/qemu" -L "\$root/usr/share/seabios" "\$@"
END
    chmod 755 "$starter"
    has_client "$starter" || {
        rm -rf "$place"
        fail "the $PACKAGE of $SUITE has no vfio-user-pci"
    }
    mv "$starter" "$place/qemu-system-x86_64"
}

main "$@"
