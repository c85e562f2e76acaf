#!/bin/bash
# promtool.sh   prints where Prometheus's promtool is: on the PATH, or taken once out of Debian's package, which is not
# installed, since that would start a server.
set -euo pipefail
command -v promtool && exit
tool=${EDGESCHED_CACHE:-$HOME/.cache/edgesched}/promtool
if [ ! -x "$tool" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work"
  cd "$work"
  apt-get -qq download prometheus >/dev/null 2>&1 || {
    [ "$(id -u)" -ne 0 ] || apt-get -qq update >/dev/null
    apt-get -qq download prometheus >/dev/null
  }
  dpkg -x prometheus_*.deb .
  mkdir -p "$(dirname "$tool")"
  mv usr/bin/promtool "$tool"
fi
echo "$tool"
