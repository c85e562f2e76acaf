"""A broker for `edgesched standalone` and for tests: a child process on loopback that ends with us.

Mosquitto when it is installed, else amqtt (pure Python). amqtt is enough to watch a job run, not to trust deliveries:
it speaks MQTT 3.1.1 only, takes about 4,000 messages a second, and loses messages when a publisher disconnects right
after a burst.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from edgesched.adapters.tempfolder import TempFolder
from edgesched.errors import BrokerUnavailableError

_START_S: Final = 20.0
_ATTEMPTS: Final = 3
_SYSTEM_PATHS: Final = "/usr/sbin:/usr/local/sbin:/sbin"

AMQTT_LIMITS: Final = (
    "Mosquitto is not installed; using the Python broker amqtt: MQTT 3.1.1 only, and it may lose the last messages "
    "of a publisher that disconnects right after a burst (apt-get install mosquitto)"
)


class EmbeddedBroker:
    """One broker on 127.0.0.1, without login. `kind`: `mosquitto` or `amqtt`; `limits`: one line, empty when none.

    `port`: 0 takes a free one; `settings`: further lines of Mosquitto's configuration file. Start it from a thread that
    outlives it: the child is told to end when that thread does.
    """

    def __init__(self, *, port: int = 0, kind: str = "", settings: Sequence[str] = ()) -> None:
        self.kind = kind or ("mosquitto" if find_mosquitto() else "amqtt")
        self.limits = AMQTT_LIMITS if self.kind == "amqtt" else ""
        self.host = "127.0.0.1"
        self.port = port
        self._any_port = port == 0
        self._settings = tuple(settings)
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: TempFolder | None = None

    def start(self) -> tuple[str, int]:
        """Start the child and wait until it takes connections. Returns host and port.

        Raises: BrokerUnavailableError: it cannot be started; the last line of its log is in the message.
        """
        self._folder = TempFolder("broker")
        for attempt in range(1, _ATTEMPTS + 1):
            if self._any_port:
                self.port = free_port()
            elif not _is_free(self.port):  # else the one who listens there would pass for our child
                break
            self._spawn()
            if self._wait_until_open():
                return self.host, self.port
            if attempt == _ATTEMPTS or not self._any_port:
                break
        reason = self.last_log_line() or "the port is in use"
        self.stop()
        raise BrokerUnavailableError(f"{self.kind} does not start on {self.host}:{self.port}: {reason}")

    def stop(self) -> None:
        """End the child and remove its files."""
        child, self._child = self._child, None
        if child is not None:
            if child.stdin is not None:
                child.stdin.close()
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    @property
    def pid(self) -> int:
        """Process id of the running child, 0 without one."""
        return self._child.pid if self._child is not None else 0

    def last_log_line(self) -> str:
        """The last line that the child wrote, empty before it started."""
        if self._folder is None:
            return ""
        with contextlib.suppress(OSError):
            lines = (self._folder.path / "log").read_text(encoding="utf-8", errors="replace").splitlines()
            return lines[-1][:256] if lines else "it wrote no log"
        return ""

    def _spawn(self) -> None:
        assert self._folder is not None
        command = self._mosquitto_command() if self.kind == "mosquitto" else self._amqtt_command()
        with (self._folder.path / "log").open("ab") as log:
            try:
                self._child = subprocess.Popen(  # noqa: S603
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                raise BrokerUnavailableError(f"{command[0]} cannot be started: {error.strerror}") from error

    def _mosquitto_command(self) -> list[str]:
        assert self._folder is not None
        program = find_mosquitto()
        if not program:
            raise BrokerUnavailableError("mosquitto is not installed", hint="apt-get install mosquitto")
        lines = [
            f"listener {self.port} {self.host}",
            "persistence false",
            "log_dest stderr",
            "connection_messages false",
        ]
        if not any(line.startswith("allow_anonymous") for line in self._settings):
            lines.append("allow_anonymous true")
        if os.geteuid() == 0:
            # as another user it could not be told to end with us: the kernel forgets that at a change of user
            lines.append(f"user {pwd.getpwuid(0).pw_name}")
        file = self._folder.path / "mosquitto.conf"
        file.write_text("\n".join([*lines, *self._settings, ""]), encoding="utf-8")
        setpriv = shutil.which("setpriv")
        ends_with_us = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
        return [*ends_with_us, program, "-c", str(file)]

    def _amqtt_command(self) -> list[str]:
        return [sys.executable, "-m", "edgesched.adapters.pybroker", str(self.port)]

    def _wait_until_open(self) -> bool:
        """Wait for the listener; False when the child ended (its port was taken in the meantime)."""
        child = self._child
        assert child is not None
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and child.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
                return child.poll() is None
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.02)
        child.kill()
        child.wait()
        return False


def find_mosquitto() -> str:
    """Path of Mosquitto, empty when it is not installed; Debian keeps it where ordinary users do not look."""
    path = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATHS}"
    return shutil.which("mosquitto", path=path) or ""


def free_port() -> int:
    """A TCP port of loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
