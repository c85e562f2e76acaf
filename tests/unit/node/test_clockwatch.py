"""When a clock that was not trusted becomes trusted."""

from __future__ import annotations

import threading

import pytest

from edgesched.core.plan.events import ClockTrusted
from edgesched.node.clockwatch import ClockWatch
from tests.unit.node.fakes import Answers, ManualClock
from tests.waiting import wait_until


@pytest.mark.parametrize("how", ["synchronised", "set"])
def test_a_clock_is_trusted_once_when_it_was_set(how: str) -> None:
    """A time service shows in the kernel or in the time itself; it is told once."""
    clock, answers, stop = ManualClock(1_000), Answers(), threading.Event()
    synchronised = False
    watch = ClockWatch(clock, answers, newest_known_ns=2_000, is_synchronised=lambda: synchronised, look_s=0.001)
    beats: list[int] = []
    thread = threading.Thread(target=watch.run, args=(stop, lambda: beats.append(1)))
    thread.start()
    wait_until(lambda: len(beats) > 5)
    assert answers.events == []
    if how == "set":
        clock.ts_ns = 2_001
    else:
        synchronised = True
    wait_until(lambda: answers.events)
    seen = len(beats)
    wait_until(lambda: len(beats) > seen + 5)
    stop.set()
    thread.join(5)
    (event,) = answers.events
    assert isinstance(event, ClockTrusted)
    assert event.reason
