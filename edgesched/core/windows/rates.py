"""The windows of `rate()`: how fast counters rise.

For each series, between neighbouring samples inside the window, the slope per `unit_ns`; a slope that is negative (the
counter was reset) or not finite is left out. Bins of `window_ns` are aligned to the epoch; a slope belongs to the bin
of its later sample. The value of a bin is the sum over the series of the mean of their slopes in it; bins without a
slope are left out. The first sample inside has no neighbour, so a slope goes when its earlier sample goes.

A bin keeps the exact sum of its slopes per series; after samples have moved, only the bins that they touched get a new
value, which replaces the old one in all aggregates.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable

from .aggregates import Ranked
from .series import Cursor
from .spec import Value, WindowSpec
from .sums import ExactSum
from .window import Window


class _Slopes:
    """The slopes of one series in one bin."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = ExactSum()


class RateWindow(Window):
    """Every bin with a slope is a value."""

    takes_any_value = False

    def __init__(self, spec: WindowSpec, now_ns: int, observed_since_ns: int) -> None:
        super().__init__(spec, now_ns, observed_since_ns)
        self._bins: dict[int, dict[Cursor, _Slopes]] = {}
        self._rates: dict[int, float] = {}
        self._starts: list[int] = []
        self._touched: dict[int, None] = {}

    def _enter(self, cursor: Cursor, i: int, ts_ns: int) -> None:  # noqa: ARG002
        if cursor.series.values[i].__class__ is not float:
            self.strange += 1
        if cursor.head < cursor.tail:
            self._count(cursor, i - 1, i, 1)

    def _leave(self, cursor: Cursor, i: int) -> None:
        if cursor.series.values[i].__class__ is not float:
            self.strange -= 1
        if cursor.head + 1 < cursor.tail:
            self._count(cursor, i, i + 1, -1)

    def _insert(self, cursor: Cursor, i: int, ts_ns: int) -> None:  # noqa: ARG002
        if cursor.series.values[i].__class__ is not float:
            self.strange += 1
        before = i + cursor.series.base > cursor.head
        if before:
            self._count(cursor, i - 1, i + 1, -1)
            self._count(cursor, i - 1, i, 1)
        self._count(cursor, i, i + 1, 1)

    def _replace(self, cursor: Cursor, i: int, old: Value) -> None:
        values = cursor.series.values
        new = values[i]
        head, tail = cursor.head - cursor.series.base, cursor.tail - cursor.series.base
        neighbours = [(a, a + 1) for a in (i - 1, i) if a >= head and a + 1 < tail]
        self.strange += (new.__class__ is not float) - (old.__class__ is not float)
        values[i] = old
        for earlier, later in neighbours:
            self._count(cursor, earlier, later, -1)
        values[i] = new
        for earlier, later in neighbours:
            self._count(cursor, earlier, later, 1)

    def _count(self, cursor: Cursor, earlier: int, later: int, step: int) -> None:
        """A slope comes (`step` 1) or goes (-1)."""
        times, values = cursor.series.times, cursor.series.values
        a, b = values[earlier], values[later]
        if a.__class__ is not float or b.__class__ is not float or not b >= a:
            return
        ts = times[later]
        slope = (b - a) / ((ts - times[earlier]) / self.spec.unit_ns)
        if not math.isfinite(slope):
            return
        start = ts - ts % self.spec.window_ns
        of_series = self._bins.get(start)
        if of_series is None:
            of_series = self._bins[start] = {}
        slopes = of_series.get(cursor)
        if slopes is None:
            slopes = of_series[cursor] = _Slopes()
        slopes.count += step
        if not slopes.count:
            del of_series[cursor]
        elif step > 0:
            slopes.total.add(slope)
        else:
            slopes.total.remove(slope)
        self._touched[start] = None

    def _finish(self) -> None:
        super()._finish()
        if self._touched:
            for start in self._touched:
                self._renew(start)
            self._touched.clear()

    def _renew(self, start: int) -> None:
        """Replace the value of a bin."""
        of_series = self._bins[start]
        old = self._rates.get(start)
        if not of_series:
            del self._bins[start]
            if old is not None:
                del self._rates[start], self._starts[bisect_left(self._starts, start)]
                self._take(old)
            return
        try:
            rate = math.fsum(slopes.total.over(slopes.count) for slopes in of_series.values())
        except OverflowError:
            rate = math.inf
        if rate == old:
            return
        if old is None:
            insort(self._starts, start)
        else:
            self._take(old)
        self._rates[start] = rate
        self._put(rate)

    def _reset(self) -> None:
        super()._reset()
        for table in (self._bins, self._rates, self._touched):
            table.clear()
        self._starts.clear()

    def _timed(self) -> Iterable[tuple[int, Value]]:
        return [(start, self._rates[start]) for start in self._starts]

    def content(self) -> list[Value]:
        """The rates in time order. Raises NotNumericError when a sample is no number."""
        self.refuse_strange()
        return super().content()

    def newest(self) -> Value:
        """The rate of the newest bin."""
        return self._rates[self._starts[-1]]

    def oldest(self) -> Value:
        """The rate of the oldest bin."""
        return self._rates[self._starts[0]]

    def extreme(self, sign: int) -> Callable[[], float]:
        """Have the greatest (1) or smallest (-1) number kept; returns the function that reads it."""
        ranked = self.feed(Ranked, Ranked)
        return lambda: ranked.extreme(self.size, sign)
