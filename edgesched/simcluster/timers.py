"""One thread that runs small steps at their time; everything that the embedded cluster does by itself runs on it."""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable

Step = Callable[[], None]


class Timers:
    """A heap of steps. Steps are short, never block, and run one after another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Step]] = []
        self._numbers = itertools.count()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="simcluster-timers", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; steps that are not due yet are forgotten."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def after(self, delay_s: float, step: Step) -> None:
        """Run `step` in `delay_s` seconds. Callable from any thread."""
        with self._changed:
            due = time.monotonic() + max(0.0, delay_s)
            heapq.heappush(self._heap, (due, next(self._numbers), step))
            if self._heap[0][2] is step:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            step = self._next()
            if step is None:
                return
            try:
                step()
            except Exception:  # noqa: BLE001 - guard: one broken step must not end the cluster
                traceback.print_exc(file=sys.stderr)

    def _next(self) -> Step | None:
        with self._changed:
            while not self._stopped:
                wait_s = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(wait_s)
        return None
