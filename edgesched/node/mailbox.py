"""The one door into the engine: a bounded mailbox with two lanes.

Control events (goals, pods, results of effects) are few and each one matters: they are never dropped. Measurements may
come faster than rules can look at them: their lane holds `measurement_limit`, and when it is full the oldest goes and
is counted, because a rule cares most about the newest value.

Any thread puts, one thread takes. A put never blocks on the consumer: it appends under a lock held for a microsecond
and wakes the consumer only when that one sleeps.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from edgesched.core.plan.events import Event, Measured

MEASUREMENT_LIMIT: Final = 10_000
BATCH_LIMIT: Final = 256


class Mailbox:
    """Events on their way to the engine, in order of arrival within each lane; control before measurements.

    `received`, when given, is called with each event in the thread that puts it (a clock reading for a benchmark).
    """

    def __init__(
        self, measurement_limit: int = MEASUREMENT_LIMIT, *, received: Callable[[Event], None] | None = None
    ) -> None:
        self._control: deque[Event] = deque()
        self._measured: deque[Event] = deque()
        self._limit = measurement_limit
        self._received = received
        self._dropped = 0
        self._wakened = False
        self._filled = threading.Condition(threading.Lock())

    def put(self, event: Event) -> None:
        """Add an event; the oldest waiting measurement goes when the measurement lane is full."""
        if self._received is not None:
            self._received(event)
        with self._filled:
            if isinstance(event, Measured):
                if len(self._measured) >= self._limit:
                    self._measured.popleft()
                    self._dropped += 1
                self._measured.append(event)
            else:
                self._control.append(event)
            self._filled.notify()

    def wake(self) -> None:
        """End the `take` that waits, or the next one, without an event."""
        with self._filled:
            self._wakened = True
            self._filled.notify()

    def take(self, timeout_s: float) -> list[Event]:
        """Wait at most `timeout_s` for events and return a batch of them, empty when none came.

        A batch holds all waiting control events and at most `BATCH_LIMIT` measurements, so that a burst of values
        delays neither a commit nor the next control event for long.
        """
        with self._filled:
            if not (self._control or self._measured or self._wakened) and timeout_s > 0:
                self._filled.wait(timeout_s)
            self._wakened = False
            batch = list(self._control)
            self._control.clear()
            batch += [self._measured.popleft() for _ in range(min(BATCH_LIMIT, len(self._measured)))]
            return batch

    @property
    def depth(self) -> int:
        """Number of waiting events."""
        return len(self._control) + len(self._measured)

    @property
    def dropped(self) -> int:
        """Number of measurements that were dropped because the lane was full."""
        return self._dropped
