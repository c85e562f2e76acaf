"""How long to wait before the next attempt: exponential, jittered, capped.

The wait grows with each failure and starts anew only after a connection that held for a while: two clients that take
over each other's session, or a broker that accepts and drops, must not turn into a busy loop.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable


class Backoff:
    """Waits of `first_s` growing by two up to `cap_s`, each shortened by up to half at random."""

    def __init__(
        self, *, first_s: float = 0.5, cap_s: float = 60.0, held_s: float = 10.0, rng: random.Random | None = None
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._held_s = held_s
        self._rng = rng or random.Random()
        self._next_s = first_s

    def after(self, connected_s: float, *, at_least_s: float = 0.0) -> float:
        """Seconds to wait after an attempt whose connection held `connected_s` (0: there was none)."""
        if connected_s >= self._held_s:
            self._next_s = self._first_s
        bound_s = max(self._next_s, at_least_s)
        self._next_s = min(self._next_s * 2, self._cap_s)
        return bound_s * self._rng.uniform(0.5, 1.0)


def wait(seconds: float, stop: threading.Event, beat: Callable[[], None]) -> None:
    """Wait, beating every few seconds; end early when `stop` is set."""
    deadline = time.monotonic() + seconds
    while not stop.is_set():
        beat()
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return
        stop.wait(min(left_s, 3.0))
