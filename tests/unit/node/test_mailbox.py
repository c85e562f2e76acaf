"""The mailbox: two lanes, a bound, a prompt consumer."""

from __future__ import annotations

import threading
import time

from edgesched.core.model import Measurement
from edgesched.core.plan.events import Booted, EffectDone, Event, Measured
from edgesched.node.mailbox import BATCH_LIMIT, Mailbox


def measured(number: int) -> Measured:
    """Return a measurement with a number."""
    return Measured(Measurement("env.t", number, number))


def test_lanes_keep_order_and_control_comes_first() -> None:
    """Events of each lane come out as they went in, control events before measurements."""
    box = Mailbox()
    for event in (measured(1), Booted("a"), measured(2), EffectDone("e", "ok")):
        box.put(event)
    assert box.take(0) == [Booted("a"), EffectDone("e", "ok"), measured(1), measured(2)]
    assert box.take(0) == []


def test_full_measurement_lane_drops_the_oldest_and_counts() -> None:
    """The newest measurements stay when more come than fit."""
    box = Mailbox(measurement_limit=3)
    for number in range(10):
        box.put(measured(number))
    assert box.take(0) == [measured(7), measured(8), measured(9)]
    assert box.dropped == 7


def test_control_events_are_never_dropped() -> None:
    """A flood of measurements costs no control event, and neither do many control events."""
    box = Mailbox(measurement_limit=3)
    for number in range(5000):
        box.put(EffectDone(str(number), "ok"))
        box.put(measured(number))
    control = [event for event in box.take(0) if isinstance(event, EffectDone)]
    assert [event.effect_id for event in control] == [str(number) for number in range(5000)]


def test_a_batch_of_measurements_is_bounded() -> None:
    """A burst is taken in parts, and nothing of it is lost."""
    box = Mailbox()
    for number in range(2 * BATCH_LIMIT + 1):
        box.put(measured(number))
    sizes = [len(box.take(0)) for _ in range(4)]
    assert sizes == [BATCH_LIMIT, BATCH_LIMIT, 1, 0]


def test_take_waits_no_longer_than_asked() -> None:
    """Without events `take` comes back empty when its time is over, not before."""
    box = Mailbox()
    began_s = time.monotonic()
    assert box.take(0.05) == []
    assert 0.05 <= time.monotonic() - began_s < 2


def test_wake_ends_a_take_without_an_event() -> None:
    """`wake` ends the `take` that waits, and the next one when none waits."""
    box = Mailbox()
    box.wake()
    began_s = time.monotonic()
    assert box.take(5) == []
    threading.Timer(0.02, box.wake).start()
    assert box.take(5) == []
    assert time.monotonic() - began_s < 3


def test_events_of_many_threads_all_arrive() -> None:
    """Eight threads that put at once lose nothing and keep each its own order."""
    box = Mailbox(measurement_limit=100_000)
    threads = [
        threading.Thread(target=lambda source=source: [box.put(measured(source * 1000 + n)) for n in range(1000)])
        for source in range(8)
    ]
    for thread in threads:
        thread.start()
    taken: list[Event] = []
    while len(taken) < 8000:
        batch = box.take(5)
        assert batch, f"only {len(taken)} arrived"
        taken += batch
    for source in range(8):
        mine = [event.measurement.ts_ns for event in taken if event.measurement.ts_ns // 1000 == source]  # type: ignore[union-attr]
        assert mine == sorted(mine)


def test_received_hook_sees_every_event() -> None:
    """The hook of the benchmark is called with each event, in the thread that puts it."""
    seen: list[Event] = []
    box = Mailbox(received=seen.append)
    box.put(measured(1))
    box.put(Booted("a"))
    assert seen == [measured(1), Booted("a")]
