"""Waiting for SIGTERM or SIGINT without doing anything inside a signal handler.

A handler runs between two instructions of the main thread, which may hold any lock: setting an `Event` or writing a log
line there can lock the process up. So the handler only notes the number, and Python writes it to a socket that the main
thread waits on. A second signal ends the process at once; one that comes within `ECHO_S` is an echo of the first:
`timeout` and some shells signal a process and its group.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from types import FrameType, TracebackType
from typing import Final, Self

ECHO_S: Final = 0.1
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """A context of the main thread in which the two signals are waited for instead of killing the process."""

    def __init__(self) -> None:
        self._seen: list[int] = []
        self._first_s = 0.0
        self._reader, self._writer = socket.socketpair()

    def __enter__(self) -> Self:
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reader.close()
        self._writer.close()

    def wait(self, timeout_s: float) -> str:
        """Wait at most `timeout_s` for a signal; return its name, empty when none has come."""
        if not self._seen:
            select.select([self._reader], [], [], timeout_s)
        return signal.Signals(self._seen[0]).name if self._seen else ""

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._seen and now_s - self._first_s > ECHO_S:
            os._exit(128 + number)
        elif not self._seen:
            self._first_s = now_s
            self._seen.append(number)
