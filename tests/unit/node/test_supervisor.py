"""Threads: restarts, heartbeats, phases of the stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from edgesched.errors import InvariantError
from edgesched.node import supervisor as supervision
from edgesched.node.supervisor import Supervisor
from tests.unit.node.fakes import Notices
from tests.waiting import wait_until

Beat = Callable[[], None]


def test_a_failing_thread_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in one source costs a pause, not the source."""
    monkeypatch.setattr(supervision, "RESTART_FIRST_S", 0.01)
    runs: list[int] = []

    def run(stop: threading.Event, beat: Beat) -> None:
        runs.append(1)
        if len(runs) < 3:
            raise ValueError("boom")
        stop.wait()

    notices = Notices()
    threads = Supervisor(notices)
    threads.add("source", run)
    threads.start()
    wait_until(lambda: len(runs) == 3)
    assert threads.stop()
    assert threads.restarts() == {"source": 2}
    assert [line["error"] for line in notices.named("thread.restarting")] == ["ValueError: boom"] * 2


def test_a_thread_that_ends_by_itself_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that returns before the stop is a defect as well."""
    monkeypatch.setattr(supervision, "RESTART_FIRST_S", 0.01)
    runs: list[int] = []
    threads = Supervisor(Notices())
    threads.add("source", lambda stop, beat: runs.append(1))
    threads.start()
    wait_until(lambda: len(runs) >= 2)
    assert threads.stop()


def test_a_broken_invariant_is_not_restarted() -> None:
    """The process must end when the state contradicts itself."""

    def run(stop: threading.Event, beat: Beat) -> None:
        raise InvariantError("no")

    threads = Supervisor(Notices())
    threads.add("engine", run, phase="engine")
    threads.start()
    assert threads.broken.wait(5)
    assert threads.restarts() == {"engine": 0}


def test_the_stop_goes_from_intake_to_outlets() -> None:
    """A later phase is told to stop only when the earlier one has ended."""
    ended: list[str] = []

    def member(name: str) -> Callable[[threading.Event, Beat], None]:
        def run(stop: threading.Event, beat: Beat) -> None:
            stop.wait()
            threading.Event().wait(0.02)
            ended.append(name)

        return run

    threads = Supervisor(Notices())
    threads.add("out", member("out"), phase="outlet")
    threads.add("in", member("in"), phase="intake")
    threads.add("engine", member("engine"), phase="engine")
    threads.start()
    assert threads.stop()
    assert ended == ["in", "engine", "out"]


def test_a_thread_that_does_not_end_is_named_and_left() -> None:
    """The stop takes no longer than its bound."""
    release = threading.Event()
    notices = Notices()
    threads = Supervisor(notices)
    threads.add("stubborn", lambda stop, beat: release.wait() and None)
    threads.start()
    assert not threads.stop(drain_s=0.05)
    assert notices.named("agent.left_behind") == [{"threads": "stubborn", "after_s": 0.05}]
    release.set()


def test_an_old_heartbeat_is_a_stuck_thread() -> None:
    """Liveness is the age of the heartbeat, whatever the thread itself believes."""
    threads = Supervisor(Notices())
    threads.add("silent", lambda stop, beat: stop.wait() and None, limit_s=0.05)

    def beating(stop: threading.Event, beat: Beat) -> None:
        while not stop.wait(0.01):
            beat()

    threads.add("beating", beating, limit_s=2.0)
    threads.start()
    wait_until(lambda: threads.stuck() == ["silent"])
    assert threads.ages()["beating"][0] < 2.0
    assert threads.stop()


def test_nudge_is_called_after_the_stop_is_set() -> None:
    """A thread that waits for work is woken so that it sees the stop."""
    wake = threading.Event()
    seen: list[bool] = []

    def run(stop: threading.Event, beat: Beat) -> None:
        wake.wait()
        seen.append(stop.is_set())

    threads = Supervisor(Notices())
    threads.add("worker", run, nudge=wake.set)
    threads.start()
    assert threads.stop()
    assert seen == [True]
