"""Which measurements count, and when."""

from __future__ import annotations

import math

import pytest

from edgesched.core.model import MINUTE_NS, SECOND_NS, Measurement
from edgesched.core.windows import Appended, Limits, NotNumericError, Window, WindowSpec, WindowStore

NOW = 1_678_875_630 * SECOND_NS
META = {"sensor": "bme680", "vsn": "W023"}


def measured(age_s: float, value: object, name: str = "env.temperature", **meta: str) -> Measurement:
    """A measurement `age_s` before NOW."""
    return Measurement(name, NOW - round(age_s * SECOND_NS), value, meta or META)


def opened(*measurements: Measurement, since_s: int = 60, **filters: str) -> tuple[WindowStore, Window]:
    """A store with a window of `since_s` and these measurements."""
    store = WindowStore.with_history()
    spec = WindowSpec("env.temperature", since_s * SECOND_NS, tuple(sorted(filters.items())))
    window = store.require(spec, NOW)
    for measurement in measurements:
        store.append(measurement, NOW)
    return store, window


def test_the_start_is_inside_and_now_is_not() -> None:
    """A window holds the measurement at its start and not the one at now."""
    _, window = opened(measured(60, 1.0), measured(60.000001, 9.0), measured(0, 9.0), measured(0.000001, 2.0))
    assert window.values(NOW) == [1.0, 2.0]


def test_a_measurement_ahead_counts_when_its_time_has_come() -> None:
    """A clock that runs ahead by less than five minutes delays its measurements, it does not lose them."""
    store, window = opened()
    assert store.append(measured(-30, 1.0), NOW) is Appended.STORED
    assert window.values(NOW + 30 * SECOND_NS) == []
    assert window.values(NOW + 30 * SECOND_NS + 1) == [1.0]


def test_a_measurement_far_ahead_is_dropped_and_counted() -> None:
    """More than five minutes ahead is a broken clock."""
    store, window = opened()
    assert store.append(measured(-300, 1.0), NOW) is Appended.STORED
    assert store.append(measured(-300.001, 2.0), NOW) is Appended.FUTURE
    assert store.counters.future == 1
    assert window.values(NOW + 10 * MINUTE_NS) == []


def test_a_late_one_inside_a_window_changes_it() -> None:
    """Measurements may come in any order."""
    store, window = opened(measured(10, 3.0))
    assert window.values(NOW) == [3.0]
    version = window.version
    assert store.append(measured(20, 2.0), NOW) is Appended.STORED
    assert window.version != version
    assert window.values(NOW) == [2.0, 3.0]


def test_what_no_window_can_see_is_dropped_and_counted() -> None:
    """Older than the longest window and the allowance: nobody will ever ask for it."""
    store, _ = opened()
    store.require(WindowSpec("env.temperature", 3600 * SECOND_NS), NOW)
    assert store.append(measured(3659, 1.0), NOW) is Appended.STORED
    assert store.append(measured(3661, 1.0), NOW) is Appended.LATE
    assert store.counters.late == 1


def test_the_last_value_of_equal_time_and_meta_wins() -> None:
    """A repeated delivery changes nothing, a corrected value replaces the old one."""
    store, window = opened(measured(10, 3.0))
    assert window.sum(NOW) == 3.0
    assert store.append(measured(10, 3.0, vsn="W023", sensor="bme680"), NOW) is Appended.REPEATED
    assert store.append(measured(10, 5.0), NOW) is Appended.REPLACED
    assert window.values(NOW) == [5.0]
    assert window.sum(NOW) == 5.0
    assert store.append(measured(10, math.nan), NOW) is Appended.REPLACED
    assert store.append(measured(10, math.nan), NOW) is Appended.REPEATED


def test_a_step_of_the_clock_backwards_is_followed() -> None:
    """Within the allowance a window at an earlier time is what it was."""
    _, window = opened(measured(70, 1.0), measured(30, 2.0), measured(5, 3.0))
    assert window.values(NOW) == [2.0, 3.0]
    assert window.values(NOW - 20 * SECOND_NS) == [1.0, 2.0]
    assert window.mean(NOW - 20 * SECOND_NS) == 1.5
    assert window.mean(NOW) == 2.5


