"""Snapshots of a store: samples and since when they have been observed, never sums.

JSON values only. Times and numbers are little-endian machine arrays in base64, so a snapshot is exact to the bit,
NaN and infinities included; the values of a series that holds others than numbers are a list.

    {"version": 1, "taken_ns": NS, "names": {NAME: {
        "claims": [[[KEY, TEXT]..., SINCE_NS, OBSERVED_SINCE_NS]...],
        "series": [{"meta": {KEY: TEXT}, "times": BASE64, "values": BASE64 or LIST}...]}}}
"""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from edgesched.core.model import MINUTE_NS
from edgesched.errors import InvariantError

from .series import Series, SeriesKey
from .spec import Value, WindowSpec

VERSION: Final = 1
PARKED_NS: Final = 10 * MINUTE_NS
"""How long restored samples wait for a rule that asks for them."""

_BIG_ENDIAN: Final = array("H", [1]).tobytes()[0] == 0


@dataclass(frozen=True, slots=True)
class Claim:
    """Everything that matches `meta` has been kept `since_ns` back, since `observed_since_ns`."""

    meta: tuple[tuple[str, str], ...]
    since_ns: int
    observed_since_ns: int

    def reach(self, spec: WindowSpec, now_ns: int) -> int:
        """Since when what `spec` asks for has been kept; `now_ns` if the claim says nothing of it."""
        if set(self.meta) <= set(spec.meta):
            return min(now_ns, max(self.observed_since_ns, now_ns - self.since_ns))
        return now_ns


@dataclass(frozen=True, slots=True)
class Kept:
    """A series of a snapshot."""

    key: SeriesKey
    times: array[int]
    values: array[float] | list[Value]

    def merge_into(self, series: Series) -> None:
        """Add the samples to a series; those that it has already stay as they are."""
        if isinstance(self.values, list):
            series.widen()
        if not series.times:
            series.times.extend(self.times)
            series.values.extend(self.values)
        for ts_ns, value in zip(self.times, self.values, strict=True):
            i = series.find(ts_ns)
            if i == len(series.times) or series.times[i] != ts_ns:
                series.times.insert(i, ts_ns)
                series.values.insert(i, value)
        series.room = 0  # the next arrival looks what can be cut


class Parked:
    """What a restored snapshot holds and no rule has asked for yet.

    Everything is read at once, so that a damaged snapshot is refused as a whole. Raises: InvariantError for another
    version; ValueError, KeyError, TypeError or AttributeError for what is no snapshot.
    """

    def __init__(self, snapshot: dict[str, Any] | None = None, now_ns: int = 0, gap_ns: int = 0) -> None:
        if snapshot is not None and snapshot.get("version") != VERSION:
            raise InvariantError(f"snapshot of windows has version {snapshot.get('version')}, not {VERSION}")
        self._until_ns = now_ns + PARKED_NS
        self._claims: dict[str, list[Claim]] = {}
        self._series: dict[str, list[Kept]] = {}
        if snapshot is None:
            return
        unbroken = now_ns - snapshot["taken_ns"] <= gap_ns
        for name, record in snapshot["names"].items():
            self._series[name] = [_read(one) for one in record["series"]]
            if unbroken:
                self._claims[name] = [Claim(_pairs(meta), int(a), int(b)) for meta, a, b in record["claims"]]

    def claims(self, name: str, now_ns: int) -> list[Claim]:
        """What has been observed of a name; nothing when the agent was away too long."""
        return [] if self._over(now_ns) else self._claims.get(name, [])

    def take(self, name: str, now_ns: int, wanted: Callable[[SeriesKey], bool]) -> list[Kept]:
        """Give away the series of a name that are wanted."""
        if self._over(now_ns) or name not in self._series:
            return []
        waiting = self._series[name]
        self._series[name] = [kept for kept in waiting if not wanted(kept.key)]
        return [kept for kept in waiting if wanted(kept.key)]

    def _over(self, now_ns: int) -> bool:
        if now_ns > self._until_ns:
            self._claims.clear()
            self._series.clear()
            return True
        return False


def _pairs(meta: Iterable[Iterable[Any]]) -> SeriesKey:
    return tuple([(str(key), str(text)) for key, text in meta])


def _read(record: dict[str, Any]) -> Kept:
    """A series of a snapshot; ValueError when its parts do not fit each other."""
    times, values = _times(record["times"]), _values(record["values"])
    if len(times) != len(values) or any(a >= b for a, b in pairwise(times)):
        raise ValueError("times and values of a series do not fit")
    return Kept(tuple(sorted(_pairs(record["meta"].items()))), times, values)


def written(taken_ns: int, names: Mapping[str, tuple[Iterable[Claim], Iterable[tuple[Series, int]]]]) -> dict[str, Any]:
    """The snapshot of names: their claims, and their series each with the index of the first sample to keep."""
    return {
        "version": VERSION,
        "taken_ns": taken_ns,
        "names": {
            name: {
                "claims": [[[list(pair) for pair in c.meta], c.since_ns, c.observed_since_ns] for c in claims],
                "series": [_record(one, first) for one, first in series],
            }
            for name, (claims, series) in names.items()
        },
    }


def _record(series: Series, first: int) -> dict[str, Any]:
    values = series.values[first:]
    return {
        "meta": dict(series.key),
        "times": _encoded(series.times[first:]),
        "values": list(values) if isinstance(values, list) else _encoded(values),
    }


def _encoded(numbers: array[int] | array[float]) -> str:
    if _BIG_ENDIAN:
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode("ascii")


def _times(text: str) -> array[int]:
    times = array("q", b64decode(text))
    if _BIG_ENDIAN:
        times.byteswap()
    return times


def _values(found: str | list[Value]) -> array[float] | list[Value]:
    if isinstance(found, list):
        return found
    values = array("d", b64decode(found))
    if _BIG_ENDIAN:
        values.byteswap()
    return values
