"""The samples of one series, and where each window stands in them.

Times and numbers lie in machine arrays, 16 bytes a sample. A place is an absolute index: it counts every sample that
the series ever held, so cutting the oldest ones moves nobody's place.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from .spec import Value

if TYPE_CHECKING:
    from .moving import MovingWindow

SeriesKey = tuple[tuple[str, str], ...]
"""The full meta of a series, pairs sorted by key. Its order breaks ties of time."""

CUT_AT_LEAST: Final = 32


class Cursor:
    """The part [head, tail) of a series that is inside a window.

    `oldest_ts`: time of the sample at head, None when the part is empty. `pending_ts`: time of the first sample behind
    the part, which enters when its time has come, None when there is none. Both tell valid entries of the window's
    heaps from outdated ones.
    """

    __slots__ = ("head", "oldest_ts", "pending_ts", "series", "tail", "window")

    def __init__(self, window: MovingWindow, series: Series) -> None:
        self.window = window
        self.series = series
        self.head = self.tail = series.base
        self.oldest_ts: int | None = None
        self.pending_ts: int | None = None

    def __lt__(self, other: Cursor) -> bool:
        """Heap entries of equal time and key are of the same cursor: any order will do."""
        return False


class Series:
    """Samples in time order.

    `base`: the place of the first one kept. `updated`: tells who was updated last. `raws`: its meta as it came, in
    every order of keys. `room`: so many samples before the next look at what can be cut.
    """

    __slots__ = ("base", "cursors", "key", "name", "raws", "room", "times", "updated", "values")

    def __init__(self, name: str, key: SeriesKey) -> None:
        self.name = name
        self.key = key
        self.base = 0
        self.times = array("q")
        self.values: array[float] | list[Value] = array("d")
        self.cursors: list[Cursor] = []
        self.updated = 0
        self.raws: list[SeriesKey] = []
        self.room = CUT_AT_LEAST

    def find(self, ts_ns: int) -> int:
        """Index (not place) of the first sample at or after `ts_ns`."""
        return bisect_left(self.times, ts_ns)

    def widen(self) -> None:
        """Make room for values that are no numbers."""
        if isinstance(self.values, array):
            self.values = self.values.tolist()

    def cut(self, count: int) -> None:
        """Forget the oldest `count` samples; no cursor's part may hold one of them."""
        del self.times[:count], self.values[:count]
        self.base += count
        if isinstance(self.values, list) and all(value.__class__ is float for value in self.values):
            self.values = array("d", self.values)
