"""Which peers are connected, and since when.

Peers say only how they are now; somebody has to look often enough to know since when. The sentinel thread looks every
second, so the times are right to a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgesched.ports import Clock


@dataclass(frozen=True, slots=True)
class Connection:
    """A peer: whether it is connected, and the wall-clock time (ns) since which it is so."""

    name: str
    connected: bool
    since_ns: int


class Connections:
    """Looks at peers. `peers`: for each name a function that says whether it is connected now."""

    def __init__(self, peers: Mapping[str, Callable[[], bool]], clock: Clock) -> None:
        self._peers = peers
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Connection] = {}

    def look(self) -> list[Connection]:
        """Look at all peers now. Callable from any thread."""
        now_ns = self._clock.now().ts_ns
        with self._lock:
            for name, is_connected in self._peers.items():
                connected = is_connected()
                known = self._known.get(name)
                if known is None or known.connected != connected:
                    self._known[name] = Connection(name, connected, now_ns)
            return list(self._known.values())
