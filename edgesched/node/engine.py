"""The engine: the one thread that owns the node state.

It takes a batch of events, lets the planner decide on each, commits what changed, and only then hands the effects out:
commit, then act. A crash between the two repeats an effect, and effects are idempotent.

A deadline is wall time; the wait for it is monotonic and never longer than 10 s, so a stepped clock costs at most that.
A deadline at which many runs are due is decided a little ahead of its time, as of that time, and handed out when it has
come: a thousand launches are then late by nothing instead of by the time that it takes to decide on them. What arrives
in between is decided next.
An exception while one event is decided is a defect of ours or of a library: it is logged with the event and the engine
goes on. An `InvariantError` is not: the state contradicts itself, so the process ends before more damage is done and
starts again from the last commit.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from edgesched.core.model import NS_PER_S, Instant
from edgesched.core.plan.clock import CLOCK_STEP_NS
from edgesched.core.plan.effects import Effect
from edgesched.core.plan.events import Event, Measured, Woke
from edgesched.errors import InvariantError
from edgesched.node.mailbox import Mailbox
from edgesched.ports import Clock, Notice

State = TypeVar("State")
Answer = TypeVar("Answer")

LONGEST_WAIT_S: Final = 10.0
STUCK_WAIT_S: Final = 0.05
BREATH_S: Final = 0.0005
"""Between two turns that deadlines alone caused: a storm of them must not keep a core busy."""
LEISURE_S: Final = 0.1
EARLY_S: Final = 0.2
"""Before a deadline, to prepare for it."""
MANY_RUNS: Final = 50
"""So many that it takes longer to decide on them than to wake up."""
LONGEST_LEAD_NS: Final = 100_000_000
RUN_NS: Final = 40_000
"""What one of many runs takes to be decided on, before it has been measured."""
GATHER_S: Final = 0.03
QUESTIONS_A_TURN: Final = 4
WOKE: Final = Woke()


@dataclass(frozen=True, slots=True)
class Planner(Generic[State]):
    """The functions of `edgesched.core.plan`.

    `step(state, event, now)` returns the effects of one event. `next_deadline(state)` is the next time, ns UTC, at
    which something changes by itself, None when there is none. `prepare(state, deadline_ns)`, called up to `EARLY_S`
    before such a time, does ahead what can be done ahead, and returns how many runs may be made then.
    """

    step: Callable[[State, Event, Instant], list[Effect]]
    next_deadline: Callable[[State], int | None]
    prepare: Callable[[State, int], int] | None = None


@dataclass(frozen=True, slots=True)
class Hooks(Generic[State]):
    """What else happens around a turn; all optional.

    `commit` makes state and effects durable before they are acted on and returns the effects to carry out; it is told
    whether the turn was quiet, that is, nothing but measurements and deadlines came. `settled` is called after a turn
    that was not. `idle` is called before a wait of more than `LEISURE_S`, when nothing lies ready. `crowded` says that
    many requests are under way: their answers gather for `GATHER_S` and are decided and committed together, because a
    turn for each would keep the processor from the requests. `decided` is called with each event and its effects when
    they may be acted on (a clock reading for a benchmark).
    """

    commit: Callable[[State, list[Effect], bool], list[Effect]] | None = None
    settled: Callable[[State], None] | None = None
    idle: Callable[[], None] | None = None
    crowded: Callable[[], bool] | None = None
    decided: Callable[[Event, list[Effect]], None] | None = None


class Engine(Generic[State]):
    """Runs the planner: `step` on every event, commit once a batch, `dispatch` after it.

    Args:
        state: the node state; nobody else touches it while the engine runs.
        dispatch: hands effects to the ports; must not block.
    """

    def __init__(
        self,
        state: State,
        planner: Planner[State],
        *,
        mailbox: Mailbox,
        clock: Clock,
        dispatch: Callable[[list[Effect]], None],
        notice: Notice,
        hooks: Hooks[State] | None = None,
    ) -> None:
        hooks = hooks or Hooks()
        self._state = state
        self._mailbox = mailbox
        self._clock = clock
        self._step = planner.step
        self._next_deadline = planner.next_deadline
        self._prepare = planner.prepare
        self._prepared_ns: int | None = None
        self._runs_ahead = 0
        self._run_ns = RUN_NS
        self._dispatch = dispatch
        self._notice = notice
        self._commit = hooks.commit or _commit_nothing
        self._settled = hooks.settled
        self._idle = hooks.idle
        self._crowded = hooks.crowded
        self._decided = hooks.decided
        self._pause_s = 0.0
        self._offset_ns: int | None = None
        # held by the one thread that may touch the state
        self._owner = threading.Lock()
        self._questions: queue.SimpleQueue[Callable[[State, Instant], None]] = queue.SimpleQueue()
        self.broken: InvariantError | None = None
        self.steps = 0

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop` is set and the mailbox is empty. Raises InvariantError."""
        with self._owner:
            while True:
                beat()
                if self._crowded is not None and self._crowded():
                    stop.wait(GATHER_S)
                wait_s = 0.0 if stop.is_set() else self._wait_s()
                if wait_s > LEISURE_S and self._idle is not None and not self._mailbox.depth:
                    self._idle()
                batch = self._mailbox.take(wait_s)
                if stop.is_set() and not batch:
                    return
                self._turn(batch)
                self._answer_questions()

    def ask(self, question: Callable[[State, Instant], Answer], timeout_s: float = 2.0) -> Answer:
        """Let the engine thread read the state between two batches; for status and `explain`.

        `question` must only read, and be quick. Raises TimeoutError when the engine is busy, else what `question`
        raises. While the engine does not run the one who asks reads by himself.
        """
        if self._owner.acquire(blocking=False):
            try:
                return question(self._state, self._clock.now())
            finally:
                self._owner.release()
        answer: Future[Answer] = Future()

        def put_answer(state: State, now: Instant) -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(question(state, now))
                except Exception as error:  # noqa: BLE001 - it belongs to the one who asked
                    answer.set_exception(error)

        self._questions.put(put_answer)
        self._mailbox.wake()
        try:
            return answer.result(timeout_s)
        finally:
            answer.cancel()

    def _wait_s(self) -> float:
        """Return seconds until the next deadline, at least the pause that the last turn asked for."""
        if not self._questions.empty():
            return 0.0
        deadline_ns = self._next_deadline(self._state)
        if deadline_ns is None:
            return LONGEST_WAIT_S
        left_s = (deadline_ns - self._clock.now().ts_ns) / NS_PER_S
        if self._prepare is not None and self._prepared_ns != deadline_ns:
            if left_s > EARLY_S:
                left_s -= EARLY_S
            elif left_s > 0.0:
                self._runs_ahead = self._prepare(self._state, deadline_ns)
                self._prepared_ns = deadline_ns
                left_s = (deadline_ns - self._clock.now().ts_ns) / NS_PER_S
        return min(max(left_s - self._lead_ns(deadline_ns) / NS_PER_S, self._pause_s), LONGEST_WAIT_S)

    def _lead_ns(self, deadline_ns: int) -> int:
        """Return how long before a deadline it is decided: 0 unless it was found to make many runs."""
        if self._prepared_ns != deadline_ns or self._runs_ahead < MANY_RUNS:
            return 0
        return min(self._runs_ahead * self._run_ns, LONGEST_LEAD_NS)

    def _turn(self, batch: list[Event]) -> None:
        """Decide on a batch, or on a deadline that has come; every step takes the deadlines that are due with it."""
        now = self._clock.now()
        deadline_ns = self._next_deadline(self._state)
        ahead = not batch and deadline_ns is not None and 0 < deadline_ns - now.ts_ns <= self._lead_ns(deadline_ns)
        due = ahead or (deadline_ns is not None and deadline_ns <= now.ts_ns)
        if not batch and self._was_set(now):
            # deadlines are wall time: a clock that was set back an hour would put all of them off by an hour
            due = True
        decided: list[tuple[Event, list[Effect]]] = [(event, self._decide(event, now)) for event in batch]
        self._pause_s = 0.0
        if ahead and deadline_ns is not None:
            decided.append((WOKE, self._decide_ahead(now, deadline_ns)))
        elif due and not batch:
            decided.append((WOKE, self._decide(WOKE, now)))
            self._pause_s = BREATH_S
        quiet = all(isinstance(event, Measured) for event in batch)
        if batch or due:
            self._offset_ns = now.ts_ns - now.boot_ns
            effects = self._commit(self._state, [effect for _, each in decided for effect in each], quiet)
            if self._decided is not None:
                for event, each in decided:
                    self._decided(event, each)
            self._dispatch(effects)
        if self._settled is not None and not quiet:
            self._settled(self._state)
        if due and self._next_deadline(self._state) == deadline_ns:
            self._pause_s = STUCK_WAIT_S

    def _decide_ahead(self, now: Instant, deadline_ns: int) -> list[Effect]:
        """Decide on a deadline as of its time, which is near, and wait for that."""
        effects = self._decide(WOKE, Instant(deadline_ns, now.boot_ns + deadline_ns - now.ts_ns))
        after = self._clock.now()
        # half as much again for a processor that is busy next time
        took_ns = (after.boot_ns - now.boot_ns) * 3 // 2
        self._run_ns = max(took_ns // self._runs_ahead, self._run_ns * 9 // 10)
        left_ns = deadline_ns - after.ts_ns
        # a clock that is set back meanwhile must not hold us for an hour
        while 0 < left_ns <= LONGEST_LEAD_NS:
            time.sleep(left_ns / NS_PER_S)
            left_ns = deadline_ns - self._clock.now().ts_ns
        return effects

    def _was_set(self, now: Instant) -> bool:
        """Has the wall clock been set since the last step?"""
        return self._offset_ns is not None and abs(now.ts_ns - now.boot_ns - self._offset_ns) > CLOCK_STEP_NS

    def _decide(self, event: Event, now: Instant) -> list[Effect]:
        self.steps += 1
        try:
            effects = self._step(self._state, event, now)
        except InvariantError as error:
            self.broken = error
            self._notice("engine.broken", level="error", error=str(error), happened=repr(event))
            raise
        except Exception as error:  # noqa: BLE001 - guard: one bad event must not stop the node
            self._notice(
                "engine.step_failed",
                level="error",
                error=f"{type(error).__name__}: {error}",
                at=_where(error),
                happened=repr(event),
            )
            return []
        return effects

    def _answer_questions(self) -> None:
        for _ in range(QUESTIONS_A_TURN):
            try:
                put_answer = self._questions.get_nowait()
            except queue.Empty:
                return
            put_answer(self._state, self._clock.now())


def _commit_nothing(_state: object, effects: list[Effect], _quiet: bool) -> list[Effect]:
    return effects


def _where(error: Exception) -> str:
    """Name the line of ours that raised: `step.py:123`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