def test_the_filter_compares_strings() -> None:
    """Every pair of the filter must be in the meta; a key with an underscore is a key like others."""
    one = measured(30, 1.0, sensor="bme680", host_name="nx")
    two = measured(20, 2.0, sensor="bme680")
    three = measured(10, 3.0, sensor="bme280", host_name="nx")
    assert opened(one, two, three, sensor="bme680")[1].values(NOW) == [1.0, 2.0]
    assert opened(one, two, three, sensor="bme680", host_name="nx")[1].values(NOW) == [1.0]
    assert opened(one, two, three, sensor="BME680")[1].values(NOW) == []
    assert opened(one, two, three, camera="top")[1].values(NOW) == []


def test_equal_times_are_ordered_by_series() -> None:
    """Two series at the same time have one order, whichever arrived first."""
    a, b = measured(10, 1.0, sensor="a"), measured(10, 2.0, sensor="b")
    for order in ((a, b), (b, a)):
        _, window = opened(*order)
        assert window.values(NOW) == [1.0, 2.0]
        assert window.last(NOW) == 2.0
        assert window.delta(NOW) == 1.0


def test_booleans_and_integers_are_floats() -> None:
    """`True` counts as 1.0; an integer beyond the range of floats is infinite."""
    _, window = opened(measured(30, True), measured(20, 2), measured(10, 10**400))
    assert [type(value) for value in window.values(NOW)] == [float] * 3
    assert window.values(NOW) == [1.0, 2.0, math.inf]
    assert window.max(NOW) == math.inf


def test_strings_are_values_but_not_numbers() -> None:
    """Comparison and order work as in Python, arithmetic is a TypeError."""
    store, window = opened(measured(30, "rain"), measured(10, "clear"))
    assert window.values(NOW) == ["rain", "clear"]
    assert (window.min(NOW), window.max(NOW), window.last(NOW)) == ("clear", "rain", "clear")
    assert window.compare("==", "rain").any(NOW) is True
    assert window.compare("==", 5.0).any(NOW) is False
    assert window.all(NOW) is True
    for aggregate in ("sum", "mean", "median", "stddev", "percentile", "delta"):
        with pytest.raises(NotNumericError, match=r"env\.temperature has values that are no numbers"):
            window.ask(aggregate)(NOW)
    with pytest.raises(TypeError, match="cannot be compared: > 5"):
        window.compare(">", 5).any(NOW)
    store.append(measured(5, 1.0), NOW)
    with pytest.raises(TypeError):
        window.max(NOW)


def test_the_string_is_forgotten_when_it_leaves() -> None:
    """One string does not spoil a window for ever."""
    _, window = opened(measured(50, "rain"), measured(10, 4.0))
    with pytest.raises(NotNumericError):
        window.mean(NOW)
    assert window.mean(NOW + 20 * SECOND_NS) == 4.0


def test_infinities_and_nan_come_and_go() -> None:
    """Values that are not finite decide an aggregate while they are inside and leave no trace."""
    _, window = opened(measured(50, math.inf), measured(40, -math.inf), measured(30, math.nan), measured(10, 0.1))
    t = [NOW + s * SECOND_NS for s in (0, 15, 25, 35)]
    assert math.isnan(window.sum(t[0]) or 0.0)
    assert math.isnan(window.max(t[0]))
    assert math.isnan(window.mean(t[1]) or 0.0)
    assert math.isnan(window.median(t[2]) or 0.0)
    for aggregate in ("sum", "mean", "min", "max", "median", "percentile"):
        assert window.ask(aggregate)(t[3]) == 0.1


