"""All series that rules ask for, by name. The policy is written in the package docstring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from heapq import heappush
from typing import Any, Final

from edgesched.core.model import Measurement

from . import snapshots
from .index import SWEEP_AFTER, NameIndex, Raw
from .rates import RateWindow
from .samples import NewestWindow, SampleWindow
from .series import CUT_AT_LEAST, Series, SeriesKey
from .spec import FOR_EVER, Limits, Value, WindowSpec
from .window import Window

EVICTED_PART: Final = 16
"""One sixteenth goes at a time, so that the cost of an eviction is spread over many arrivals."""


class Appended(Enum):
    """What became of a measurement. Truthy when a window may change by it, now or later."""

    STORED = "stored"
    REPLACED = "replaced"
    REPEATED = "repeated"
    UNWANTED = "unwanted"
    LATE = "late"
    FUTURE = "future"

    def __bool__(self) -> bool:
        return self is Appended.STORED or self is Appended.REPLACED


# looking up a member of an Enum takes longer than storing a sample
_STORED, _REPLACED, _REPEATED, _UNWANTED, _LATE, _FUTURE = Appended


@dataclass(slots=True)
class Counters:
    """How many measurements met which fate since the store was made."""

    stored: int = 0
    replaced: int = 0
    repeated: int = 0
    unwanted: int = 0
    late: int = 0
    future: int = 0
    evicted_series: int = 0
    evicted_samples: int = 0


@dataclass(frozen=True, slots=True)
class Eviction:
    """A limit was reached for the first time: `limit` is a field of `Limits`, `bound` its value."""

    name: str
    limit: str
    bound: int


def _window(spec: WindowSpec, now_ns: int, observed_since_ns: int) -> Window:
    kind = RateWindow if spec.kind == "rate" else NewestWindow if spec.last else SampleWindow
    return kind(spec, now_ns, observed_since_ns)


def _claim(window: Window) -> snapshots.Claim:
    return snapshots.Claim(window.spec.meta, window.since_ns, window.observed_since_ns)


def _number(value: Value) -> Value:
    """Booleans and integers count as floats; other values stay."""
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value


def _made_room_for(series: Series, value: Value) -> Value:
    value = _number(value)
    if value.__class__ is not float:
        series.widen()
    return value


def _same(a: Value, b: Value) -> bool:
    return a.__class__ is b.__class__ and (a == b or str(a) == str(b) == "nan")


class WindowStore:
    """The windows of all rules and the samples that they need.

    `observed_since_ns`: since when every name has been observed; None: each since it was first required.
    """

    def __init__(self, limits: Limits | None = None, *, observed_since_ns: int | None = None) -> None:
        self.limits = limits or Limits()
        self.counters = Counters()
        self._observed_since_ns = observed_since_ns
        self._names: dict[str, NameIndex] = {}
        self._parked = snapshots.Parked()
        self._series_total = 0
        self._ticks = 0
        self._seen_ns = 0
        self._reported: dict[tuple[str, str], None] = {}
        self._evictions: list[Eviction] = []

    @classmethod
    def with_history(cls, limits: Limits | None = None) -> WindowStore:
        """A store that has observed for ever: what is not in it did not happen."""
        return cls(limits, observed_since_ns=FOR_EVER)

    def names(self) -> frozenset[str]:
        """Names that some window asks for."""
        return frozenset(self._names)

    def series(self, name: str) -> list[Series]:
        """The series of a name that are kept, for status and tests."""
        of_name = self._names.get(name)
        return list(of_name.series.values()) if of_name else []

    # --- who asks

    def require(self, spec: WindowSpec, now_ns: int) -> Window:
        """The window of `spec`, shared by all who ask; every call is answered by one `release`.

        When rules change, require the new windows before the old ones are released: samples go with the last window.
        """
        self._seen_ns = max(self._seen_ns, now_ns)
        of_name = self._names.setdefault(spec.name, NameIndex(self.limits.late_ns))
        held = of_name.held.get(spec)
        if held is None:
            window = _window(spec, now_ns, self._observed(of_name, spec, now_ns))
            of_name.add(spec, window)
            for series in of_name.series.values():
                if spec.matches(dict(series.key)):
                    window.attach(series)
            self._unpark(spec.name, of_name, now_ns)
            window.rebuild(now_ns)
            held = of_name.held[spec]
        held.users += 1
        return held.window

    def release(self, spec: WindowSpec) -> None:
        """One who asked for `spec` no longer does; the last one takes the window and its samples with it."""
        of_name = self._names[spec.name]
        held = of_name.held[spec]
        held.users -= 1
        if held.users:
            return
        of_name.drop(spec)
        self._drop(of_name, held.window.leave_all())
        if not of_name.held:
            del self._names[spec.name]

    def _observed(self, of_name: NameIndex, spec: WindowSpec, now_ns: int) -> int:
        """Since when every sample that `spec` would match has been kept."""
        if self._observed_since_ns is not None:
            return self._observed_since_ns
        claims = [_claim(window) for window in of_name.wider(spec)] + self._parked.claims(spec.name, now_ns)
        return min((claim.reach(spec, now_ns) for claim in claims), default=now_ns)

    # --- arrivals

    def append(self, measurement: Measurement, now_ns: int) -> Appended:
        """Take in a measurement that arrived at `now_ns`."""
        of_name = self._names.get(measurement.name)
        if of_name is None:
            self.counters.unwanted += 1
            return _UNWANTED
        ts_ns = measurement.ts_ns
        if ts_ns < now_ns - of_name.keep_ns:
            self.counters.late += 1
            return _LATE
        if ts_ns > now_ns + self.limits.future_ns:
            self.counters.future += 1
            return _FUTURE
        raw = tuple(measurement.meta.items())
        series = of_name.by_raw.get(raw)
        if series is None:
            series = self._meet(measurement.name, of_name, raw, now_ns)
            if series is None:
                self.counters.unwanted += 1
                return _UNWANTED
        value = measurement.value
        if value.__class__ is not float:
            value = _made_room_for(series, value)
        self._seen_ns = now_ns
        series.updated = self._ticks = self._ticks + 1
        times = series.times
        if len(times) >= series.room:
            self._make_room(of_name, series, now_ns)
        if times and ts_ns <= times[-1]:
            return self._put_back(series, ts_ns, value)
        times.append(ts_ns)
        series.values.append(value)
        for cursor in series.cursors:
            window = cursor.window
            window.version += 1
            if cursor.pending_ts is None:
                # it waits to enter; `inserted` is for those that come out of order
                cursor.pending_ts = ts_ns
                heappush(window.pending, (ts_ns, series.key, cursor))
                if ts_ns < window.calm_until:
                    window.calm_until = ts_ns + 1
        self.counters.stored += 1
        return _STORED

    def _put_back(self, series: Series, ts_ns: int, value: Value) -> Appended:
        """Store a sample that is not newer than all others of its series."""
        i = series.find(ts_ns)
        if series.times[i] != ts_ns:
            series.times.insert(i, ts_ns)
            series.values.insert(i, value)
            for cursor in series.cursors:
                cursor.window.inserted(cursor, i, ts_ns)
            self.counters.stored += 1
            return _STORED
        old = series.values[i]
        if _same(old, value):
            self.counters.repeated += 1
            return _REPEATED
        series.values[i] = value
        for cursor in series.cursors:
            cursor.window.replaced(cursor, i, old)
        self.counters.replaced += 1
        return _REPLACED

    def _meet(self, name: str, of_name: NameIndex, raw: Raw, now_ns: int) -> Series | None:
        """The series of a meta that has not been seen in this order, None when no window wants it."""
        if raw in of_name.unwanted:
            return None
        key = tuple(sorted(raw))
        series = of_name.series.get(key) or self._begin(name, of_name, key, now_ns)
        of_name.remember(raw, series)
        return series

    def _begin(self, name: str, of_name: NameIndex, key: SeriesKey, now_ns: int) -> Series | None:
        """Begin a series, None when no window wants it."""
        windows = of_name.matching(key)
        if not windows:
            return None
        self._sweep(of_name, 1, now_ns)
        if len(of_name.series) >= self.limits.series_per_name:
            self._evict(name, "series_per_name")
        elif self._series_total >= self.limits.series_total:
            self._evict(max(self._names, key=lambda other: len(self._names[other].series)), "series_total")
        series = of_name.series[key] = Series(name, key)
        self._series_total += 1
        for window in windows:
            window.attach(series)
        return series

    # --- room

    def _make_room(self, of_name: NameIndex, series: Series, now_ns: int) -> None:
        """Cut what no window can see any more; if nothing goes and the series is full, its oldest samples."""
        self._cut(series, series.find(now_ns - of_name.keep_ns), now_ns)
        bound = self.limits.samples_per_series
        if len(series.times) >= bound:
            count = max(1, bound // EVICTED_PART)
            for cursor in series.cursors:
                cursor.window.withdraw(cursor, series.base + count)
            series.cut(count)
            self.counters.evicted_samples += count
            self._report(series.name, "samples_per_series", bound)
        size = len(series.times)
        series.room = min(bound, size + max(CUT_AT_LEAST, size // 8))
        self._sweep(of_name, CUT_AT_LEAST, now_ns, series)

    def _cut(self, series: Series, count: int, now_ns: int) -> None:
        """Forget the oldest `count` samples, whose time is over for every window."""
        if not count:
            return
        for cursor in series.cursors:
            if cursor.head < series.base + count:
                cursor.window.advance(max(now_ns, cursor.window.now_ns))
        series.cut(count)

    def _sweep(self, of_name: NameIndex, arrivals: int, now_ns: int, busy: Series | None = None) -> None:
        """Forget series that have nothing to say any more, all but `busy`.

        Done when so many `arrivals` have come since the last time that looking at every series costs each little.
        """
        of_name.sweep_in -= arrivals
        if of_name.sweep_in > 0:
            return
        cutoff_ns = now_ns - of_name.keep_ns
        silent = [s for s in of_name.series.values() if s is not busy and s.times and s.times[-1] < cutoff_ns]
        for series in silent:
            self._cut(series, len(series.times), now_ns)
        self._drop(of_name, silent)
        of_name.sweep_in = max(SWEEP_AFTER, len(of_name.series))

    def _evict(self, name: str, limit: str) -> None:
        """Forget the series of a name that were updated longest ago."""
        of_name = self._names[name]
        bound: int = getattr(self.limits, limit)
        count = max(1, len(of_name.series) // EVICTED_PART)
        victims = sorted(of_name.series.values(), key=lambda series: series.updated)[:count]
        self._drop(of_name, victims)
        self.counters.evicted_series += count
        self._report(name, limit, bound)

    def _drop(self, of_name: NameIndex, gone: Iterable[Series]) -> None:
        for series in gone:
            for cursor in series.cursors:
                cursor.window.detach(cursor)
            of_name.forget(series)
            self._series_total -= 1

    def _report(self, name: str, limit: str, bound: int) -> None:
        if (name, limit) not in self._reported:
            self._reported[name, limit] = None
            self._evictions.append(Eviction(name, limit, bound))

    def take_evictions(self) -> list[Eviction]:
        """The limits that were reached since the last call, each name and limit once in the life of the store."""
        if not self._evictions:
            return []
        taken, self._evictions = self._evictions, []
        return taken

    # --- keeping

    def snapshot(self, now_ns: int | None = None) -> dict[str, Any]:
        """All samples and since when they have been observed, as JSON values in a defined order.

        `now_ns`: the time of the snapshot, by default that of the last arrival.
        """
        taken_ns = self._seen_ns if now_ns is None else now_ns
        names = {}
        for name, of_name in sorted(self._names.items()):
            cutoff_ns = taken_ns - of_name.keep_ns
            oldest_first = sorted(of_name.series.values(), key=lambda series: series.updated)
            names[name] = (
                [_claim(held.window) for held in of_name.held.values()],
                [(series, series.find(cutoff_ns)) for series in oldest_first],
            )
        return snapshots.written(taken_ns, names)

    def restore(self, snapshot: dict[str, Any], now_ns: int) -> None:
        """Take in the samples of a snapshot; windows may have been required before, or are within ten minutes.

        A gap of more than `Limits.gap_ns` since it was taken begins observation anew. Samples that arrived before stay.
        """
        self._parked = snapshots.Parked(snapshot, now_ns, self.limits.gap_ns)
        for name, of_name in self._names.items():
            for spec, held in of_name.held.items():
                since_ns = self._observed(of_name, spec, now_ns)
                held.window.observed_since_ns = min(held.window.observed_since_ns, since_ns)
            self._unpark(name, of_name, now_ns)

    def _unpark(self, name: str, of_name: NameIndex, now_ns: int) -> None:
        """Take in restored series that some window wants by now."""
        taken = self._parked.take(name, now_ns, lambda key: bool(of_name.matching(key)))
        for kept in taken:
            series = of_name.series.get(kept.key) or self._begin(name, of_name, kept.key, now_ns)
            assert series is not None
            if not series.updated:
                self._ticks += 1
                series.updated = self._ticks
            kept.merge_into(series)
        if taken:
            for held in of_name.held.values():
                held.window.version += 1
                held.window.rebuild(now_ns)
