"""All series that rules ask for, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from edgesched.core.model import Measurement

from .spec import FOR_EVER, Limits, Value, WindowSpec
from .window import Window

SeriesKey = tuple[tuple[str, str], ...]


class Appended(Enum):
    """What became of a measurement. Truthy when a window may have changed by it."""

    STORED = "stored"
    REPLACED = "replaced"
    REPEATED = "repeated"
    UNWANTED = "unwanted"
    LATE = "late"
    FUTURE = "future"

    def __bool__(self) -> bool:
        return self in (Appended.STORED, Appended.REPLACED)


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


@dataclass(slots=True)
class _Held:
    window: Window
    users: int = 0


@dataclass(slots=True)
class _Name:
    windows: dict[WindowSpec, _Held] = field(default_factory=dict)
    series: dict[SeriesKey, dict[int, Value]] = field(default_factory=dict)
    horizon_ns: int = 0


class WindowStore:
    """The windows of all rules and the samples that they need.

    `observed_since_ns`: since when every name has been observed; None: each name since it was first required.
    """

    def __init__(self, limits: Limits | None = None, *, observed_since_ns: int | None = None) -> None:
        self.limits = limits or Limits()
        self.counters = Counters()
        self._observed_since_ns = observed_since_ns
        self._names: dict[str, _Name] = {}

    @classmethod
    def with_history(cls, limits: Limits | None = None) -> WindowStore:
        """A store that has observed for ever: what is not in it did not happen."""
        return cls(limits, observed_since_ns=FOR_EVER)

    def names(self) -> frozenset[str]:
        """Names that some window asks for."""
        return frozenset(self._names)

    def require(self, spec: WindowSpec, now_ns: int) -> Window:
        """The window of `spec`, shared by all who ask; every call is answered by one `release`."""
        of_name = self._names.setdefault(spec.name, _Name())
        held = of_name.windows.get(spec)
        if held is None:
            since = now_ns if self._observed_since_ns is None else self._observed_since_ns
            held = of_name.windows[spec] = _Held(Window(spec, self, since))
            of_name.horizon_ns = max(of_name.horizon_ns, spec.since_ns)
        held.users += 1
        return held.window

    def release(self, spec: WindowSpec) -> None:
        """One who asked for `spec` no longer does; the last one takes window and samples with it."""
        of_name = self._names[spec.name]
        held = of_name.windows[spec]
        held.users -= 1
        if not held.users:
            del of_name.windows[spec]
            of_name.horizon_ns = max((other.since_ns for other in of_name.windows), default=0)
            if not of_name.windows:
                del self._names[spec.name]

    def append(self, measurement: Measurement, now_ns: int) -> Appended:
        """Take in a measurement that arrived at `now_ns`."""
        of_name = self._names.get(measurement.name)
        if of_name is None:
            self.counters.unwanted += 1
            return Appended.UNWANTED
        ts_ns = measurement.ts_ns
        if ts_ns < now_ns - of_name.horizon_ns - self.limits.late_ns:
            self.counters.late += 1
            return Appended.LATE
        if ts_ns > now_ns + self.limits.future_ns:
            self.counters.future += 1
            return Appended.FUTURE
        value = measurement.value
        if isinstance(value, (bool, int)):
            value = float(value)
        key = tuple(sorted(measurement.meta.items()))
        samples = of_name.series.setdefault(key, {})
        known = ts_ns in samples
        samples[ts_ns] = value
        for held in of_name.windows.values():
            held.window.version += 1
        self.counters.stored += 1
        return Appended.REPLACED if known else Appended.STORED

    def matching(self, spec: WindowSpec) -> Iterator[tuple[SeriesKey, dict[int, Value]]]:
        """The series of a window."""
        of_name = self._names.get(spec.name)
        if of_name is not None:
            for key, samples in of_name.series.items():
                if spec.matches(dict(key)):
                    yield key, samples

    def snapshot(self) -> dict[str, Any]:
        """All samples and since when they have been observed, as plain JSON values in a defined order."""
        return {
            "series": [[name, key, list(s.items())] for name, n in self._names.items() for key, s in n.series.items()]
        }

    def restore(self, snapshot: dict[str, Any], now_ns: int) -> None:
        """Take the samples of a snapshot into a store whose windows have been required."""
        for name, key, samples in snapshot["series"]:
            for ts_ns, value in samples:
                self.append(Measurement(name, ts_ns, value, dict(key)), now_ns)
