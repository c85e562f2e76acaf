"""Commit, then act: what the engine decided is on disk before anybody acts on it.

The engine hands each batch to the thread of the store and waits until it is durable. When that fails, or takes longer
than `PATIENCE_S`, the node does not stop: the batch joins what is pending, the engine stops waiting, and the thread
tries again with a growing pause until everything that is pending is written in one transaction. Meanwhile effects are
carried out as decided, and *commit, then act* becomes *tell, then act*: messages are sent from memory, and a batch is
acted on when its messages are confirmed, or cannot be sent either. So a kill loses only what could neither be written
nor sent. A second launch of a cron slot is prevented by the name of its pod, which the cluster knows.

Measurements alone write nothing. A batch writes when something is done about it, when a control event came, or when an
edge rule became false or a `hold` began: that must be known after a restart, or the next edge would be taken for none
and the hold would begin anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from edgesched.core.model import Message
from edgesched.core.plan.effects import Effect, SetState
from edgesched.core.plan.records import Record, Recorder
from edgesched.core.plan.state import NodeState
from edgesched.errors import StoreUnavailableError
from edgesched.node.backoff import backoff_s
from edgesched.ports import Notice, StateStore

PATIENCE_S: Final = 2.0
TELL_S: Final = 1.0
TIDY_S: Final = 600.0
RETRY_FIRST_S: Final = 0.5
RETRY_LONGEST_S: Final = 30.0
IDLE_WAIT_S: Final = 5.0
HELD_LIMIT: Final = 20_000
"""Messages that wait in memory for a store that is away; beyond it the oldest go and are counted."""


@dataclass(slots=True)
class Batch:
    """What is to be written. `number`: of the last commit that is in it. `sent`: messages up to it are confirmed."""

    number: int = 0
    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    scoreboard: dict[str, str | None] = field(default_factory=dict)
    sent: int = 0

    def add(self, later: Batch) -> None:
        """Join a later batch to this one; of two records of a key the later one counts."""
        self.number = max(self.number, later.number)
        self.records.update(later.records)
        self.messages.update(later.messages)
        self.scoreboard.update(later.scoreboard)
        self.sent = max(self.sent, later.sent)

    def __bool__(self) -> bool:
        return bool(self.records or self.messages or self.scoreboard)


class Committer:
    """Between the engine and the store.

    `commit` is the engine's hook, `run` the body of the store's thread. `available`: the store took the last batch.
    `tend`, when set, is called in the store's thread after each commit and while nothing happens; the messages that
    it returns are stored. `send_now`, when set, is called when messages must go from memory; it returns whether they
    can be sent just now. `anew`: what the store holds could not be read and does not count.
    """

    def __init__(
        self,
        store: StateStore,
        recorder: Recorder,
        *,
        notice: Notice,
        patience_s: float = PATIENCE_S,
        anew: bool = False,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._notice = notice
        self._patience_s = patience_s
        self._anew = anew
        self.tend: Callable[[], Sequence[Message]] | None = None
        self.send_now: Callable[[], bool] | None = None
        self._changed = threading.Condition(threading.Lock())
        self._pending = Batch()
        self._writing = Batch()
        self._handed = 0
        self._written = 0
        self._failures = 0
        self._turns = 0
        self._generation = store.generation
        self._tidied_s = time.monotonic()
        self.available = True
        self.commits = 0
        self._lost = 0

    # -- the engine's side ------------------------------------------------------------------------------------------

    def commit(self, state: NodeState, effects: list[Effect], quiet: bool) -> list[Effect]:
        """Make a batch durable and return its effects. `quiet`: nothing but measurements and deadlines came."""
        if quiet and not effects and state.turns == self._turns:
            return effects
        self._turns = state.turns
        if self._store.generation != self._generation:
            self._generation = self._store.generation
            self._recorder.forget(state)
        batch = Batch(records={record[:2]: record for record in self._recorder.changes(state)})
        for effect in effects:
            if isinstance(effect, Message):
                batch.messages[effect.message_id] = effect
            elif isinstance(effect, SetState):
                batch.scoreboard[effect.key] = effect.value
        if batch:
            messages = list(batch.messages)
            self._hand_over(batch)
            if messages and not self.available and self.send_now is not None and self.send_now():
                self._await_sent(messages)
        return effects

    def _hand_over(self, batch: Batch) -> None:
        with self._changed:
            self._handed += 1
            batch.number = self._handed
            self._pending.add(batch)
            self._changed.notify_all()
            if not self.available:
                self._bound_messages()
                return
            number = batch.number
            self._changed.wait_for(lambda: self._written >= number or not self.available, self._patience_s)
            slow = self._written < number and self.available
            if slow:
                self.available = False
        if slow:
            self._complain(f"a commit takes longer than {self._patience_s:g} s", None)

    def _await_sent(self, messages: Sequence[str]) -> None:
        """Wait until messages that could not be written are confirmed, at most `TELL_S`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.available or not any(self._is_held(message_id) for message_id in messages), TELL_S
            )

    def _is_held(self, message_id: str) -> bool:
        return message_id in self._pending.messages or message_id in self._writing.messages

    def _bound_messages(self) -> None:
        messages = self._pending.messages
        while len(messages) > HELD_LIMIT:
            del messages[next(iter(messages))]
            self._lost += 1

    # -- the outlets' side ------------------------------------------------------------------------------------------

    def sent(self, number: int) -> None:
        """The stored messages up to a number are confirmed; they leave the store with the next commit.

        When there is none they leave it after `TIDY_S`: a confirmation is not worth a write of its own.
        """
        with self._changed:
            self._pending.sent = max(self._pending.sent, number)

    def shown(self, effect: SetState) -> None:
        """A scoreboard value has been delivered."""
        with self._changed:
            if self._pending.scoreboard.get(effect.key, effect.value) == effect.value:
                self._pending.scoreboard[effect.key] = None

    def unstored(self, limit: int) -> list[Message]:
        """Return the oldest messages that the store could not take; none while it is available."""
        with self._changed:
            if self.available:
                return []
            return [*self._writing.messages.values(), *self._pending.messages.values()][:limit]

    def delivered(self, messages: Sequence[Message]) -> None:
        """Messages that the store could not take are confirmed."""
        with self._changed:
            for message in messages:
                self._writing.messages.pop(message.message_id, None)
                self._pending.messages.pop(message.message_id, None)
            self._changed.notify_all()

    def take_lost(self) -> int:
        """Return how many messages memory had no room for since the last call."""
        with self._changed:
            lost, self._lost = self._lost, 0
            return lost

    @property
    def held(self) -> int:
        """Number of messages that wait in memory."""
        return len(self._writing.messages) + len(self._pending.messages)

    @property
    def unstorable(self) -> int:
        """Number of messages that the store could not take."""
        return 0 if self.available else self.held

    # -- the store's side -------------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """Wake the thread so that it looks at `stop`."""
        with self._changed:
            self._changed.notify_all()

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Write what is pending until `stop` is set and nothing is left, or the store fails after `stop`."""
        while True:
            beat()
            with self._changed:
                if not self._pending and not stop.is_set():
                    self._changed.wait(IDLE_WAIT_S)
            if self._write(tidy=stop.is_set()) is None:
                if stop.is_set():
                    return
            elif self._failures:
                if stop.is_set():
                    self._notice("state.unwritten", level="error", records=len(self._pending.records))
                    return
                self._pause(stop, beat)
            if self.tend is not None and self.available:
                self._store_messages(self.tend())

    def flush(self) -> None:
        """Write what is pending, once, in the thread of the caller; the store's own thread has ended."""
        self._write(tidy=True)

    def _write(self, *, tidy: bool) -> bool | None:
        """Write what is pending; None when there is nothing, else whether it worked.

        `tidy`: confirmations are enough to write.
        """
        with self._changed:
            tidy = tidy or time.monotonic() - self._tidied_s > TIDY_S
            if not self._pending and not (self._pending.sent and tidy):
                return None
            self._tidied_s = time.monotonic()
            batch = self._writing = self._pending
            self._pending = Batch()
            messages = list(batch.messages.values())
        try:
            if self._anew:
                self._store.begin_anew()
                self._anew = False
            self._store.commit(list(batch.records.values()), messages, list(batch.scoreboard.items()), sent=batch.sent)
        except StoreUnavailableError as error:
            with self._changed:
                batch.add(self._pending)
                self._pending = batch
                self._writing = Batch()
                self._failures += 1
                self.available = False
                self._changed.notify_all()
            self._complain(str(error), self._retry_s())
            return False
        self._succeeded(batch)
        return True

    def _succeeded(self, batch: Batch) -> None:
        with self._changed:
            self._writing = Batch()
            self._written = batch.number or self._written
            was_away = not self.available
            self.available = True
            self._failures = 0
            self.commits += 1
            self._changed.notify_all()
        if was_away:
            self._notice("state.back", records=len(batch.records), messages=len(batch.messages))

    def _pause(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        end_s = time.monotonic() + self._retry_s()
        while not stop.is_set() and (left_s := end_s - time.monotonic()) > 0:
            beat()
            stop.wait(min(left_s, IDLE_WAIT_S))

    def _retry_s(self) -> float:
        return backoff_s(self._failures, first_s=RETRY_FIRST_S, longest_s=RETRY_LONGEST_S)

    def _complain(self, problem: str, retry_in_s: float | None) -> None:
        more = {} if retry_in_s is None else {"retry_in_s": round(retry_in_s, 1)}
        self._notice("state.unavailable", level="error", error=problem, pending=len(self._pending.records), **more)

    def _store_messages(self, messages: Sequence[Message]) -> None:
        if messages:
            with self._changed:
                self._pending.add(Batch(messages={message.message_id: message for message in messages}))
