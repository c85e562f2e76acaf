"""The engine: deadlines, commit before dispatch, and what happens when a step fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import pytest

from edgesched.core.model import Instant, Measurement
from edgesched.core.plan.effects import Effect, Report
from edgesched.core.plan.events import Booted, Event, Measured, Woke
from edgesched.errors import InvariantError
from edgesched.node.engine import Engine, Hooks, Planner
from edgesched.node.mailbox import Mailbox
from tests.unit.node.fakes import SECOND, ManualClock, Notices
from tests.waiting import wait_until


@dataclass
class State:
    """A planner's state: what it heard, and its next deadline."""

    heard: list[tuple[Event, int]] = field(default_factory=list)
    deadline_ns: int | None = None
    prepared: list[tuple[int, int]] = field(default_factory=list)
    runs: int = 0


class Bench:
    """An engine over a small planner, in a thread."""

    def __init__(self, clock: object | None = None, **hooks: object) -> None:
        self.state = State()
        self.clock = clock or ManualClock()
        self.notices = Notices()
        self.mailbox = Mailbox()
        self.log: list[str] = []
        self.stop = threading.Event()
        self.beats = 0
        self.react: Callable[[Event], None] = lambda event: None
        self.engine: Engine[State] = Engine(
            self.state,
            Planner(self._step, lambda state: state.deadline_ns, self._prepare),
            mailbox=self.mailbox,
            clock=self.clock,  # type: ignore[arg-type]
            dispatch=lambda effects: self.log.append(f"dispatch {len(effects)}"),
            notice=self.notices,
            hooks=Hooks(commit=self._commit, **hooks),  # type: ignore[arg-type]
        )
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _step(self, state: State, event: Event, now: Instant) -> list[Effect]:
        state.heard.append((event, now.ts_ns))
        if isinstance(event, Woke):
            state.deadline_ns = None
        self.react(event)
        return [Report("heard")]

    def _prepare(self, state: State, deadline_ns: int) -> int:
        state.prepared.append((deadline_ns, self.clock.now().ts_ns))  # type: ignore[attr-defined]
        return state.runs

    def _commit(self, state: State, effects: list[Effect], quiet: bool) -> list[Effect]:
        self.log.append(f"commit {len(effects)}")
        return effects

    def _run(self) -> None:
        try:
            self.engine.run(self.stop, self._beat)
        except InvariantError as error:
            self.failure = error

    def _beat(self) -> None:
        self.beats += 1

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.mailbox.wake()
        self.thread.join(5)
        assert not self.thread.is_alive()


class WallClock:
    """The real clock, as the engine needs it; `offset_ns`: by how much its wall clock is set wrong."""

    def __init__(self) -> None:
        self.offset_ns = 0

    def now(self) -> Instant:
        # the test of precision needs it
        return Instant(time.time_ns() + self.offset_ns, time.monotonic_ns())  # noqa: TID251


def test_a_batch_is_committed_once_and_before_it_is_dispatched() -> None:
    """What a crash must not lose is written before anybody acts on it."""
    bench = Bench()
    for _ in range(3):
        bench.mailbox.put(Booted("a"))
    with bench:
        wait_until(lambda: len(bench.log) == 2)
    assert bench.log == ["commit 3", "dispatch 3"]


def test_a_deadline_wakes_the_planner_in_time() -> None:
    """Without events the planner is woken when its deadline has come, within a few milliseconds."""
    bench = Bench(WallClock())
    bench.state.deadline_ns = time.time_ns() + 50_000_000  # noqa: TID251
    due_ns = bench.state.deadline_ns
    with bench:
        wait_until(lambda: bench.state.heard)
    (event, at_ns), *rest = bench.state.heard
    assert event == Woke()
    assert not rest
    assert 0 <= at_ns - due_ns < 50_000_000


def test_a_deadline_is_prepared_once_shortly_before() -> None:
    """The planner may do ahead what can be done ahead, and does it once."""
    bench = Bench(WallClock())
    due_ns = bench.state.deadline_ns = time.time_ns() + 400_000_000  # noqa: TID251
    with bench:
        wait_until(lambda: bench.state.heard)
    ((deadline_ns, at_ns),) = bench.state.prepared
    assert deadline_ns == due_ns
    assert due_ns - 200_000_000 <= at_ns <= due_ns


