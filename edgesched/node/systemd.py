"""What systemd is told: a datagram of `NAME=VALUE` lines to the socket that it names.

The protocol is sd_notify(3) and small enough to need no library. Without systemd (`NOTIFY_SOCKET` unset) nothing is
sent. A notification that cannot be sent is no trouble of ours: systemd then acts by its own time-outs.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from typing import Final

MICROSECONDS: Final = 1_000_000


class Notifier:
    """Sends notifications to the service manager that `environment` names, to nobody without one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        # a leading @ is the abstract namespace, whose names begin with a zero byte
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        given = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(given) / MICROSECONDS if given.isdigit() and self._address else 0.0

    def ready(self) -> None:
        """The agent's threads run."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text.replace(chr(10), ' ')}")

    def watchdog(self) -> None:
        """The engine lives."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The agent ends."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.settimeout(1.0)
            to.sendto(text.encode(), self._address)