def test_the_newest_of_each_series() -> None:
    """`last=True` keeps one value a series, the newest inside the window."""
    store = WindowStore.with_history()
    window = store.require(WindowSpec("env.temperature", 60 * SECOND_NS, last=True), NOW)
    for age, value, sensor in ((50, 10.0, "a"), (45, 1.0, "b"), (20, 20.0, "a"), (5, 2.0, "b"), (30, 7.0, "a")):
        store.append(measured(age, value, sensor=sensor), NOW)
    assert window.values(NOW) == [20.0, 2.0]
    assert window.sum(NOW) == 22.0
    assert window.max(NOW) == 20.0
    assert window.compare(">", 10).any(NOW) is True
    assert window.values(NOW + 50 * SECOND_NS) == [2.0]
    assert window.max(NOW + 50 * SECOND_NS) == 2.0


def test_an_empty_window_has_a_count_and_nothing_else() -> None:
    """Nothing measured is not zero measured."""
    _, window = opened()
    assert window.count(NOW) == 0
    for aggregate in ("sum", "mean", "min", "max", "last", "median", "stddev", "percentile", "delta", "any", "all"):
        assert window.ask(aggregate)(NOW) is None
    tally = window.compare(">", 1)
    assert (tally.count(NOW), tally.any(NOW), tally.all(NOW)) == (0, None, None)


def test_the_next_change_is_exact() -> None:
    """Until `next_change` the content stands, at it it is another."""
    store, window = opened(measured(50, 1.0), measured(20, 2.0), measured(-5, 3.0))
    now, seen = NOW, []
    while (change := window.next_change(now)) is not None:
        before = window.values(change - 1)
        assert before == window.values(now)
        assert window.values(change) != before
        seen.append((change - NOW, window.values(change)))
        now = change
    s = SECOND_NS
    assert seen == [(5 * s + 1, [1.0, 2.0, 3.0]), (10 * s + 1, [2.0, 3.0]), (40 * s + 1, [3.0]), (65 * s + 1, [])]
    store.append(measured(-66, 4.0), now)
    assert window.next_change(now) == NOW + 66 * s + 1


def test_a_name_that_nobody_asks_for_is_dropped() -> None:
    """Neither other names nor series that match no filter take room."""
    store, _ = opened(sensor="bme680")
    assert store.append(measured(1, 1.0, name="env.pressure"), NOW) is Appended.UNWANTED
    assert store.append(measured(1, 1.0, sensor="bme280"), NOW) is Appended.UNWANTED
    assert store.append(measured(1, 1.0, sensor="bme280"), NOW) is Appended.UNWANTED
    assert store.counters.unwanted == 3
    assert store.names() == {"env.temperature"}
    assert store.snapshot()["names"]["env.temperature"]["series"] == []


def test_windows_are_shared_and_go_with_the_last_user() -> None:
    """Equal specs are one window; samples live as long as somebody asks."""
    store = WindowStore.with_history()
    spec = WindowSpec("env.temperature", 60 * SECOND_NS)
    window = store.require(spec, NOW)
    assert store.require(spec, NOW) is window
    assert window.ask("mean") is window.ask("mean")
    assert window.compare(">", 5) is window.compare(">", 5)
    store.append(measured(10, 1.0), NOW)
    store.release(spec)
    assert window.count(NOW) == 1
    store.release(spec)
    assert store.names() == frozenset()
    assert store.require(spec, NOW).count(NOW) == 0


def test_a_new_window_sees_what_others_kept() -> None:
    """A rule that comes later finds the samples that another rule's longer window has kept."""
    store, _ = opened(measured(50, 1.0), measured(3, 2.0), since_s=600)
    short = store.require(WindowSpec("env.temperature", 20 * SECOND_NS, (("sensor", "bme680"),)), NOW)
    assert short.values(NOW) == [2.0]
    store.append(measured(2, 3.0), NOW)
    assert short.values(NOW) == [2.0, 3.0]


def test_the_limits_can_be_set() -> None:
    """Allowances are settings."""
    store = WindowStore(Limits(late_ns=0, future_ns=0))
    store.require(WindowSpec("env.temperature", 60 * SECOND_NS), NOW)
    assert store.append(measured(60.5, 1.0), NOW) is Appended.LATE
    assert store.append(measured(-0.5, 1.0), NOW) is Appended.FUTURE
