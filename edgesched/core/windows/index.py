"""What a store knows of one measurement name that somebody asks for: its windows, its series, who wants which."""

from __future__ import annotations

from collections.abc import Callable
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

    __slots__ = ("by_pair", "by_raw", "held", "horizon_ns", "keep_ns", "series", "sweep_in", "unfiltered")

    def __init__(self) -> None:
        self.held: dict[WindowSpec, Held] = {}
        self.series: dict[SeriesKey, Series] = {}
        self.by_raw: dict[Raw, Series | None] = {}
        """Series by meta as it arrives, in any order of keys; None: no window wants it."""
        self.unfiltered: dict[WindowSpec, Window] = {}
        self.by_pair: dict[tuple[str, str], dict[WindowSpec, Window]] = {}
        """Windows with a meta filter, by its first pair: a new series need not be matched against all."""
        self.horizon_ns = 0
        self.keep_ns = 0
        self.sweep_in = SWEEP_AFTER

    def add(self, spec: WindowSpec, window: Window) -> None:
        """A window is asked for."""
        self.held[spec] = Held(window)
        self.horizon_ns = max(self.horizon_ns, spec.since_ns)
        shelf = self.by_pair.setdefault(spec.meta[0], {}) if spec.meta else self.unfiltered
        shelf[spec] = window

    def drop(self, spec: WindowSpec) -> None:
        """Nobody asks for a window any more."""
        del self.held[spec]
        self.horizon_ns = max((other.since_ns for other in self.held), default=0)
        if not spec.meta:
            del self.unfiltered[spec]
            return
        shelf = self.by_pair[spec.meta[0]]
        del shelf[spec]
        if not shelf:
            del self.by_pair[spec.meta[0]]

    def matching(self, key: SeriesKey) -> list[Window]:
        """The windows that a series belongs to."""
        meta = dict(key)
        found = list(self.unfiltered.values())
        for pair in key:
            shelf = self.by_pair.get(pair)
            if shelf:
                found.extend(window for spec, window in shelf.items() if spec.matches(meta))
        return found

    def forget_raw(self, gone: Callable[[Series | None], bool]) -> None:
        """Forget what the metas on the wire stood for where that is no longer so."""
        self.by_raw = {raw: series for raw, series in self.by_raw.items() if not gone(series)}
