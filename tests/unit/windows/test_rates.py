"""How fast counters rise."""

from __future__ import annotations

import pytest

from edgesched.core.model import MINUTE_NS, SECOND_NS, Measurement
from edgesched.core.windows import NotNumericError, Window, WindowSpec, WindowStore

NOW = 1_678_875_630 * SECOND_NS


def counters(
    *samples: tuple[float, object, str], since_s: int = 60, window_s: int = 10, unit_s: int = 1
) -> tuple[WindowStore, Window]:
    """A rate over (age in s, value, sensor)."""
    store = WindowStore.with_history()
    s = SECOND_NS
    spec = WindowSpec("c", since_s * s, kind="rate", window_ns=window_s * s, unit_ns=unit_s * s)
    window = store.require(spec, NOW)
    for age_s, value, sensor in samples:
        store.append(Measurement("c", NOW - round(age_s * s), value, {"sensor": sensor}), NOW)
    return store, window


def test_a_reset_is_left_out() -> None:
    """A counter that falls was reset; the step down is no rate."""
    _, window = counters(*[(a, v, "a") for a, v in ((55, 10), (45, 20), (35, 5), (25, 15), (15, 35), (5, 36))])
    assert window.values(NOW) == [1.0, 1.0, 2.0, 0.1]
    assert window.max(NOW) == 2.0
    assert window.compare("==", 2).any(NOW) is True


def test_the_rates_of_the_series_of_a_bin_are_summed() -> None:
    """Two counters with +1/s and +3/s rise by 4 a second; each bin has the mean of a series' slopes."""
    samples = [(50 - 10 * i, 10.0 * i, "a") for i in range(5)] + [(48 - 10 * i, 30.0 * i, "b") for i in range(5)]
    _, window = counters(*samples)
    assert window.timed(NOW) == [(NOW - age * SECOND_NS, 4.0) for age in (40, 30, 20, 10)]
    assert window.mean(NOW) == 4.0


def test_bins_are_aligned_to_the_epoch() -> None:
    """A bin begins at a multiple of its length, whenever we look; empty bins are left out."""
    _, window = counters((50, 0, "a"), (31, 38, "a"), (29, 42, "a"), since_s=60, window_s=60, unit_s=60)
    minute = NOW // MINUTE_NS * MINUTE_NS
    assert window.timed(NOW) == [(minute - MINUTE_NS, 120.0), (minute, 120.0)]


def test_a_slope_goes_with_its_earlier_sample() -> None:
    """Only neighbours inside the window make a slope."""
    _, window = counters((30, 0, "a"), (20, 10, "a"), (10, 40, "a"))
    assert window.values(NOW) == [1.0, 3.0]
    assert window.next_change(NOW) == NOW + 30 * SECOND_NS + 1
    assert window.values(NOW + 30 * SECOND_NS + 1) == [3.0]
    assert window.values(NOW + 40 * SECOND_NS + 1) == []
    assert window.max(NOW + 40 * SECOND_NS + 1) is None


def test_one_sample_has_no_rate() -> None:
    """No slope is not a rate of zero."""
    _, window = counters((10, 5, "a"))
    assert window.values(NOW) == []
    assert window.mean(NOW) is None


def test_late_and_corrected_samples_change_their_bins() -> None:
    """A sample between two others splits their slope; a corrected value changes both its slopes."""
    store, window = counters((30, 0, "a"), (10, 40, "a"))
    assert window.values(NOW) == [2.0]
    store.append(Measurement("c", NOW - 20 * SECOND_NS, 10, {"sensor": "a"}), NOW)
    assert window.values(NOW) == [1.0, 3.0]
    store.append(Measurement("c", NOW - 20 * SECOND_NS, 30, {"sensor": "a"}), NOW)
    assert window.values(NOW) == [3.0, 1.0]


def test_a_rate_of_strings_is_a_type_error() -> None:
    """Every answer of a rate over a string is the TypeError that Python would raise."""
    _, window = counters((30, 0, "a"), (20, "x", "a"), (10, 5, "a"))
    for ask in (window.values, window.mean, window.any, window.compare(">", 1).any, window.count):
        with pytest.raises(NotNumericError):
            ask(NOW)
    assert window.values(NOW + 45 * SECOND_NS) == []


def test_huge_steps_are_left_out() -> None:
    """A slope beyond the range of floats is no slope."""
    _, window = counters((30, -1e308, "a"), (29.5, 1e308, "a"), (10, 1.1e308, "a"))
    assert window.count(NOW) == 1
