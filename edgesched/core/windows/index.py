"""What a store knows of one measurement name that somebody asks for: its windows, its series, who wants which."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from .series import Series, SeriesKey
from .spec import WindowSpec
from .window import Window

SWEEP_AFTER: Final = 64
"""At least so many arrivals lie between two looks for silent series."""

Raw = tuple[tuple[str, str], ...]
"""A meta in the order of its keys on the wire."""


@dataclass(slots=True)
class Held:
    """A window and how many ask for it."""

    window: Window
    users: int = 0


class NameIndex:
    """What is known of one measurement name that somebody asks for."""

    __slots__ = (
        "_horizons",
        "by_pair",
        "by_raw",
        "held",
        "keep_ns",
        "late_ns",
        "series",
        "sweep_in",
        "unfiltered",
        "unwanted",
    )

    def __init__(self, late_ns: int) -> None:
        self.held: dict[WindowSpec, Held] = {}
        self.series: dict[SeriesKey, Series] = {}
        self.by_raw: dict[Raw, Series] = {}
        """Series by meta as it arrives, in any order of keys."""
        self.unwanted: set[Raw] = set()
        """Metas that no window wants."""
        self.unfiltered: dict[WindowSpec, Window] = {}
        self.by_pair: dict[tuple[str, str], dict[WindowSpec, Window]] = {}
        """Windows with a meta filter, by its first pair: a new series need not be matched against all."""
        self.late_ns = late_ns
        self.keep_ns = 0
        """How far back samples are kept."""
        self.sweep_in = SWEEP_AFTER
        self._horizons: Counter[int] = Counter()

    def add(self, spec: WindowSpec, window: Window) -> None:
        """A window is asked for."""
        self.held[spec] = Held(window)
        self._horizons[spec.since_ns] += 1
        self.keep_ns = max(self._horizons) + self.late_ns
        shelf = self.by_pair.setdefault(spec.meta[0], {}) if spec.meta else self.unfiltered
        shelf[spec] = window
        self.unwanted.clear()

    def drop(self, spec: WindowSpec) -> None:
        """Nobody asks for a window any more."""
        del self.held[spec]
        self._horizons[spec.since_ns] -= 1
        if not self._horizons[spec.since_ns]:
            del self._horizons[spec.since_ns]
        self.keep_ns = max(self._horizons, default=0) + self.late_ns
        if not spec.meta:
            del self.unfiltered[spec]
            return
        shelf = self.by_pair[spec.meta[0]]
        del shelf[spec]
        if not shelf:
            del self.by_pair[spec.meta[0]]

    def remember(self, raw: Raw, series: Series | None) -> None:
        """Note what a meta on the wire stands for; a plugin that shuffles its keys must not fill the memory."""
        if len(self.by_raw) + len(self.unwanted) > 1024 + 4 * len(self.series):
            self.unwanted.clear()
            self.by_raw.clear()
            for known in self.series.values():
                known.raws.clear()
        if series is None:
            self.unwanted.add(raw)
        else:
            self.by_raw[raw] = series
            series.raws.append(raw)

    def forget(self, series: Series) -> None:
        """A series goes."""
        del self.series[series.key]
        for raw in series.raws:
            self.by_raw.pop(raw, None)

    def matching(self, key: SeriesKey) -> list[Window]:
        """The windows that a series belongs to."""
        meta = dict(key)
        found = list(self.unfiltered.values())
        for pair in key:
            shelf = self.by_pair.get(pair)
            if shelf:
                found.extend(window for spec, window in shelf.items() if spec.matches(meta))
        return found

    def wider(self, spec: WindowSpec) -> list[Window]:
        """The windows whose filter lets through all that the filter of `spec` does."""
        found = list(self.unfiltered.values())
        wanted = frozenset(spec.meta)
        for pair in spec.meta:
            found.extend(w for other, w in self.by_pair.get(pair, {}).items() if wanted.issuperset(other.meta))
        return found
