"""Faults on purpose: what a real API server does on a bad day, for tests of its clients.

A fault applies to the next `times` requests that match, in the order in which the faults were made; `match` is a
pattern of `METHOD PATH`, such as `POST */pods` or `*`. Requests under `/_sim/` are never touched.
"""

from __future__ import annotations

import fnmatch
import threading
import time
from dataclasses import dataclass
from typing import Final, Literal

from edgesched.simcluster import status
from edgesched.simcluster.http_types import Request

Kind = Literal["refuse", "delay", "lose_request", "lose_reply"]
_TICK_S: Final = 0.05


class ConnectionLostError(Exception):
    """The connection is to be closed without a reply."""


@dataclass(slots=True)
class _Fault:
    kind: Kind
    match: str
    times: int
    error: status.ApiError | None = None
    delay_s: float = 0.0


class Faults:
    """The faults in force. Methods are callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []
        self._stalled = threading.Event()
        self._watches_hang = threading.Event()

    def clear(self) -> None:
        """No faults."""
        with self._lock:
            self._faults.clear()
        self._stalled.clear()
        self._watches_hang.clear()

    def throttle(self, times: int = 1, *, retry_after_s: int = 1, match: str = "*") -> None:
        """Answer 429 with `Retry-After`."""
        self._add(_Fault("refuse", match, times, error=status.too_many_requests(retry_after_s)))

    def fail(self, times: int = 1, *, code: int = 500, match: str = "*", message: str = "simulated failure") -> None:
        """Answer with a 5xx, before anything is done."""
        self._add(_Fault("refuse", match, times, error=status.internal(message, code)))

    def delay(self, delay_s: float, times: int = 1, *, match: str = "*") -> None:
        """Answer late."""
        self._add(_Fault("delay", match, times, delay_s=delay_s))

    def lose_request(self, times: int = 1, *, match: str = "*") -> None:
        """Close the connection before anything is done."""
        self._add(_Fault("lose_request", match, times))

    def lose_reply(self, times: int = 1, *, match: str = "*") -> None:
        """Do what is asked, then close the connection instead of answering."""
        self._add(_Fault("lose_reply", match, times))

    def stall(self) -> None:
        """Accept connections and answer nothing, as a stopped process; until `resume`."""
        self._stalled.set()

    def resume(self) -> None:
        """End `stall` and `hang_watches`."""
        self._stalled.clear()
        self._watches_hang.clear()

    def hang_watches(self) -> None:
        """Watches stay open and send nothing, not even their end; until `resume`."""
        self._watches_hang.set()

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def before(self, request: Request, closing: threading.Event) -> None:
        """Apply what comes before the request is carried out. Raises ApiError or ConnectionLostError."""
        _wait_while(self._stalled, closing)
        delay = self._take(request, "delay")
        if delay:
            time.sleep(delay.delay_s)  # the thread of this one connection
        if self._take(request, "lose_request"):
            raise ConnectionLostError
        refusal = self._take(request, "refuse")
        if refusal and refusal.error:
            raise refusal.error

    def after(self, request: Request, closing: threading.Event) -> None:
        """Apply what comes after the request was carried out. Raises ConnectionLostError."""
        _wait_while(self._stalled, closing)
        if self._take(request, "lose_reply"):
            raise ConnectionLostError

    def hold_stream(self, closing: threading.Event) -> None:
        """Hold a watch that is about to send."""
        _wait_while(self._watches_hang, closing)
        _wait_while(self._stalled, closing)

    def _take(self, request: Request, kind: Kind) -> _Fault | None:
        if not self._faults:
            return None
        line = f"{request.method} {request.path}"
        with self._lock:
            for fault in self._faults:
                if fault.kind == kind and fnmatch.fnmatchcase(line, fault.match):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    return fault
        return None


def _wait_while(state: threading.Event, closing: threading.Event) -> None:
    while state.is_set() and not closing.wait(_TICK_S):
        pass
