"""A plugin that publishes garbage cannot fill the memory."""

from __future__ import annotations

from edgesched.core.model import SECOND_NS, Measurement
from edgesched.core.windows import Eviction, Limits, WindowSpec, WindowStore

NOW = 1_678_875_630 * SECOND_NS


def fill(store: WindowStore, name: str, series: range, now: int = NOW) -> None:
    """One measurement for each series."""
    for i in series:
        store.append(Measurement(name, now - SECOND_NS, float(i), {"id": str(i)}), now)


def test_series_of_a_name_are_bounded() -> None:
    """The series that were updated longest ago go first; it is counted, and reported once."""
    store = WindowStore(Limits(series_per_name=32))
    window = store.require(WindowSpec("x", 60 * SECOND_NS), NOW)
    fill(store, "x", range(32))
    assert (window.count(NOW), window.max(NOW), window.last(NOW)) == (32, 31.0, 9.0)
    fill(store, "x", range(1), NOW + 1)
    fill(store, "x", range(32, 34))
    assert window.count(NOW + 2) == 33  # two samples of series 0
    assert 0.0 in window.values(NOW + 2)
    assert 1.0 not in window.values(NOW + 2)
    assert window.sum(NOW + 2) == sum(window.values(NOW + 2))
    assert store.counters.evicted_series == 2
    assert store.take_evictions() == [Eviction("x", "series_per_name", 32)]
    fill(store, "x", range(100, 200))
    assert store.take_evictions() == []
    assert window.count(NOW + 2) <= 32
    assert window.max(NOW + 2) == 199.0


def test_all_series_together_are_bounded() -> None:
    """The name with the most series pays, not the one that happens to be quiet."""
    store = WindowStore(Limits(series_total=40))
    quiet = store.require(WindowSpec("quiet", 60 * SECOND_NS), NOW)
    loud = store.require(WindowSpec("loud", 60 * SECOND_NS), NOW)
    fill(store, "quiet", range(4))
    fill(store, "loud", range(500))
    assert quiet.count(NOW) == 4
    assert loud.count(NOW) <= 36
    assert loud.min(NOW) == min(loud.values(NOW))
    assert store.take_evictions() == [Eviction("loud", "series_total", 40)]


def test_samples_of_a_series_are_bounded() -> None:
    """A series that is too fast for its window loses its oldest samples, from all aggregates."""
    store = WindowStore(Limits(samples_per_series=160))
    window = store.require(WindowSpec("x", 60 * SECOND_NS), NOW)
    rate = store.require(WindowSpec("x", 60 * SECOND_NS, kind="rate", window_ns=SECOND_NS, unit_ns=SECOND_NS), NOW)
    reads = [window.ask(name) for name in ("sum", "min", "max", "median", "delta", "count")]
    for i in range(1000):
        now = NOW + i * SECOND_NS // 100
        store.append(Measurement("x", now - 1, float(i), {}), now)
        if i % 7 == 0:
            values = window.values(now)
            assert len(values) <= 160
            n = len(values)
            middle = (values[(n - 1) // 2] + values[n // 2]) / 2
            right = [sum(values), values[0], values[-1], middle, values[-1] - values[0], n]
            assert [read(now) for read in reads] == right
            assert all(abs(slope - 100) < 1e-6 for slope in rate.values(now))
    assert store.counters.evicted_samples >= 840
    assert store.take_evictions() == [Eviction("x", "samples_per_series", 160)]


def test_silent_series_are_forgotten() -> None:
    """A series that is not updated any more does not stay behind its window."""
    store = WindowStore()
    store.require(WindowSpec("x", 60 * SECOND_NS), NOW)
    fill(store, "x", range(50))
    for i in range(1000):
        now = NOW + i * SECOND_NS
        store.append(Measurement("x", now - 1, 1.0, {"id": "busy"}), now)
    assert [series["meta"] for series in store.snapshot()["names"]["x"]["series"]] == [{"id": "busy"}]
    fill(store, "x", range(1), NOW + 1000 * SECOND_NS)
    assert len(store.snapshot()["names"]["x"]["series"]) == 2


def test_series_that_come_once_are_forgotten() -> None:
    """A plugin that puts a counter into its meta makes a series a message; those behind the window go."""
    store = WindowStore()
    window = store.require(WindowSpec("x", 60 * SECOND_NS), NOW)
    for i in range(5000):
        now = NOW + i * SECOND_NS
        store.append(Measurement("x", now, 1.0, {"id": str(i)}), now)
    assert len(store.series("x")) < 400
    assert window.count(now + 1) == 60
    assert store.counters.evicted_series == 0


def test_old_samples_are_cut() -> None:
    """What is stored is the longest window and the allowance, not the whole past."""
    store = WindowStore(Limits(late_ns=0))
    window = store.require(WindowSpec("x", 60 * SECOND_NS), NOW)
    for i in range(5000):
        store.append(Measurement("x", NOW + i * SECOND_NS, 1.0, {}), NOW + i * SECOND_NS)
    (series,) = store.series("x")
    assert 60 <= len(series.times) < 130
    assert window.count(NOW + 5000 * SECOND_NS) == 60


def test_numbers_are_compact_again_after_a_string() -> None:
    """One value that is no number does not make its series large for ever."""
    store = WindowStore()
    window = store.require(WindowSpec("x", 60 * SECOND_NS), NOW)
    for i in range(400):
        store.append(Measurement("x", NOW + i * SECOND_NS, "oops" if i == 5 else 1.0, {}), NOW + i * SECOND_NS)
        if i == 50:
            (series,) = store.series("x")
            assert isinstance(series.values, list)
    (series,) = store.series("x")
    assert series.values.typecode == "d"
    assert window.sum(NOW + 400 * SECOND_NS) == 60.0


def test_metas_in_changing_order_are_one_series() -> None:
    """The order of keys on the wire makes no series, and what is remembered of it is bounded."""
    store = WindowStore()
    window = store.require(WindowSpec("x", 60 * SECOND_NS), NOW)
    keys = [str(i) for i in range(8)]
    for i in range(3000):
        order = sorted(keys, key=lambda key, i=i: hash((i, int(key))))
        store.append(Measurement("x", NOW - 1 - i, 1.0, dict.fromkeys(order, "v")), NOW)
    assert len(store.series("x")) == 1
    assert window.count(NOW) == 3000
    for i in range(5000):
        store.append(Measurement("x", NOW - 1, 1.0, {"other": str(i)}), NOW)
    assert len(store.series("x")) == 5001
