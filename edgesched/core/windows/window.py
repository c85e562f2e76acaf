"""A live view over the samples of [now - since, now)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .spec import NotNumericError, Value, WindowSpec

if TYPE_CHECKING:
    from .store import WindowStore

OPERATORS: Final[dict[str, Callable[[Value, Value], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
AGGREGATES: Final = ("count", "sum", "mean", "min", "max", "last", "median", "stddev", "delta", "any", "all")


class Tally:
    """Counts the values of a window for which `value OP constant` holds."""

    def __init__(self, window: Window, op: str, constant: Value) -> None:
        self._window = window
        self._test = OPERATORS[op]
        self._constant = constant

    def count(self, now_ns: int) -> int:
        """Number of values for which it holds. Raises TypeError when a value cannot be compared."""
        return sum(bool(self._test(value, self._constant)) for value in self._window.values(now_ns))

    def any(self, now_ns: int) -> bool | None:
        """Whether it holds for one value at least; None when the window is empty."""
        return self.count(now_ns) > 0 if self._window.count(now_ns) else None

    def all(self, now_ns: int) -> bool | None:
        """Whether it holds for every value; None when the window is empty."""
        n = self._window.count(now_ns)
        return self.count(now_ns) == n if n else None


class Window:
    """See the package docstring. All aggregates but `count` are None when the window is empty."""

    def __init__(self, spec: WindowSpec, store: WindowStore, observed_since_ns: int) -> None:
        self.spec = spec
        self.version = 0
        self.observed_since_ns = observed_since_ns
        self._store = store

    def timed(self, now_ns: int) -> list[tuple[int, Value]]:
        """(ts_ns, value) in time order, ties by series; for `rate` the time is the start of the bin."""
        start = now_ns - self.spec.since_ns
        found = [
            (ts, key, value)
            for key, samples in self._store.matching(self.spec)
            for ts, value in samples.items()
            if start <= ts < now_ns
        ]
        found.sort(key=lambda sample: sample[:2])
        if self.spec.last:
            newest = {key: (ts, key, value) for ts, key, value in found}
            found = sorted(newest.values(), key=lambda sample: sample[:2])
        if self.spec.kind == "rate":
            return self._rates(found)
        return [(ts, value) for ts, _, value in found]

    def _rates(self, found: list[tuple[int, tuple[tuple[str, str], ...], Value]]) -> list[tuple[int, Value]]:
        bins: dict[int, dict[object, list[float]]] = {}
        previous: dict[object, tuple[int, float]] = {}
        for ts, key, value in found:
            if not isinstance(value, float):
                raise NotNumericError("rate() of a value that is no number")
            if key in previous:
                before, x = previous[key]
                if value >= x:
                    slope = (value - x) / ((ts - before) / self.spec.unit_ns)
                    bins.setdefault(ts - ts % self.spec.window_ns, {}).setdefault(key, []).append(slope)
            previous[key] = (ts, value)
        return [
            (ts, math.fsum(math.fsum(slopes) / len(slopes) for slopes in of_series.values()))
            for ts, of_series in sorted(bins.items())
        ]

    def values(self, now_ns: int) -> list[Value]:
        """The values in time order, ties by series."""
        return [value for _, value in self.timed(now_ns)]

    def _numbers(self, now_ns: int) -> list[float]:
        values = self.values(now_ns)
        for value in values:
            if not isinstance(value, float):
                raise NotNumericError(f"{type(value).__name__} is no number")
        return values

    def count(self, now_ns: int) -> int:
        """Number of values."""
        return len(self.values(now_ns))

    def sum(self, now_ns: int) -> float | None:
        """Exact sum, rounded once."""
        values = self._numbers(now_ns)
        return math.fsum(values) if values else None

    def mean(self, now_ns: int) -> float | None:
        """Exact mean, rounded once."""
        values = self._numbers(now_ns)
        return math.fsum(values) / len(values) if values else None

    def min(self, now_ns: int) -> Value:
        """Smallest value; of strings too, as Python."""
        return min(self.values(now_ns), default=None)

    def max(self, now_ns: int) -> Value:
        """Greatest value; of strings too, as Python."""
        return max(self.values(now_ns), default=None)

    def last(self, now_ns: int) -> Value:
        """Newest value."""
        values = self.values(now_ns)
        return values[-1] if values else None

    def median(self, now_ns: int) -> float | None:
        """Median; the mean of the middle two when the number is even."""
        return self.percentile(now_ns, 50.0)

    def percentile(self, now_ns: int, q: float) -> float | None:
        """q-th percentile, 0..100, linear between neighbours as numpy does by default."""
        values = sorted(self._numbers(now_ns))
        if not values:
            return None
        place = (len(values) - 1) * q / 100
        low = math.floor(place)
        high = min(low + 1, len(values) - 1)
        return values[low] + (values[high] - values[low]) * (place - low)

    def stddev(self, now_ns: int) -> float | None:
        """Sample standard deviation (n - 1); None with fewer than two values."""
        values = self._numbers(now_ns)
        if len(values) < 2:
            return None
        mean = math.fsum(values) / len(values)
        return math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1))

    def delta(self, now_ns: int) -> float | None:
        """Newest value minus oldest value."""
        values = self._numbers(now_ns)
        return values[-1] - values[0] if values else None

    def any(self, now_ns: int) -> bool | None:
        """Whether one value is true (not zero, not empty)."""
        values = self.values(now_ns)
        return any(values) if values else None

    def all(self, now_ns: int) -> bool | None:
        """Whether every value is true."""
        values = self.values(now_ns)
        return all(values) if values else None

    def ask(self, aggregate: str, q: float = 50.0) -> Callable[[int], Value]:
        """Have an aggregate kept up to date; returns the fast function now_ns -> value of that aggregate.

        `aggregate`: one of `AGGREGATES` or `percentile` (then `q` in 0..100).
        """
        if aggregate == "percentile":
            return lambda now_ns: self.percentile(now_ns, q)
        found: Callable[[int], Value] = getattr(self, aggregate)
        return found

    def compare(self, op: str, constant: Value) -> Tally:
        """Have `value OP constant` counted; `op` one of `< <= > >= == !=`."""
        return Tally(self, op, constant)

    def observed_ns(self, now_ns: int) -> int:
        """How much of the window has been observed, 0..since_ns."""
        return max(0, min(self.spec.since_ns, now_ns - self.observed_since_ns))

    def covered(self, now_ns: int) -> bool:
        """Whether the window has been observed for its whole length: only then does absence mean anything."""
        return now_ns - self.spec.since_ns >= self.observed_since_ns

    def next_change(self, now_ns: int) -> int | None:
        """First ns after `now_ns` at which the content may differ although nothing arrives, None: never."""
        start = now_ns - self.spec.since_ns
        times = [ts for _, samples in self._store.matching(self.spec) for ts in samples if ts >= start]
        changes = [ts + 1 if ts >= now_ns else ts + self.spec.since_ns + 1 for ts in times]
        return min(changes, default=None)
