#!/bin/bash
# install.sh install|uninstall   puts the agent onto this machine as a systemd service, or takes it away again.
# Called by `make install` and `make uninstall`, which set: PREFIX, DESTDIR, INSTALL_DIR, UNIT_DIR, PYTHON, WHEELS.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${PREFIX:=/usr/local}" "${DESTDIR:=}" "${INSTALL_DIR:=/opt/edgesched}" "${UNIT_DIR:=/etc/systemd/system}"
: "${PYTHON:=python3}" "${WHEELS:=}"
config=/etc/edgesched
unit=edgesched.service

say() { echo "edgesched: $*"; }
fail() { say "$*" >&2; exit 1; }
live() { [ -z "$DESTDIR" ]; }
systemd_runs() { live && [ -d /run/systemd/system ]; }

install_all() {
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "needs Python 3.11 or newer, found $("$PYTHON" -V 2>&1); on an older host run the container image instead"
  "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "Python's venv module is missing: apt-get install python3-venv"
  live && [ "$(id -u)" -ne 0 ] && fail "installing into the system needs root; DESTDIR=DIR installs elsewhere"

  local new="$DESTDIR$INSTALL_DIR.new" place="$DESTDIR$INSTALL_DIR"
  rm -rf "$new"
  mkdir -p "$(dirname "$new")"
  say "making $place"
  "$PYTHON" -m venv "$new"
  local from=()
  [ -n "$WHEELS" ] && from=(--no-index --find-links "$WHEELS")
  "$new/bin/python" -m pip --disable-pip-version-check install -q --root-user-action=ignore "${from[@]}" \
    -c requirements/constraints.txt '.[amqp]'
  "$new/bin/python" -m compileall -q "$new"/lib/python*/site-packages/edgesched
  # scripts name the interpreter by its path, and that is where it will be, not where it was made
  grep -lI "^#!$new/bin/" "$new"/bin/* | xargs sed -i "1s|^#!$new/bin/|#!$INSTALL_DIR/bin/|"
  rm -rf "$place.old"
  [ -e "$place" ] && mv "$place" "$place.old"
  mv "$new" "$place"

  mkdir -p "$DESTDIR$PREFIX/bin" "$DESTDIR$UNIT_DIR" "$DESTDIR$config/jobs"
  ln -sfn "$INSTALL_DIR/bin/edgesched" "$DESTDIR$PREFIX/bin/edgesched"
  ln -sfn "$INSTALL_DIR/bin/sesctl" "$DESTDIR$PREFIX/bin/sesctl"
  sed "s|/opt/edgesched/|$INSTALL_DIR/|" deploy/systemd/$unit > "$DESTDIR$UNIT_DIR/$unit"
  [ -e "$DESTDIR$config/edgesched.env" ] || install -m 0600 deploy/systemd/edgesched.env "$DESTDIR$config/edgesched.env"

  if live; then
    getent passwd edgesched >/dev/null ||
      useradd --system --user-group --home-dir /var/lib/edgesched --no-create-home --shell /usr/sbin/nologin edgesched
  fi
  if systemd_runs; then
    systemctl daemon-reload
    systemctl enable -q $unit
    systemctl restart --no-block $unit
    say "started; see: systemctl status edgesched, edgesched status"
  else
    say "installed; systemd does not run here. Start it with: systemctl enable --now edgesched"
  fi
  say "settings are in $config/edgesched.env; the version before is kept in $INSTALL_DIR.old"
}

uninstall_all() {
  live && [ "$(id -u)" -ne 0 ] && fail "needs root"
  systemd_runs && systemctl disable -q --now $unit || true
  rm -f "$DESTDIR$UNIT_DIR/$unit"
  for name in edgesched sesctl; do
    [ "$(readlink "$DESTDIR$PREFIX/bin/$name")" = "$INSTALL_DIR/bin/$name" ] && rm -f "$DESTDIR$PREFIX/bin/$name"
  done
  rm -rf "$DESTDIR$INSTALL_DIR" "$DESTDIR$INSTALL_DIR.old" "$DESTDIR$INSTALL_DIR.new"
  systemd_runs && systemctl daemon-reload || true
  say "removed. Kept: $config, /var/lib/edgesched and the user edgesched"
}

case "${1:-}" in
  install) install_all ;;
  uninstall) uninstall_all ;;
  *) fail "usage: install.sh install|uninstall" ;;
esac
