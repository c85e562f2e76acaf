"""A wall clock that was not trusted at the start: look again until somebody vouches for it.

A node without a battery-backed clock boots in the past. No cron slot opens then until a time service has set the clock,
which shows in two ways: the kernel counts it as synchronised, or it has passed the newest time that the node knew.
The planner's own patience ends the wait when neither comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from edgesched.adapters.clock import kernel_synchronised
from edgesched.core.plan.events import ClockTrusted
from edgesched.ports import Clock, Emit

LOOK_S: Final = 2.0


class ClockWatch:
    """Emits one `ClockTrusted`. `newest_known_ns`: wall time that a right clock has passed, ns UTC."""

    def __init__(
        self,
        clock: Clock,
        emit: Emit,
        *,
        newest_known_ns: int,
        is_synchronised: Callable[[], bool] = kernel_synchronised,
        look_s: float = LOOK_S,
    ) -> None:
        self._clock = clock
        self._emit = emit
        self._newest_known_ns = newest_known_ns
        self._is_synchronised = is_synchronised
        self._look_s = look_s
        self._told = False

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Look every few seconds until `stop` is set."""
        while not stop.wait(self._look_s):
            beat()
            reason = "" if self._told else self._reason()
            if reason:
                self._told = True
                self._emit(ClockTrusted(reason))

    def _reason(self) -> str:
        if self._is_synchronised():
            return "a time service has set the clock"
        if self._clock.now().ts_ns > self._newest_known_ns:
            return "the clock has passed the newest time known"
        return ""
