"""Answers that are ready before they are asked for.

An answer about a thousand rules takes some 20 ms to make, a reader should not wait that long, and the engine must not
be held up by readers. So one thread makes the answers: those that were read within `LINGER_S`, again each `FRESH_S`
while the agent acts and each `STEADY_S` while it only listens. Readers take what is there. Only the first one after a
pause waits, and only as long as the making takes; when nobody reads, nothing is made and nothing is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

FRESH_S: Final = 0.25
STEADY_S: Final = 1.0
OLDEST_S: Final = 3.0
LINGER_S: Final = 10.0
PATIENCE_S: Final = 2.0
IDLE_S: Final = 5.0
NEVER: Final = float("inf")


class _Answer:
    """One of them. Times are monotonic seconds."""

    __slots__ = ("changed", "made_s", "make", "read_s", "value")

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.value: Any = None
        self.made_s = -NEVER
        self.read_s = -NEVER
        self.changed = False

    def due_s(self, now_s: float) -> float:
        """When it is to be made again; never while nobody reads it."""
        if now_s - self.read_s > LINGER_S:
            return NEVER
        return self.made_s + (FRESH_S if self.changed else STEADY_S)


class Kept:
    """`makers`: what makes each answer, may raise TimeoutError; called by the thread that `run` is the body of."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._answers = {name: _Answer(make) for name, make in makers.items()}
        self._turn = threading.Condition(threading.Lock())
        self._is_read = False

    def get(self, name: str) -> Any:
        """Return an answer that is at most `OLDEST_S` old. Raises TimeoutError when there is none in time."""
        answer = self._answers[name]
        asked_s = time.monotonic()
        with self._turn:
            answer.read_s = asked_s
            if not self._is_read:
                self._is_read = True
                self._turn.notify_all()
            if asked_s - answer.made_s > OLDEST_S:
                self._turn.notify_all()
                if not self._turn.wait_for(lambda: answer.made_s >= asked_s, PATIENCE_S):
                    raise TimeoutError(f"nobody made {name} within {PATIENCE_S:g} s")
            return answer.value

    def change(self) -> None:
        """The agent acted: what was made before is stale. Cheap while nobody reads."""
        if self._is_read:
            with self._turn:
                for answer in self._answers.values():
                    answer.changed = True
                self._turn.notify_all()

    def nudge(self) -> None:
        """Wake the thread so that it looks at `stop`."""
        with self._turn:
            self._turn.notify_all()

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Make what is due until `stop` is set."""
        while not stop.is_set():
            beat()
            now_s = time.monotonic()
            with self._turn:
                due = [answer for answer in self._answers.values() if answer.due_s(now_s) <= now_s]
                if not due:
                    self._wait(now_s)
                    continue
                for answer in due:
                    answer.changed = False
            for answer in due:
                self._make(answer)

    def _wait(self, now_s: float) -> None:
        next_s = min(answer.due_s(now_s) for answer in self._answers.values())
        if next_s == NEVER:
            self._is_read = False
            for answer in self._answers.values():
                answer.value, answer.made_s = None, -NEVER
        self._turn.wait(min(max(next_s - now_s, 0.0), IDLE_S))

    def _make(self, answer: _Answer) -> None:
        begun_s = time.monotonic()
        try:
            value = answer.make()
        except TimeoutError:
            # the engine is busy: who waits for it gives up by himself
            return
        with self._turn:
            answer.value, answer.made_s = value, begun_s
            self._turn.notify_all()
