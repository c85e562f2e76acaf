"""A live view over the samples of [now - since, now).

A window moves when it is asked, never by itself: `advance` lets the samples out whose time is over and those in whose
time has come, each once, so the cost of time is that of the samples. Two heaps hold one entry a series: the oldest
sample inside, and the first that waits to enter. `calm_until` is the next time at which anything moves; until then and
without arrivals every answer stands, and reading costs two comparisons.

This module moves samples; what a sample does to the content is told by the kinds of windows (`samples`, `rates`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final, TypeVar, cast

from .aggregates import Aggregate
from .series import Cursor, Series, SeriesKey
from .spec import NotNumericError, Value, WindowSpec

NEVER: Final = 1 << 62
A = TypeVar("A", bound=Aggregate)
_Entry = tuple[int, SeriesKey, Cursor]


class MovingWindow:
    """The samples of all series that match a spec.

    `version` changes whenever an arrival or an eviction may have changed the content, `epoch` whenever the content as
    of the last `advance` is another. `size`: number of values; `strange`: number of samples inside that are no numbers.
    """

    takes_any_value = True
    """Whether values that are no numbers may be content."""

    def __init__(self, spec: WindowSpec, now_ns: int, observed_since_ns: int) -> None:
        self.spec = spec
        self.since_ns = spec.since_ns
        self.observed_since_ns = observed_since_ns
        self.now_ns = now_ns
        self.calm_until = NEVER
        self.version = 0
        self.epoch = 0
        self.size = 0
        self.strange = 0
        self._cursors: dict[SeriesKey, Cursor] = {}
        self.pending: list[_Entry] = []
        """Heap of the samples that wait to enter, one a series."""
        self._oldest: list[_Entry] = []
        self._aggregates: dict[object, Aggregate] = {}
        self._adders: list[Callable[[Value], None]] = []
        self._removers: list[Callable[[Value], None]] = []
        self._wide_adders: list[Callable[[Value], None]] = []
        self._wide_removers: list[Callable[[Value], None]] = []

    # --- what the kinds of windows define; `i` is an index into the series

    def _enter(self, cursor: Cursor, i: int, ts_ns: int) -> None:
        """The first sample behind the part joins it; `cursor.tail` still stands before it."""
        raise NotImplementedError

    def _leave(self, cursor: Cursor, i: int) -> None:
        """The oldest sample of the part leaves it; `cursor.head` still stands on it."""
        raise NotImplementedError

    def _insert(self, cursor: Cursor, i: int, ts_ns: int) -> None:
        """A late sample joins the part, not as its newest; `cursor.tail` counts it."""
        raise NotImplementedError

    def _replace(self, cursor: Cursor, i: int, old: Value) -> None:
        """A sample of the part has another value than `old` now."""
        raise NotImplementedError

    def _disturb(self) -> None:
        """Samples leave that are not the oldest of the window."""

    def _reset(self) -> None:
        """All samples leave."""
        self.size = self.strange = 0
        for aggregate in self._aggregates.values():
            aggregate.clear()

    def _timed(self) -> Iterable[tuple[int, Value]]:
        """The content in time order."""
        raise NotImplementedError

    def content(self) -> list[Value]:
        """The values in time order."""
        return [value for _, value in self._timed()]

    def newest(self) -> Value:
        """The newest value of a window that is not empty."""
        raise NotImplementedError

    def oldest(self) -> Value:
        """The oldest value of a window that is not empty."""
        raise NotImplementedError

    def extreme(self, sign: int) -> Callable[[], float]:
        """Have the greatest (1) or smallest (-1) number kept; returns the function that reads it."""
        raise NotImplementedError

    # --- aggregates

    def feed(self, key: object, make: Callable[[], A], *, wide: bool = False) -> A:
        """Have an aggregate told of all changes from now on; the one known by `key` if there is one.

        `wide`: it is told of values that are no numbers, too.
        """
        known = self._aggregates.get(key)
        if known is not None:
            return cast("A", known)
        aggregate = self._aggregates[key] = make()
        for _, value in self._timed():
            if wide or value.__class__ is float:
                aggregate.add(value)
        self._adders.append(aggregate.add)
        self._removers.append(aggregate.remove)
        if wide:
            self._wide_adders.append(aggregate.add)
            self._wide_removers.append(aggregate.remove)
        return aggregate

    def refuse_strange(self) -> None:
        """Raise NotNumericError if a sample inside is no number."""
        if self.strange:
            raise NotNumericError(f"{self.spec.name} has values that are no numbers")

    def _put(self, value: Value) -> None:
        self.size += 1
        if value.__class__ is float:
            for add in self._adders:
                add(value)
        else:
            self.strange += 1
            for add in self._wide_adders:
                add(value)

    def _take(self, value: Value) -> None:
        self.size -= 1
        if value.__class__ is float:
            for remove in self._removers:
                remove(value)
        else:
            self.strange -= 1
            for remove in self._wide_removers:
                remove(value)

    # --- time

    def settle(self, now_ns: int) -> None:
        """Bring the window to `now_ns` if that changes anything."""
        if now_ns >= self.calm_until or now_ns < self.now_ns:
            self.advance(now_ns)

    def advance(self, now_ns: int) -> None:
        """Let samples leave and enter until the window is [now_ns - since, now_ns)."""
        if now_ns < self.now_ns:
            self.rebuild(now_ns)
            return
        start = now_ns - self.since_ns
        oldest, pending = self._oldest, self.pending
        while oldest and oldest[0][0] < start:
            ts, key, cursor = oldest[0]
            if cursor.oldest_ts != ts:
                heappop(oldest)
                continue
            series = cursor.series
            i = cursor.head - series.base
            self._leave(cursor, i)
            self.epoch += 1
            cursor.head += 1
            if cursor.head < cursor.tail:
                cursor.oldest_ts = following = series.times[i + 1]
                heapreplace(oldest, (following, key, cursor))
            else:
                cursor.oldest_ts = None
                heappop(oldest)
        if pending and pending[0][0] < now_ns:
            self._absorb(start, now_ns)
        self.now_ns = now_ns
        self._finish()

    def _absorb(self, start: int, now_ns: int) -> None:
        """Let in the samples before `now_ns`; those that came and went while nobody asked are passed over."""
        pending = self.pending
        self.epoch += 1
        while pending and pending[0][0] < now_ns:
            ts, key, cursor = pending[0]
            if cursor.pending_ts != ts:
                heappop(pending)
                continue
            series = cursor.series
            times = series.times
            i = cursor.tail - series.base
            if ts < start:
                i = bisect_left(times, start, i)
                cursor.head = cursor.tail = i + series.base
            else:
                if cursor.oldest_ts is None:
                    cursor.oldest_ts = ts
                    heappush(self._oldest, (ts, key, cursor))
                self._enter(cursor, i, ts)
                cursor.tail += 1
                i += 1
            if i < len(times):
                cursor.pending_ts = following = times[i]
                heapreplace(pending, (following, key, cursor))
            else:
                cursor.pending_ts = None
                heappop(pending)

    def _finish(self) -> None:
        """Find out how long the content stands."""
        oldest, pending = self._oldest, self.pending
        while oldest and oldest[0][2].oldest_ts != oldest[0][0]:
            heappop(oldest)
        while pending and pending[0][2].pending_ts != pending[0][0]:
            heappop(pending)
        self.calm_until = oldest[0][0] + self.since_ns + 1 if oldest else NEVER
        if pending and pending[0][0] < self.calm_until:
            self.calm_until = pending[0][0] + 1

    def rebuild(self, now_ns: int) -> None:
        """Fill the window anew from its series; after a step of the clock backwards."""
        self.now_ns = now_ns
        self.epoch += 1
        self._oldest.clear()
        self.pending.clear()
        self._reset()
        start = now_ns - self.since_ns
        for key, cursor in sorted(self._cursors.items()):
            series = cursor.series
            times = series.times
            first, stop = series.find(start), series.find(now_ns)
            cursor.head = cursor.tail = first + series.base
            cursor.oldest_ts = times[first] if first < stop else None
            cursor.pending_ts = times[stop] if stop < len(times) else None
            if cursor.oldest_ts is not None:
                self._oldest.append((cursor.oldest_ts, key, cursor))
            if cursor.pending_ts is not None:
                self.pending.append((cursor.pending_ts, key, cursor))
            for i in range(first, stop):
                self._enter(cursor, i, times[i])
                cursor.tail += 1
        heapify(self._oldest)
        heapify(self.pending)
        self._finish()

    # --- arrivals; the sample is in its series already

    def attach(self, series: Series) -> None:
        """Take in a series that matches; if it has samples, `rebuild` follows."""
        cursor = self._cursors[series.key] = Cursor(self, series)
        series.cursors.append(cursor)

    def detach(self, cursor: Cursor) -> None:
        """A series goes, with all its samples."""
        self.withdraw(cursor, cursor.series.base + len(cursor.series.times))
        del self._cursors[cursor.series.key]

    def leave_all(self) -> list[Series]:
        """The window is not needed any more; returns the series that no other window reads.

        It keeps what it holds, as of now, for those who still look at it.
        """
        alone = []
        for cursor in self._cursors.values():
            series = cursor.series
            series.cursors.remove(cursor)
            if not series.cursors:
                alone.append(series)
        return alone

    def inserted(self, cursor: Cursor, i: int, ts_ns: int) -> None:
        """A sample older than another one of its series was put at index `i`."""
        self.version += 1
        place = i + cursor.series.base
        if place < cursor.head or (place == cursor.head and ts_ns < self.now_ns - self.since_ns):
            cursor.head += 1
            cursor.tail += 1
        elif place >= cursor.tail:
            if cursor.pending_ts is None or ts_ns < cursor.pending_ts:
                cursor.pending_ts = ts_ns
                heappush(self.pending, (ts_ns, cursor.series.key, cursor))
                self._finish()
        else:
            cursor.tail += 1
            if place == cursor.head:
                cursor.oldest_ts = ts_ns
                heappush(self._oldest, (ts_ns, cursor.series.key, cursor))
            self._insert(cursor, i, ts_ns)
            self.epoch += 1
            self._finish()

    def replaced(self, cursor: Cursor, i: int, old: Value) -> None:
        """The sample at index `i` has another value than `old` now."""
        self.version += 1
        if cursor.head <= i + cursor.series.base < cursor.tail:
            self._replace(cursor, i, old)
            self.epoch += 1
            self._finish()

    def withdraw(self, cursor: Cursor, place: int) -> None:
        """Samples before `place` go although their time is not over."""
        self.version += 1
        series = cursor.series
        if cursor.head < min(place, cursor.tail):
            while cursor.head < min(place, cursor.tail):
                self._leave(cursor, cursor.head - series.base)
                cursor.head += 1
            self._disturb()
            self.epoch += 1
        if cursor.tail < place:
            cursor.head = cursor.tail = place
            cursor.pending_ts = None
        self._represent(cursor)
        self._finish()

    def _represent(self, cursor: Cursor) -> None:
        """Enter a cursor into the heaps as it stands now."""
        series = cursor.series
        if cursor.head == cursor.tail:
            cursor.oldest_ts = None
        elif cursor.oldest_ts != (ts := series.times[cursor.head - series.base]):
            cursor.oldest_ts = ts
            heappush(self._oldest, (ts, series.key, cursor))
        i = cursor.tail - series.base
        if cursor.pending_ts is None and i < len(series.times):
            cursor.pending_ts = series.times[i]
            heappush(self.pending, (cursor.pending_ts, series.key, cursor))
