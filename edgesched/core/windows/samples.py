"""The windows of `v()`: all samples, or the newest of each series."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .aggregates import Extreme, Ranked
from .series import Cursor
from .spec import Value, WindowSpec
from .window import Window


def merged(cursors: Iterable[Cursor]) -> list[tuple[int, Value]]:
    """The samples of several parts in time order, ties by series."""
    runs = sorted((c for c in cursors if c.head < c.tail), key=lambda c: c.series.key)
    found: list[tuple[int, int, Value]] = []
    for rank, cursor in enumerate(runs):
        series = cursor.series
        part = slice(cursor.head - series.base, cursor.tail - series.base)
        found.extend((ts, rank, value) for ts, value in zip(series.times[part], series.values[part], strict=True))
    if len(runs) > 1:
        found.sort(key=lambda sample: sample[:2])
    return [(ts, value) for ts, _, value in found]


def newest_value(cursor: Cursor) -> Value:
    """The last value of a part that is not empty."""
    return cursor.series.values[cursor.tail - 1 - cursor.series.base]


class SampleWindow(Window):
    """Every sample is a value."""

    def __init__(self, spec: WindowSpec, now_ns: int, observed_since_ns: int) -> None:
        super().__init__(spec, now_ns, observed_since_ns)
        self._extremes: dict[int, Extreme] = {}
        self._kept_extremes: list[Extreme] = []  # the others are filled when somebody reads them
        self._newest: Cursor | None = None  # None: not known
        self._newest_ts = 0

    def _enter(self, cursor: Cursor, i: int, ts_ns: int) -> None:
        # `_put` and `_take` in place: this is the busiest path of the agent
        value = cursor.series.values[i]
        self.size += 1
        if value.__class__ is float:
            for add in self._adders:
                add(value)
            for extreme in self._kept_extremes:
                extreme.push(ts_ns, value)
        else:
            self.strange += 1
            for add in self._wide_adders:
                add(value)
        newest = self._newest
        if newest is None:
            if self.size == 1:
                self._newest, self._newest_ts = cursor, ts_ns
        elif ts_ns > self._newest_ts:
            self._newest, self._newest_ts = cursor, ts_ns
        elif ts_ns == self._newest_ts and cursor.series.key > newest.series.key:
            self._newest = cursor

    def _leave(self, cursor: Cursor, i: int) -> None:
        value = cursor.series.values[i]
        self.size -= 1
        if value.__class__ is float:
            for remove in self._removers:
                remove(value)
        else:
            self.strange -= 1
            for remove in self._wide_removers:
                remove(value)

    _insert = _enter

    def _replace(self, cursor: Cursor, i: int, old: Value) -> None:
        self._take(old)
        self._put(cursor.series.values[i])
        self._disturb()

    def _disturb(self) -> None:
        self._kept_extremes.clear()
        self._newest = None

    def _reset(self) -> None:
        super()._reset()
        self._disturb()

    def _timed(self) -> list[tuple[int, Value]]:
        return merged(self._cursors.values())

    def content(self) -> list[Value]:
        """The values in time order."""
        if len(self._cursors) == 1:
            for cursor in self._cursors.values():
                base = cursor.series.base
                return list(cursor.series.values[cursor.head - base : cursor.tail - base])
        return super().content()

    def newest(self) -> Value:
        """The newest value."""
        if self._newest is None:
            filled = (c for c in self._cursors.values() if c.head < c.tail)
            self._newest = max(filled, key=lambda c: (c.series.times[c.tail - 1 - c.series.base], c.series.key))
            self._newest_ts = self._newest.series.times[self._newest.tail - 1 - self._newest.series.base]
        return newest_value(self._newest)

    def oldest(self) -> Value:
        """The oldest value."""
        cursor = self._oldest[0][2]
        return cursor.series.values[cursor.head - cursor.series.base]

    def extreme(self, sign: int) -> Callable[[], float]:
        """Have the greatest (1) or smallest (-1) number kept; returns the function that reads it."""
        extreme = self._extremes.get(sign)
        if extreme is None:
            extreme = self._extremes[sign] = Extreme(sign, self.since_ns)
        wanted, kept = extreme, self._kept_extremes

        def read() -> float:
            if wanted not in kept:
                wanted.fill((ts, value) for ts, value in self._timed() if value.__class__ is float)
                kept.append(wanted)
            return wanted.read(self.now_ns - self.since_ns)

        return read


class NewestWindow(Window):
    """`last=True`: the newest sample of each series is a value."""

    def _enter(self, cursor: Cursor, i: int, ts_ns: int) -> None:  # noqa: ARG002
        if cursor.head < cursor.tail:
            self._take(cursor.series.values[i - 1])
        self._put(cursor.series.values[i])

    def _leave(self, cursor: Cursor, i: int) -> None:
        if cursor.head + 1 == cursor.tail:
            self._take(cursor.series.values[i])

    def _insert(self, cursor: Cursor, i: int, ts_ns: int) -> None:
        """A late sample is never the newest."""

    def _replace(self, cursor: Cursor, i: int, old: Value) -> None:
        if i + cursor.series.base + 1 == cursor.tail:
            self._take(old)
            self._put(cursor.series.values[i])

    def _ordered(self) -> list[tuple[int, Cursor]]:
        filled = [c for c in self._cursors.values() if c.head < c.tail]
        found = [(c.series.times[c.tail - 1 - c.series.base], c) for c in filled]
        return sorted(found, key=lambda sample: (sample[0], sample[1].series.key))

    def _timed(self) -> list[tuple[int, Value]]:
        return [(ts, newest_value(cursor)) for ts, cursor in self._ordered()]

    def newest(self) -> Value:
        """The newest value of all series."""
        return self._timed()[-1][1]

    def oldest(self) -> Value:
        """The oldest of the newest values."""
        return self._timed()[0][1]

    def extreme(self, sign: int) -> Callable[[], float]:
        """Have the greatest (1) or smallest (-1) number kept; returns the function that reads it."""
        ranked = self.feed(Ranked, Ranked)
        return lambda: ranked.extreme(self.size, sign)
