"""Since when a window has been observed: before that, absence means nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edgesched.core.model import MINUTE_NS, SECOND_NS, Measurement
from edgesched.core.windows import WindowSpec, WindowStore
from edgesched.errors import InvariantError

NOW = 1_678_875_630 * SECOND_NS
HOUR = WindowSpec("x", 60 * MINUTE_NS)


def test_cover_grows_from_the_first_requirement() -> None:
    """A window of an hour covers 3 of 60 minutes after three minutes, and all after an hour."""
    window = WindowStore().require(HOUR, NOW)
    assert window.observed_ns(NOW + 3 * MINUTE_NS) == 3 * MINUTE_NS
    assert not window.covered(NOW + 60 * MINUTE_NS - 1)
    assert window.covered(NOW + 60 * MINUTE_NS)
    assert window.observed_ns(NOW + 90 * MINUTE_NS) == 60 * MINUTE_NS


def test_a_history_covers_all() -> None:
    """In `eval` and `replay` what was not measured did not happen."""
    assert WindowStore.with_history().require(HOUR, NOW).covered(NOW)


def test_a_new_rule_inherits_what_others_observed() -> None:
    """A new window is covered as far as an existing one with the same or a wider filter reaches back."""
    store = WindowStore()
    store.require(HOUR, NOW)
    later = NOW + 90 * MINUTE_NS
    narrow = WindowSpec("x", 30 * MINUTE_NS, (("sensor", "a"),))
    assert store.require(narrow, later).covered(later)
    longer = store.require(WindowSpec("x", 120 * MINUTE_NS), later)
    assert longer.observed_ns(later) == 60 * MINUTE_NS
    other = WindowStore()
    other.require(narrow, NOW)
    assert other.require(HOUR, later).observed_ns(later) == 0


@pytest.mark.parametrize("restore_first", [True, False])
def test_cover_survives_a_quick_restart(restore_first: bool) -> None:
    """A restart within a minute does not begin observation anew, a long one does; samples stay in both cases."""
    store = WindowStore()
    store.require(HOUR, NOW)
    store.append(Measurement("x", NOW, 1.0, {}), NOW)
    saved = json.loads(json.dumps(store.snapshot(NOW + 30 * MINUTE_NS)))
    for pause, observed in ((MINUTE_NS, 31 * MINUTE_NS), (2 * MINUTE_NS, 0)):
        again = NOW + 30 * MINUTE_NS + pause
        restored = WindowStore()
        if restore_first:
            restored.restore(saved, again)
            window = restored.require(HOUR, again)
        else:
            window = restored.require(HOUR, again)
            restored.restore(saved, again)
        assert window.observed_ns(again) == observed
        assert window.values(again) == [1.0]


def test_restored_samples_wait_ten_minutes_for_a_rule() -> None:
    """Goals may come later than the snapshot; what nobody asks for is let go."""
    store = WindowStore()
    store.require(HOUR, NOW)
    store.append(Measurement("x", NOW - 1, 1.0, {"sensor": "a"}), NOW)
    store.append(Measurement("x", NOW - 1, 2.0, {"sensor": "b"}), NOW)
    saved = store.snapshot(NOW)
    restored = WindowStore()
    restored.restore(saved, NOW)
    assert restored.require(WindowSpec("x", MINUTE_NS, (("sensor", "a"),)), NOW).values(NOW) == [1.0]
    later = NOW + 9 * MINUTE_NS
    assert restored.require(HOUR, later).values(later) == [1.0, 2.0]
    restored = WindowStore()
    restored.restore(saved, NOW)
    assert restored.require(HOUR, NOW + 11 * MINUTE_NS).values(NOW + 11 * MINUTE_NS) == []


def test_what_arrived_before_the_snapshot_stays() -> None:
    """Restoring adds to what the store has, and does not overwrite it."""
    store = WindowStore()
    store.require(HOUR, NOW)
    for age in (3, 2, 1):
        store.append(Measurement("x", NOW - age, float(age), {}), NOW)
    saved = store.snapshot(NOW)
    restored = WindowStore()
    window = restored.require(HOUR, NOW)
    restored.append(Measurement("x", NOW - 2, 9.0, {}), NOW)
    restored.restore(saved, NOW)
    assert window.values(NOW) == [3.0, 9.0, 1.0]


def test_an_unknown_snapshot_is_refused() -> None:
    """A snapshot of another version is not guessed at."""
    with pytest.raises(InvariantError, match="version 7, not 1"):
        WindowStore().restore({"version": 7}, NOW)


@pytest.mark.parametrize(
    "damage",
    [
        lambda series: series.update(times=series["times"][:-4]),
        lambda series: series.update(times="!"),
        lambda series: series.update(values=[1.0]),
        lambda series: series.update(times=series["times"][12:] + series["times"][:12]),
        lambda series: series.pop("meta"),
    ],
)
def test_a_damaged_snapshot_is_refused_at_once(damage: Callable[[dict[str, Any]], object]) -> None:
    """What cannot be read shows when it is restored, not when a rule first asks."""
    store = WindowStore()
    store.require(HOUR, NOW)
    for age in (6, 5, 4, 3, 2, 1):
        store.append(Measurement("x", NOW - age * SECOND_NS, float(age), {}), NOW)
    saved = store.snapshot(NOW)
    damage(saved["names"]["x"]["series"][0])
    with pytest.raises((ValueError, KeyError)):
        WindowStore().restore(saved, NOW)
