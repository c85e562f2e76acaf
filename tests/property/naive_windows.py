"""The windows computed the slow way: every accepted sample in a dictionary, every answer from scratch."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction
from typing import Any

from edgesched.core.model import Measurement
from edgesched.core.windows import Limits, WindowSpec


class Nothing:
    """The answer is a TypeError."""

    def __repr__(self) -> str:
        return "TypeError"


REFUSED = Nothing()


class NaiveStore:
    """All samples that the policy accepts, for ever."""

    def __init__(self, limits: Limits, horizon_ns: int) -> None:
        self.limits = limits
        self.horizon_ns = horizon_ns
        self.samples: dict[tuple[tuple[str, str], ...], dict[int, Any]] = {}

    def append(self, measurement: Measurement, now_ns: int) -> None:
        """Accept, unless too late or too far ahead."""
        if measurement.ts_ns < now_ns - self.horizon_ns - self.limits.late_ns:
            return
        if measurement.ts_ns > now_ns + self.limits.future_ns:
            return
        value = measurement.value
        if isinstance(value, int):
            value = float(value)
        self.samples.setdefault(tuple(sorted(measurement.meta.items())), {})[measurement.ts_ns] = value

    def _inside(self, spec: WindowSpec, now_ns: int) -> list[tuple[int, tuple[tuple[str, str], ...], Any]]:
        found = [
            (ts, key, value)
            for key, samples in self.samples.items()
            if set(spec.meta) <= set(key)
            for ts, value in samples.items()
            if now_ns - spec.since_ns <= ts < now_ns
        ]
        return sorted(found, key=lambda sample: sample[:2])

    def timed(self, spec: WindowSpec, now_ns: int) -> list[tuple[int, Any]] | Nothing:
        """The content of a window."""
        found = self._inside(spec, now_ns)
        if spec.kind == "rate":
            return self._rates(spec, found)
        if spec.last:
            newest = {key: (ts, key, value) for ts, key, value in found}
            found = sorted(newest.values(), key=lambda sample: sample[:2])
        return [(ts, value) for ts, _, value in found]

    @staticmethod
    def _rates(spec: WindowSpec, found: list[Any]) -> list[tuple[int, Any]] | Nothing:
        if any(not isinstance(value, float) for _, _, value in found):
            return REFUSED
        bins: dict[int, dict[Any, list[float]]] = {}
        before: dict[Any, tuple[int, float]] = {}
        for ts, key, value in found:
            if key in before:
                earlier, x = before[key]
                slope = (value - x) / ((ts - earlier) / spec.unit_ns)
                if value >= x and math.isfinite(slope):
                    bins.setdefault(ts // spec.window_ns * spec.window_ns, {}).setdefault(key, []).append(slope)
            before[key] = (ts, value)
        return [
            (start, total([mean(slopes) for slopes in of_series.values()])) for start, of_series in sorted(bins.items())
        ]


def total(values: list[float]) -> float:
    """Sum, rounded once."""
    if all(math.isfinite(x) for x in values):
        return rounded(sum(map(Fraction, values), Fraction(0)))
    return sum(x for x in values if not math.isfinite(x))


def mean(values: list[float]) -> float:
    """Mean, rounded once."""
    if all(math.isfinite(x) for x in values):
        return rounded(sum(map(Fraction, values), Fraction(0)) / len(values))
    return total(values)


def rounded(exact: Fraction) -> float:
    """The nearest float, infinite beyond the range."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def root(exact: Fraction) -> float:
    """Square root of a fraction; by an integer root of 64 more bits than a float has."""
    if not exact:
        return 0.0
    bits = max(0, 256 - (exact.numerator.bit_length() - exact.denominator.bit_length()))
    bits += bits % 2
    return rounded(Fraction(math.isqrt((exact.numerator << bits) // exact.denominator), 1 << (bits // 2)))


def stddev(values: list[float]) -> float | None:
    """Standard deviation of a sample."""
    if len(values) < 2:
        return None
    if not all(math.isfinite(x) for x in values):
        return math.nan
    exact = list(map(Fraction, values))
    centre = sum(exact, Fraction(0)) / len(exact)
    return root(sum(((x - centre) ** 2 for x in exact), Fraction(0)) / (len(exact) - 1))


def percentile(values: list[float], q: float) -> float:
    """Percentile, linear between neighbours."""
    if any(math.isnan(x) for x in values):
        return math.nan
    ordered = sorted(values)
    place = (len(ordered) - 1) * q / 100
    low = ordered[math.floor(place)]
    high = ordered[math.ceil(place)]
    return low if low == high else low + (high - low) * (place - math.floor(place))


def median(values: list[float]) -> float:
    """The middle."""
    if any(math.isnan(x) for x in values):
        return math.nan
    middle = statistics.median(values)
    lower, upper = statistics.median_low(values), statistics.median_high(values)
    if math.isinf(middle) and math.isfinite(lower) and math.isfinite(upper):
        # the sum of the two in the middle is beyond what a float holds
        return lower / 2 + upper / 2
    return middle


def extreme(values: list[Any], pick: Any) -> Any:
    """Smallest or greatest, NaN with a NaN."""
    if all(isinstance(x, float) for x in values) and any(math.isnan(x) for x in values):
        return math.nan
    return pick(values)


def answer(values: list[Any], aggregate: str, q: float = 50.0) -> Any:
    """The value of an aggregate, `REFUSED` where Python would raise TypeError."""
    if aggregate == "count":
        return len(values)
    if not values:
        return None
    of_anything = {
        "last": lambda: values[-1],
        "any": lambda: any(values),
        "all": lambda: all(values),
        "min": lambda: extreme(values, min),
        "max": lambda: extreme(values, max),
    }
    of_numbers = {
        "sum": lambda: total(values),
        "mean": lambda: mean(values),
        "median": lambda: median(values),
        "stddev": lambda: stddev(values),
        "percentile": lambda: percentile(values, q),
        "delta": lambda: values[-1] - values[0],
    }
    if aggregate in of_numbers and any(not isinstance(x, float) for x in values):
        return REFUSED
    try:
        return (of_anything | of_numbers)[aggregate]()
    except TypeError:
        return REFUSED