class Full:
    """A deadline at which a thousand runs are due, 0.4 s from now."""

    def __init__(self) -> None:
        self.clock = WallClock()
        self.handed: list[tuple[Event, int]] = []
        self.decided_ns: list[int] = []
        self.bench = Bench(self.clock, decided=lambda event, effects: self.handed.append((event, self._now_ns())))
        self.bench.react = lambda event: self.decided_ns.append(self._now_ns())
        self.bench.state.runs = 1000
        self.due_ns = self.bench.state.deadline_ns = self._now_ns() + 400_000_000

    def _now_ns(self) -> int:
        return self.clock.now().ts_ns


def test_a_full_minute_is_decided_ahead_as_of_its_time_and_handed_out_when_it_has_come() -> None:
    """A thousand launches are not late by the time that it takes to decide on them, and none is early."""
    full = Full()
    with full.bench as bench:
        wait_until(lambda: full.handed)
        wait_until(lambda: bench.log)
    assert bench.state.heard == [(Woke(), full.due_ns)]
    assert full.due_ns - 100_000_000 <= full.decided_ns[0] < full.due_ns
    assert full.due_ns <= full.handed[0][1]
    assert bench.log == ["commit 1", "dispatch 1"]


def test_what_comes_while_a_full_minute_is_held_is_decided_after_it() -> None:
    """Time never goes back for the planner: an event of the last moment is heard once the minute has come."""
    full = Full()

    def measure(event: Event) -> None:
        if event == Woke():
            full.bench.mailbox.put(Measured(Measurement("env.t", 1, 1)))

    full.bench.react = measure
    with full.bench as bench:
        wait_until(lambda: len(bench.state.heard) == 2)
    (_, woke_ns), (event, heard_ns) = bench.state.heard
    assert isinstance(event, Measured)
    assert woke_ns == full.due_ns <= heard_ns


def test_a_clock_that_is_set_back_does_not_hold_a_full_minute_for_an_hour() -> None:
    """What was decided is handed out although its time seems far away again."""
    full = Full()

    def set_back(_event: Event) -> None:
        full.clock.offset_ns = -3600 * SECOND

    full.bench.react = set_back
    with full.bench as bench:
        wait_until(lambda: bench.log)
    assert bench.state.heard[0] == (Woke(), full.due_ns)


def test_a_few_runs_are_not_decided_ahead() -> None:
    """What takes less time than a wake-up is decided in its time, with all that was known then."""
    full = Full()
    full.bench.state.runs = 5
    with full.bench as bench:
        wait_until(lambda: full.handed)
    assert full.decided_ns[0] >= full.due_ns
    assert len(bench.state.heard) == 1


def test_an_event_at_the_deadline_stands_for_the_wake_up() -> None:
    """A step takes the deadlines that are due with it, so no second step follows."""
    bench = Bench()
    bench.state.deadline_ns = bench.clock.now().ts_ns  # type: ignore[attr-defined]
    bench.react = lambda event: setattr(bench.state, "deadline_ns", None)
    bench.mailbox.put(Booted("a"))
    with bench:
        wait_until(lambda: bench.state.heard)
        assert bench.engine.ask(lambda state, now: len(state.heard)) == 1
    assert [event for event, _ in bench.state.heard] == [Booted("a")]


def test_a_deadline_that_does_not_move_is_no_busy_loop() -> None:
    """A planner that leaves a due deadline where it is must not keep a core busy."""
    bench = Bench()

    def keep(event: Event) -> None:
        bench.state.deadline_ns = 1

    bench.react = keep
    bench.state.deadline_ns = 1
    with bench:
        wait_until(lambda: len(bench.state.heard) >= 3)
        before = len(bench.state.heard)
        threading.Event().wait(0.2)
        assert len(bench.state.heard) - before <= 6


def test_a_clock_that_was_set_is_noticed_without_an_event() -> None:
    """Deadlines are wall time: after a step back the planner is woken, or it would sleep an hour too long."""
    bench = Bench()
    clock = bench.clock
    assert isinstance(clock, ManualClock)
    bench.mailbox.put(Booted("a"))
    with bench:
        wait_until(lambda: len(bench.state.heard) == 1)
        clock.advance(5)
        bench.mailbox.wake()
        assert bench.engine.ask(lambda state, now: len(state.heard)) == 1
        clock.ts_ns -= 3600 * SECOND
        bench.mailbox.wake()
        wait_until(lambda: len(bench.state.heard) == 2)
    assert [event for event, _ in bench.state.heard] == [Booted("a"), Woke()]


