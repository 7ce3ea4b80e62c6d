#!/bin/sh
# Builds the CPU image where no registry of images can be reached, and runs the main jobs inside it.
#
#   docker/build-offline.sh [WORK]        as root; WORK: a folder with 12 GB of room (default: a new one in /tmp)
#
# Needs: apt-get install buildah debootstrap. The base is Debian 12 from its package mirror; Python packages come from
# wherever pip is set up to look on this host (its configuration and certificates are lent to the build, not kept);
# EXTRA_VOLUMES="/a /b" lends more folders. Everything is done with chroot isolation, so no container runtime is needed.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work/data" "$work/run"
export XDG_RUNTIME_DIR="$work/run"
build() { buildah --root "$work/images" --runroot "$work/runroot" --storage-driver vfs "$@"; }
say() { echo "== $(date +%T) $*"; }

lent=""
for path in /etc/pip.conf "$HOME/.config/pip" /etc/ssl/certs ${EXTRA_VOLUMES:-}; do
    inside=$path
    [ "$path" = "$HOME/.config/pip" ] && inside=/root/.config/pip
    [ -e "$path" ] && lent="$lent --volume $path:$inside:ro"
done

if ! build inspect localhost/debian-python >/dev/null 2>&1; then
    say "base: Debian 12 with Python 3.11"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/base" \
        "${MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1
    rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/*
    base=$(build from scratch)
    build add -q "$base" "$work/base" / >/dev/null
    build commit -q --format docker "$base" localhost/debian-python >/dev/null
    build rm "$base" >/dev/null
    rm -rf "$work/base"
fi

say "image"
# shellcheck disable=SC2086
build bud --isolation chroot --format docker $lent \
    --build-arg BASE=localhost/debian-python --build-arg DEVICE=cpu --build-arg CPU_INDEX="${CPU_INDEX:-}" \
    -t localhost/restore:cpu "$here"
build images | sed 's/^/   /'

say "main jobs, as the image's own user"
chown 1000 "$work/data"
box=$(build from localhost/restore:cpu)
inside() { build run --isolation chroot --user restore --volume "$work/data:/data" "$box" -- "$@"; }
say "restore doctor"; inside restore doctor
say "restore sample"; inside restore sample /data/old.rm --seconds 1.5 --overwrite
say "lanczos_x2"; inside restore run lanczos_x2 /data/old.rm /data/lanczos.mkv --overwrite
say "bw_film_x2"; inside restore run bw_film_x2 /data/old.rm /data/film.mkv --overwrite --explain
say "user, writable places, build tools"
inside id
inside sh -c 'for tool in gcc make pip git curl; do command -v $tool && exit 1; done; echo "no gcc, make, pip, git, curl"'
inside sh -c 'head -4 /opt/restore/LICENSES.txt; wc -l </opt/restore/LICENSES.txt'
ls -l "$work/data"
build rm "$box" >/dev/null
say "done"
