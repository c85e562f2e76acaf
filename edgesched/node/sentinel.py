"""The thread that looks after the others: once a second it looks at the peers and tells systemd that the engine lives.

The watchdog is fed from the engine's heartbeat, not from this thread's own life: a hung engine stops it, and systemd
starts the agent again. Another stuck thread shows in `/healthz` and in the status line; it is no reason to end an
engine that works.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from edgesched.node.connections import Connections
from edgesched.node.supervisor import Supervisor
from edgesched.node.systemd import Notifier

LOOK_EVERY_S: Final = 1.0


class Sentinel:
    """A `Source` for the supervisor. `sentence`: how the agent is, on one line."""

    def __init__(
        self,
        supervisor: Supervisor,
        connections: Connections,
        notifier: Notifier,
        sentence: Callable[[], str],
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._supervisor = supervisor
        self._connections = connections
        self._notifier = notifier
        self._sentence = sentence
        self._look_every_s = look_every_s
        self._told = ""

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            beat()
            self._connections.look()
            if "engine" not in self._supervisor.stuck():
                self._notifier.watchdog()
            sentence = self._sentence()
            if sentence != self._told:
                self._told = sentence
                self._notifier.status(sentence)
            stop.wait(self._look_every_s)
