"""Messages to the broker and values to the scoreboard: one thread each, retried until delivered.

The outbox keeps the order of its messages and sends them in batches; what is not confirmed is sent again (a reader
drops repeats by message id). It is bounded: when a broker stays away so long that `OUTBOX_LIMIT` messages wait, the
oldest go and are counted. The scoreboard keeps only the newest value of a key: that is all a board can show.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final

from edgesched.core.model import Message
from edgesched.core.plan.effects import SetState
from edgesched.core.plan.events import EffectDone
from edgesched.errors import RefusedError, TransientError
from edgesched.node.backoff import backoff_s
from edgesched.ports import Emit, EventPublisher, Notice, Scoreboard

OUTBOX_LIMIT: Final = 10_000
OUTBOX_BATCH: Final = 100
RETRY_FIRST_S: Final = 0.5
RETRY_LONGEST_S: Final = 30.0
IDLE_WAIT_S: Final = 5.0
LONGEST_WAY_S: Final = 5.0
MOST_HELD: Final = 300
"""What is held back comes as a burst, and a broker queues only so much for a slow reader (Mosquitto 1,000)."""
LOOK_S: Final = 0.05


class Outlet(ABC):
    """A queue to one peer and the loop that empties it.

    `gives_way_to`, when set, says that there is more urgent work than telling of it: the launches of a full minute.
    While it does the queue waits, at most `LONGEST_WAY_S`, and while no more than `MOST_HELD` values wait.
    """

    def __init__(self, name: str, *, notice: Notice) -> None:
        self._name = name
        self._notice = notice
        self._changed = threading.Condition(threading.Lock())
        self._failures = 0
        self._gave_way_s: float | None = None
        self.gives_way_to: Callable[[], bool] | None = None

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Number of values that are not delivered yet."""

    @property
    def failures(self) -> int:
        """Number of failed tries since the last success."""
        return self._failures

    @abstractmethod
    def _send_some(self) -> None:
        """Deliver the next value or batch. Raises TransientError or RefusedError, keeping it in the first case."""

    def nudge(self) -> None:
        """Wake the thread so that it looks at `stop`."""
        with self._changed:
            self._changed.notify_all()

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Deliver until `stop` is set and nothing waits, or the peer fails after `stop`."""
        while True:
            beat()
            with self._changed:
                if not self.waiting and not stop.is_set():
                    self._changed.wait(IDLE_WAIT_S)
                if not self.waiting:
                    if stop.is_set():
                        return
                    continue
            if self._gives_way() and not stop.is_set():
                stop.wait(LOOK_S)
                continue
            try:
                self._send_some()
            except TransientError as error:
                if stop.is_set():
                    self._notice(f"{self._name}.undelivered", level="warning", waiting=self.waiting, error=str(error))
                    return
                self._pause(stop, error)
            else:
                self._tell_back()

    def _gives_way(self) -> bool:
        if self.gives_way_to is None or not self.gives_way_to():
            self._gave_way_s = None
            return False
        now_s = time.monotonic()
        if self._gave_way_s is None:
            self._gave_way_s = now_s
        return now_s - self._gave_way_s < LONGEST_WAY_S and self.waiting <= MOST_HELD

    def _pause(self, stop: threading.Event, error: TransientError) -> None:
        self._failures += 1
        pause_s = backoff_s(
            self._failures, first_s=RETRY_FIRST_S, longest_s=RETRY_LONGEST_S, asked_s=error.retry_after_s
        )
        self._notice(
            f"{self._name}.unavailable",
            level="warning",
            error=str(error),
            retry_in_s=round(pause_s, 2),
            waiting=self.waiting,
        )
        stop.wait(min(pause_s, IDLE_WAIT_S))

    def _tell_back(self) -> None:
        if self._failures:
            self._failures = 0
            self._notice(f"{self._name}.back", waiting=self.waiting)


class Outbox(Outlet):
    """Messages in order to an `EventPublisher`; `answer` gets `EffectDone` for each when it is confirmed."""

    def __init__(self, publisher: EventPublisher, *, answer: Emit, notice: Notice, limit: int = OUTBOX_LIMIT) -> None:
        super().__init__("outbox", notice=notice)
        self._publisher = publisher
        self._answer = answer
        self._limit = limit
        self._queue: deque[Message] = deque()
        self._sending: list[Message] = []
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Number of messages that are not confirmed yet."""
        return len(self._queue) + len(self._sending)

    @property
    def oldest_ns(self) -> int:
        """Wall-clock time of the oldest message that is not confirmed, 0 without one."""
        with self._changed:
            oldest = next(iter(self._sending or self._queue), None)
            return 0 if oldest is None else oldest.ts_ns

    def put(self, message: Message) -> None:
        """Add a message; the oldest waiting one goes when the outbox is full."""
        dropped: Message | None = None
        with self._changed:
            if len(self._queue) >= self._limit:
                dropped = self._queue.popleft()
                self.dropped += 1
            self._queue.append(message)
            self._changed.notify()
        if dropped is not None:
            self._notice("outbox.full", level="error", limit=self._limit, dropped=self.dropped)
            self._answer(EffectDone(dropped.message_id, "refused", f"dropped: {self._limit} messages wait"))

    def _send_some(self) -> None:
        with self._changed:
            while self._queue and len(self._sending) < OUTBOX_BATCH:
                self._sending.append(self._queue.popleft())
        try:
            self._publisher.publish(list(self._sending))
            answers = [EffectDone(message.message_id, "ok") for message in self._sending]
        except RefusedError as error:
            self._notice("outbox.refused", level="error", error=str(error), messages=len(self._sending))
            answers = [EffectDone(message.message_id, "refused", str(error)) for message in self._sending]
        self._sending = []
        for answer in answers:
            self._answer(answer)


class Board(Outlet):
    """The newest value of each key to a `Scoreboard`, keys in the order in which they first changed.

    `delivered`, when set, is called with each value that the board shows.
    """

    def __init__(self, scoreboard: Scoreboard, *, answer: Emit, notice: Notice) -> None:
        super().__init__("scoreboard", notice=notice)
        self._scoreboard = scoreboard
        self._answer = answer
        self._values: dict[str, SetState] = {}
        self.delivered: Callable[[SetState], None] | None = None

    @property
    def waiting(self) -> int:
        """Number of keys whose newest value is not written yet."""
        return len(self._values)

    def put(self, effect: SetState) -> None:
        """Write a value; an older one of the same key that still waits is forgotten."""
        with self._changed:
            self._values[effect.key] = effect
            self._changed.notify()

    def _send_some(self) -> None:
        with self._changed:
            effect = next(iter(self._values.values()))
        done = EffectDone(effect.effect_id, "ok")
        try:
            self._scoreboard.set(effect.key, effect.value)
        except RefusedError as error:
            done = EffectDone(effect.effect_id, "refused", str(error))
        with self._changed:
            if self._values.get(effect.key) is effect:
                del self._values[effect.key]
        if self.delivered is not None:
            self.delivered(effect)
        self._answer(done)