def test_one_failing_event_does_not_stop_the_engine() -> None:
    """An exception is logged with the event and its place; the events after it are decided."""
    bench = Bench()

    def fail(event: Event) -> None:
        if event == Booted("bad"):
            raise ZeroDivisionError("division by zero")

    bench.react = fail
    for boot in ("bad", "good"):
        bench.mailbox.put(Booted(boot))
    with bench:
        wait_until(lambda: len(bench.state.heard) == 2)
    (line,) = bench.notices.named("engine.step_failed")
    assert line["error"] == "ZeroDivisionError: division by zero"
    assert "bad" in line["happened"]
    assert line["at"].startswith("test_engine.py:")


def test_a_broken_invariant_ends_the_engine() -> None:
    """A state that contradicts itself must not be acted on: nothing of that batch is committed or dispatched."""
    bench = Bench()

    def contradict(event: Event) -> None:
        raise InvariantError("two runs of one slot")

    bench.react = contradict
    bench.mailbox.put(Booted("a"))
    with bench:
        wait_until(lambda: bench.failure)
    assert isinstance(bench.failure, InvariantError)
    assert bench.log == []
    assert bench.notices.named("engine.broken")


def test_stop_decides_on_what_has_come_in() -> None:
    """Events in the mailbox at the stop are still decided and carried out."""
    bench = Bench()
    bench.stop.set()
    for number in range(600):
        bench.mailbox.put(Measured(Measurement("env.t", number, 1)))
    with bench:
        pass
    assert len(bench.state.heard) == 600


def test_questions_are_answered_between_steps_and_errors_go_to_the_asker() -> None:
    """`ask` reads the state in the engine's thread; an error in the question hurts only who asked."""
    bench = Bench()
    bench.mailbox.put(Booted("a"))
    with bench:
        wait_until(lambda: bench.state.heard)
        thread_name = bench.engine.ask(lambda state, now: threading.current_thread().name)
        assert thread_name == bench.thread.name
        with pytest.raises(ZeroDivisionError):
            bench.engine.ask(lambda state, now: 1 // 0)
        bench.mailbox.put(Booted("b"))
        wait_until(lambda: len(bench.state.heard) == 2)


def test_ask_gives_up_when_the_engine_does_not_answer() -> None:
    """A reader is not held for ever by an engine that is busy."""
    bench = Bench()
    busy, go_on = threading.Event(), threading.Event()

    def think(_event: Event) -> None:
        busy.set()
        go_on.wait(10)

    bench.react = think
    bench.mailbox.put(Booted("a"))
    with bench:
        assert busy.wait(10)
        with pytest.raises(TimeoutError):
            bench.engine.ask(lambda state, now: 1, timeout_s=0.05)
        go_on.set()


def test_the_state_of_an_engine_that_does_not_run_can_be_read() -> None:
    """An agent that waits for another one can still say what it knows, before and after the engine's time."""
    bench = Bench()
    assert bench.engine.ask(lambda state, now: len(state.heard)) == 0
    with bench:
        bench.mailbox.put(Booted("a"))
        wait_until(lambda: bench.state.heard)
    assert bench.engine.ask(lambda state, now: len(state.heard)) == 1


def test_settled_is_called_for_control_events_only() -> None:
    """Subscriptions can change with goals, not with measurements; those must stay cheap."""
    settled: list[int] = []
    bench = Bench(settled=lambda state: settled.append(len(state.heard)))
    with bench:
        bench.mailbox.put(Measured(Measurement("env.t", 1, 1)))
        wait_until(lambda: len(bench.state.heard) == 1)
        bench.mailbox.put(Booted("a"))
        wait_until(lambda: settled)
    assert settled == [2]


def test_answers_of_a_crowd_are_decided_together() -> None:
    """While many requests are under way events gather; what comes within a moment is one commit."""
    bench = Bench(crowded=lambda: True)
    with bench:
        wait_until(lambda: bench.beats)
        for _ in range(20):
            bench.mailbox.put(Booted("a"))
        wait_until(lambda: len(bench.state.heard) == 20)
    assert len([line for line in bench.log if line.startswith("commit")]) < 10


def test_a_measurement_is_decided_well_under_a_millisecond_after_it_came() -> None:
    """From `put` to `step` in the median: the hand-off must not be what a rule waits for."""
    bench = Bench(WallClock())
    delays_ns: list[int] = []
    bench.react = lambda event: delays_ns.append(time.monotonic_ns() - event.measurement.ts_ns)  # type: ignore[union-attr]
    pause = threading.Event()
    with bench:
        for _ in range(300):
            bench.mailbox.put(Measured(Measurement("env.t", time.monotonic_ns(), 1)))
            pause.wait(0.001)
        wait_until(lambda: len(delays_ns) == 300)
    assert sorted(delays_ns)[150] < SECOND // 1000
