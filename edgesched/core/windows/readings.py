"""Fast functions of a time: the value of one aggregate of one window.

A reading brings its window to the time, computes only when the content is another than at the last reading, and answers
None when the window is empty. It raises TypeError (`NotNumericError`) where the content has no such value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .aggregates import Holding, Ranked, Truths
from .moving import MovingWindow
from .spec import Value
from .sums import ExactSum, Moments

Reading = Callable[[int], Any]
"""now_ns -> value of an aggregate, None when the window is empty."""

_Compute = Callable[[], Value]
"""The value of an aggregate of a window that is not empty and stands at the time asked for."""

_Maker = Callable[[MovingWindow, float], _Compute]


def reading(window: MovingWindow, aggregate: str, q: float) -> Reading:
    """A new reading; see `Window.ask`. Raises KeyError when there is no such aggregate."""
    make = _MAKERS[aggregate]
    numbers_only = aggregate not in _OF_ANYTHING or not window.takes_any_value
    return _kept(window, make(window, q), numbers_only, 0 if aggregate == "count" else None)


def _kept(window: MovingWindow, compute: _Compute, numbers_only: bool, of_nothing: Value) -> Reading:
    epoch = -1
    value: Value = None

    def read(now_ns: int) -> Value:
        nonlocal epoch, value
        if now_ns >= window.calm_until or now_ns < window.now_ns:
            window.advance(now_ns)
        if epoch != window.epoch:
            if numbers_only and window.strange:
                window.refuse_strange()
            value = compute() if window.size else of_nothing
            epoch = window.epoch
        return value

    return read


class Tally:
    """Counts the values of a window for which `value OP constant` holds.

    `any(now_ns)`, `all(now_ns)`: whether it holds for one, for every value, None when the window is empty;
    `count(now_ns)`: for how many. They raise TypeError when a value cannot be compared with the constant.
    """

    __slots__ = ("all", "any", "count")

    def __init__(self, window: MovingWindow, op: str, constant: Value) -> None:
        holding = window.feed((op, type(constant), constant), lambda: Holding(op, constant), wide=True)

        def held() -> int:
            if holding.incomparable:
                raise TypeError(f"{window.spec.name} has values that cannot be compared: {op} {constant!r}")
            return holding.held

        numbers_only = not window.takes_any_value
        self.count: Reading = _kept(window, held, numbers_only, 0)
        self.any: Reading = _kept(window, lambda: held() > 0, numbers_only, None)
        self.all: Reading = _kept(window, lambda: held() == window.size, numbers_only, None)


def _count(window: MovingWindow, _q: float) -> _Compute:
    return lambda: window.size


def _sum(window: MovingWindow, _q: float) -> _Compute:
    total = window.feed(ExactSum, ExactSum)
    return lambda: total.over(1)


def _mean(window: MovingWindow, _q: float) -> _Compute:
    total = window.feed(ExactSum, ExactSum)
    return lambda: total.over(window.size)


def _stddev(window: MovingWindow, _q: float) -> _Compute:
    moments = window.feed(Moments, Moments)
    return lambda: moments.stddev(window.size) if window.size > 1 else None


def _median(window: MovingWindow, _q: float) -> _Compute:
    ranked = window.feed(Ranked, Ranked)
    return lambda: ranked.median(window.size)


def _percentile(window: MovingWindow, q: float) -> _Compute:
    ranked = window.feed(Ranked, Ranked)
    return lambda: ranked.percentile(window.size, q)


def _min(window: MovingWindow, _q: float) -> _Compute:
    least = window.extreme(-1)
    return lambda: min(window.content()) if window.strange else least()


def _max(window: MovingWindow, _q: float) -> _Compute:
    greatest = window.extreme(1)
    return lambda: max(window.content()) if window.strange else greatest()


def _last(window: MovingWindow, _q: float) -> _Compute:
    return window.newest


def _delta(window: MovingWindow, _q: float) -> _Compute:
    return lambda: window.newest() - window.oldest()


def _any(window: MovingWindow, _q: float) -> _Compute:
    truths = window.feed(Truths, Truths, wide=True)
    return lambda: truths.held > 0


def _all(window: MovingWindow, _q: float) -> _Compute:
    truths = window.feed(Truths, Truths, wide=True)
    return lambda: truths.held == window.size


_MAKERS: Final[dict[str, _Maker]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "min": _min,
    "max": _max,
    "last": _last,
    "median": _median,
    "stddev": _stddev,
    "percentile": _percentile,
    "delta": _delta,
    "any": _any,
    "all": _all,
}
_OF_ANYTHING: Final = frozenset({"count", "min", "max", "last", "any", "all"})

AGGREGATES: Final = tuple(_MAKERS)
"""Names of all aggregates that a window can keep."""
