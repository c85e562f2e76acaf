"""Windows that are kept up to date are the same as windows computed from scratch."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edgesched.core.model import SECOND_NS, Measurement
from edgesched.core.windows import AGGREGATES, FOR_EVER, Limits, Window, WindowSpec, WindowStore
from tests.property.naive_windows import REFUSED, NaiveStore, answer

START = 1_678_875_630 * SECOND_NS
LIMITS = Limits(late_ns=20 * SECOND_NS, future_ns=10 * SECOND_NS)
METAS = [
    {"sensor": "a", "vsn": "W023"},
    {"sensor": "b", "vsn": "W023"},
    {"sensor": "a", "vsn": "W039", "host_name": "nx"},
]
HORIZON_NS = 40 * SECOND_NS
SPECS = [
    WindowSpec("x", 10 * SECOND_NS),
    WindowSpec("x", HORIZON_NS, (("sensor", "a"),)),
    WindowSpec("x", 15 * SECOND_NS, (("sensor", "a"), ("vsn", "W023"))),
    WindowSpec("x", 10 * SECOND_NS, last=True),
    WindowSpec("x", 20 * SECOND_NS, kind="rate", window_ns=4 * SECOND_NS, unit_ns=SECOND_NS),
    WindowSpec("x", 30 * SECOND_NS, (("sensor", "a"),), kind="rate", window_ns=SECOND_NS, unit_ns=7 * SECOND_NS),
]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

numbers = st.one_of(
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from([0.1, 0.2, 0.3, 21.37, 1e308, -1e308, 5e-324, 1e-30, math.inf, -math.inf, math.nan]),
    st.booleans(),
)
anything = st.one_of(numbers, st.sampled_from(["rain", "", "clear", "1"]), st.none(), st.just([1]))


def arrivals(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    """("append", (series, tenths of a second from now, value)): mostly in order, some late, some ahead."""
    offsets = st.one_of(st.integers(-10, 0), st.integers(-650, 110), st.sampled_from([-100, -400, -600, 0, 1, 100]))
    return st.tuples(st.just("append"), st.tuples(st.integers(0, 2), offsets, values))


moves = st.tuples(st.just("move"), st.one_of(st.integers(0, 30), st.integers(0, 700), st.integers(-100, 0)))
looks = st.tuples(st.just("look"), st.sampled_from(range(len(SPECS))))


def histories(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[str, Any]]]:
    """Sequences of arrivals, moves of the clock (also backwards) and looks at one window in between."""
    return st.lists(st.one_of(arrivals(values), arrivals(values), moves, looks), max_size=60)


def same(a: Any, b: Any) -> bool:
    """Equal, NaN equal to itself."""
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


def asked(call: Callable[[], Any]) -> Any:
    """The answer or `REFUSED`."""
    try:
        return call()
    except TypeError:
        return REFUSED


def assert_same(window: Window, naive: NaiveStore, now: int) -> None:
    """All aggregates of a window are those of its samples."""
    expected = naive.timed(window.spec, now)
    if expected is REFUSED:
        assert asked(lambda: window.values(now)) is REFUSED
        for aggregate in AGGREGATES:
            assert asked(lambda name=aggregate: window.ask(name)(now)) is REFUSED, aggregate
        return
    assert isinstance(expected, list)
    assert [ts for ts, _ in window.timed(now)] == [ts for ts, _ in expected]
    values = [value for _, value in expected]
    assert all(map(same, window.values(now), values))
    for aggregate in AGGREGATES:
        for q in (0.0, 33.3, 100.0) if aggregate == "percentile" else (50.0,):
            got = asked(lambda name=aggregate, q=q: window.ask(name, q)(now))
            right = answer(values, aggregate, q)
            # the variance is exact, its quotient and its root are rounded one after the other
            near = (
                aggregate == "stddev"
                and isinstance(got, float)
                and math.isclose(got, right, rel_tol=4e-16, abs_tol=1e-322)
            )
            assert near or same(got, right), (window.spec, aggregate, q, got, values)
    for op, constant in (("<", 0.3), (">=", 1), ("==", "rain"), ("!=", 2.0), (">", "clear")):
        tally = window.compare(op, constant)
        test = OPERATORS[op]
        held = asked(lambda test=test, constant=constant: [test(value, constant) for value in values])
        if held is REFUSED:
            assert asked(lambda tally=tally: tally.any(now)) is REFUSED
        else:
            assert tally.count(now) == sum(held)
            assert tally.any(now) is (any(held) if values else None)
            assert tally.all(now) is (all(held) if values else None)


def run(history: list[tuple[str, Any]], *, asked_before: bool) -> None:
    """Play a history into both stores and compare at the end, and at each look."""
    store = WindowStore(LIMITS, observed_since_ns=FOR_EVER)
    naive = NaiveStore(LIMITS, HORIZON_NS)
    windows = [store.require(spec, START) for spec in SPECS]
    if asked_before:
        for window in windows:
            assert_same(window, naive, START)
    now = newest = START
    for kind, what in history:
        if kind == "append":
            series, offset, value = what
            measurement = Measurement("x", now + offset * SECOND_NS // 10, value, METAS[series])
            store.append(measurement, now)
            naive.append(measurement, now)
        elif kind == "move":
            # what was cut at the newest time cannot come back by a step further back than the allowance
            now = max(now + what * SECOND_NS // 10, newest - LIMITS.late_ns)
            newest = max(newest, now)
        else:
            assert_same(windows[what], naive, now)
    for window in windows:
        assert_same(window, naive, now)


@given(histories(numbers), st.booleans())
@settings(max_examples=150, deadline=None)
def test_numbers(history: list[tuple[str, Any]], asked_before: bool) -> None:
    """Aggregates of numbers are those of a computation from scratch, whatever arrives in which order."""
    run(history, asked_before=asked_before)


@given(histories(anything), st.booleans())
@settings(max_examples=100, deadline=None)
def test_anything(history: list[tuple[str, Any]], asked_before: bool) -> None:
    """Strings, nulls and lists among the values neither disturb the sums nor stay behind in them."""
    run(history, asked_before=asked_before)


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[Measurement], list[Measurement]]:
    """Samples of rising counters in the last 40 s, each with its own time, in two orders of arrival."""
    samples = []
    for meta in METAS[: draw(st.integers(1, 3))]:
        tenths = sorted(draw(st.sets(st.integers(1, 400), max_size=15)), reverse=True)
        value = 0.0
        for age in tenths:
            value = draw(st.one_of(st.just(value + 0.1), st.just(value), numbers.map(float), st.floats(0, 1e3)))
            samples.append(Measurement("x", START - age * SECOND_NS // 10, value, meta))
    return draw(st.permutations(samples)), draw(st.permutations(samples))


def everything(store: WindowStore, now: int) -> list[Any]:
    """All answers of all windows, exact to the bit."""
    found: list[Any] = []
    for window in (store.require(spec, now) for spec in SPECS):
        found.append(repr(window.timed(now)))
        found += [repr(asked(lambda w=window, name=name: w.ask(name, 33.3)(now))) for name in AGGREGATES]
    return found


@given(orders(), st.lists(st.integers(0, 30), max_size=3))
@settings(max_examples=150, deadline=None)
def test_order_of_arrival(both: tuple[list[Measurement], list[Measurement]], looks_at: list[int]) -> None:
    """Two orders of arrival, with looks in between, give the same answers to the last bit, and those from scratch."""
    stores = []
    naive = NaiveStore(LIMITS, HORIZON_NS)
    for order in both:
        store = WindowStore(LIMITS, observed_since_ns=FOR_EVER)
        windows = [store.require(spec, START) for spec in SPECS]
        for n, measurement in enumerate(order):
            store.append(measurement, START)
            naive.append(measurement, START)
            if n in looks_at:
                everything(store, START)
        for window in windows:
            assert_same(window, naive, START)
        stores.append(store)
    later = START + 12 * SECOND_NS
    assert everything(stores[0], START) == everything(stores[1], START)
    assert everything(stores[0], later) == everything(stores[1], later)


@given(histories(anything), st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_restart(history: list[tuple[str, Any]], pause: int) -> None:
    """A store restored from JSON, before or after its windows are required, answers as the one that was saved."""
    store = WindowStore(LIMITS)
    for spec in SPECS:
        store.require(spec, START)
    now = START
    for kind, what in history:
        if kind == "append":
            series, offset, value = what
            store.append(Measurement("x", now + offset * SECOND_NS // 10, value, METAS[series]), now)
        elif kind == "move":
            now += max(0, what) * SECOND_NS // 10
    saved = json.loads(json.dumps(store.snapshot(now)))
    later = now + pause * SECOND_NS // 10
    before, after = WindowStore(LIMITS), WindowStore(LIMITS)
    before.restore(saved, later)
    for spec in SPECS:
        after.require(spec, later)
    after.restore(saved, later)
    for restored in (before, after):
        assert everything(restored, later) == everything(store, later)
        for spec in SPECS:
            assert restored.require(spec, later).observed_ns(later) == store.require(spec, later).observed_ns(later)
        # as text, in which a NaN is equal to itself
        assert json.dumps(restored.snapshot(later)["names"]["x"]["series"]) == json.dumps(
            store.snapshot(later)["names"]["x"]["series"]
        )
