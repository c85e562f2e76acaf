"""The outbox on disk: messages are sent from the store, in its order, and leave it when they are confirmed.

A message is sent at least once: what was confirmed and not yet deleted when the process was killed is sent again under
the same id. The deletion rides on the next commit, so that a confirmation costs no write of its own. While the store is
away messages go from memory at once, after all that the store holds and can be read.

The outbox is bounded by number and, while the kernel vouches for the clock, by age. What is lost is counted and told
by an event of its own, `outbox.lost`, behind the gap.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edgesched.adapters.clock import kernel_synchronised
from edgesched.adapters.sqlite import OUTBOX_AGE_S, OUTBOX_LIMIT
from edgesched.core.model import Message
from edgesched.core.plan.announce import PREFIX
from edgesched.errors import RefusedError, StoreUnavailableError
from edgesched.node.committer import Committer
from edgesched.node.outlets import OUTBOX_BATCH, Outlet
from edgesched.ports import Clock, EventPublisher, Notice, StateStore

TEND_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose messages they are: the node, and what makes the ids of this process its own."""

    vsn: str
    start: str


class StoredOutbox(Outlet):
    """Sends what the store holds. `dropped`: how many messages were lost for want of room."""

    def __init__(
        self,
        store: StateStore,
        committer: Committer,
        publisher: EventPublisher,
        *,
        sender: Sender,
        clock: Clock,
        notice: Notice,
        limit: int = OUTBOX_LIMIT,
        is_synchronised: Callable[[], bool] = kernel_synchronised,
    ) -> None:
        super().__init__("outbox", notice=notice)
        self._store = store
        self._committer = committer
        self._publisher = publisher
        self._sender = sender
        self._clock = clock
        self._limit = limit
        self._is_synchronised = is_synchronised
        self._sent_to = 0
        self._tended_s = 0.0
        self._losses = 0
        self._waiting = 0
        self._oldest_ns = 0
        self.dropped = 0
        with contextlib.suppress(StoreUnavailableError):
            self._waiting = store.waiting()[0]

    @property
    def waiting(self) -> int:
        """Number of messages that are not confirmed yet."""
        return max(self._waiting, self._committer.unstorable)

    @property
    def oldest_ns(self) -> int:
        """Wall-clock time of the message that is tried just now, and so the oldest one; 0 without one."""
        return self._oldest_ns if self._waiting else 0

    def put(self, _message: Message) -> None:
        """A message is in the store, or waits for it in memory: wake the thread."""
        with self._changed:
            self._waiting += 1
            self._changed.notify()

    def send_now(self) -> bool:
        """Messages wait in memory: wake the thread; returns whether the broker took the last ones."""
        self.nudge()
        return not self._failures

    def tend(self) -> Sequence[Message]:
        """Keep the store within its bounds, now and then; returns the message that tells of a loss."""
        now_s = time.monotonic()
        if now_s - self._tended_s < TEND_S and self._waiting <= self._limit:
            return ()
        self._tended_s = now_s
        lost = self._committer.take_lost()
        with contextlib.suppress(StoreUnavailableError):
            # some room is made at once, so that not every message that comes pushes one out and says so
            keep = self._limit if self._waiting <= self._limit else self._limit - self._limit // 10
            trimmed = self._store.trim(keep, OUTBOX_AGE_S if self._is_synchronised() else None)
            lost += trimmed
            if trimmed:
                waiting = self._store.waiting()[0]
                with self._changed:
                    self._waiting = waiting
        if not lost:
            return ()
        self.dropped += lost
        self._losses += 1
        self._notice("outbox.lost", level="error", count=lost, limit=self._limit)
        message_id = f"{self._sender.vsn}-{self._sender.start}-lost-{self._losses}"
        message = Message(
            PREFIX + "outbox.lost", self._clock.now().ts_ns, {"count": lost}, {}, "all", message_id, as_text=True
        )
        with self._changed:
            self._waiting += 1
            self._changed.notify()
        return (message,)

    def _send_some(self) -> None:
        try:
            rows = self._store.unsent(OUTBOX_BATCH, after=self._sent_to)
        except StoreUnavailableError:
            # what it holds is safe there and goes when it is back; what it could not take must not wait for that
            rows = []
        if rows:
            self._publish([message for _, message in rows])
            self._sent_to = rows[-1][0]
            self._committer.sent(self._sent_to)
            return
        held = self._committer.unstored(OUTBOX_BATCH)
        if held:
            self._publish(held)
            self._committer.delivered(held)
        else:
            self._settle()

    def _publish(self, messages: list[Message]) -> None:
        self._oldest_ns = messages[0].ts_ns
        try:
            self._publisher.publish(messages)
        except RefusedError as error:
            self._notice("outbox.refused", level="error", error=str(error), messages=len(messages))
        with self._changed:
            self._waiting = max(0, self._waiting - len(messages))
            self._oldest_ns = 0

    def _settle(self) -> None:
        """Nothing is left although the count says so: repeats, or messages that a commit has yet to bring.

        The store is asked once more under the lock that `put` needs: a message is in it before it is counted.
        """
        with self._changed:
            self._changed.wait(0.02)
            if self._committer.held:
                return
            try:
                left = self._store.unsent(1, after=self._sent_to)
            except StoreUnavailableError:
                return
            if not left:
                self._waiting = 0
