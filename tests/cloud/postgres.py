"""A PostgreSQL server as a child process: a folder of its own, a free port of loopback, one login with a password.

Nothing of the machine's own PostgreSQL is touched. It refuses to run as root, so root runs it as the user `postgres`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, Self

import psycopg

from edgesched.adapters.broker import free_port

_PROGRAMS: Final = Path("/usr/lib/postgresql")
_START_S: Final = 60.0
_SETTINGS: Final = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=60",
    "shared_buffers=16MB",
    "fsync=off",  # the tests end processes, they do not cut the power
    "logging_collector=off",
)


class PostgreSQL:
    """A server; use it as a context. `start` and `crash` may be repeated."""

    def __init__(self) -> None:
        versions = sorted(_PROGRAMS.glob("*/bin"), key=lambda path: float(path.parent.name))
        assert versions, "postgresql is missing: apt-get install --no-install-recommends postgresql"
        self._programs = versions[-1]
        self._folder = Path(tempfile.mkdtemp(prefix="edgesched-postgresql-"))
        self._port = free_port()
        self._databases = 0
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        password = self._folder / "password"
        password.write_text("secret")
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in (self._folder, password):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        options = ["-U", "edgesched", "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8"]
        command = [*self._as_owner(), str(self._programs / "initdb"), "-D", self._data, "--no-sync", *options]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.crash()
        shutil.rmtree(self._folder)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _as_owner(self) -> list[str]:
        """The words before a command: the user, and that it ends with us."""
        ends_with_us = ["setpriv", "--pdeathsig", "QUIT"]
        if os.geteuid() == 0:
            return [*ends_with_us, "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]
        return [*ends_with_us, "--"]

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        command = [*self._as_owner(), str(self._programs / "postgres"), "-D", self._data, "-p", str(self._port)]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*command, *settings], cwd=self._folder, stdout=log, stderr=log, start_new_session=True
            )
        deadline_s = time.monotonic() + _START_S
        while True:
            assert self._server.poll() is None, (self._folder / "log").read_text()
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self._address("postgres"), connect_timeout=2).close()
                return
            assert time.monotonic() < deadline_s, (self._folder / "log").read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(0.05)

    def crash(self) -> None:
        """End it at once, open transactions and all."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(signal.SIGQUIT)
            server.wait(20)

    def new_database(self) -> str:
        """Make an empty database; return its address as SQLAlchemy writes it."""
        self._databases += 1
        name = f"test{self._databases}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._address(name).replace("postgresql:", "postgresql+psycopg:")

    def _address(self, database: str) -> str:
        return f"postgresql://edgesched:secret@127.0.0.1:{self._port}/{database}"
