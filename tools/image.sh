#!/bin/bash
# image.sh [ARCHIVE]   builds the container image localhost/edgesched:test without a registry, and writes it as a docker
# archive (build/edgesched.tar), with its bill of materials beside it (build/edgesched.cdx.json, CycloneDX).
# The base is Debian's own python3, made by debootstrap once per machine. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
archive=${1:-build/edgesched.tar}
cache=${EDGESCHED_CACHE:-$HOME/.cache/edgesched}
bill=${archive%.tar}.cdx.json
image=localhost/edgesched:test
base=localhost/edgesched-base:bookworm
export CONTAINERS_CONF=$PWD/deploy/podman.conf

tools/apt.sh debootstrap podman runc
mkdir -p build "$cache"
if [ ! -e "$cache/base.tar" ]; then
  echo "making the base image" >&2
  work=$(mktemp -d "$cache/base.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mirror=$(grep -rhoE 'https?://[^ ]+/debian/?' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | grep -v snapshot | head -1 || true)
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/root" \
    "${mirror:-http://deb.debian.org/debian}" >"$cache/base.log" 2>&1 || { tail -5 "$cache/base.log" >&2; exit 1; }
  rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale}/*
  tar -C "$work/root" --exclude=./dev -cf "$cache/base.tar.new" .
  mv "$cache/base.tar.new" "$cache/base.tar"
fi
podman image exists $base || podman import -q "$cache/base.tar" $base >/dev/null

echo "making the image" >&2
pip_wheel=(.venv/bin/python -m pip wheel -qq --disable-pip-version-check -w build/wheels -c requirements/constraints.txt)
if [ ! -e build/wheels/.all ] || [ -n "$(find pyproject.toml requirements -newer build/wheels/.all)" ]; then
  rm -rf build/wheels
  "${pip_wheel[@]}" '.[amqp]'
  touch build/wheels/.all
else
  rm -f build/wheels/edgesched-*
  "${pip_wheel[@]}" --no-deps .
fi
before=$(podman images -q $image)
# without layers: the stage that builds is as large as the image and would stay behind each time
podman build -q --layers=false -f deploy/Containerfile --network none --build-arg BASE=$base -t $image . >/dev/null
if [ -n "$before" ] && [ "$before" != "$(podman images -q $image)" ]; then
  podman rmi "$before" >/dev/null 2>&1 || true # a container may still use it
fi
root=$(podman image mount $image)
.venv/bin/python -m tools.sbom "$root" >"$bill"
podman image unmount $image >/dev/null
rm -f "$archive"
podman save -q --format docker-archive -o "$archive" $image
podman image inspect --format '{{.Size}}' $image | awk -v image=$image -v archive="$(stat -c %s "$archive")" -v bill="$bill" \
  '{ printf "%s: %.0f MB, %.0f MB as an archive; what it holds: %s\n", image, $1 / 1e6, archive / 1e6, bill }'
