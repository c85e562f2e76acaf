"""Time zones as stretches of constant offset, which is what recurring times need.

A wall clock runs evenly between two transitions. So instead of asking for every time whether it exists and how often,
the cron and calendar code works inside one stretch and looks at the shift where it begins: a shift of +1 h leaves
an hour of the wall clock out, one of -1 h repeats an hour.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from edgesched.core.model import DAY_NS, SECOND_NS
from edgesched.core.suggest import did_you_mean

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOP_S: Final = 7 * 86_400
_HOPS: Final = 56
_FOR_EVER_NS: Final = 1 << 62


class ZoneError(ValueError):
    """There is no such time zone; `hint` may name a near one."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Stretch:
    """[start_ns, end_ns) with one offset to UTC. `shift_ns`: offset minus the offset before, 0 at no transition."""

    start_ns: int
    end_ns: int
    offset_ns: int
    shift_ns: int


class Zone:
    """A time zone by its name in the IANA database; `""` and `UTC` are UTC."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._info = None if name in ("", "UTC") else _zone_info(name)
        self._stretch = Stretch(-_FOR_EVER_NS, _FOR_EVER_NS if self._info is None else -_FOR_EVER_NS, 0, 0)

    def stretch(self, ts_ns: int) -> Stretch:
        """The stretch in which a time lies. Costs a comparison while successive times lie in the same one."""
        found = self._stretch
        if not found.start_ns <= ts_ns < found.end_ns:
            found = self._stretch = self._search(ts_ns // SECOND_NS)
        return found

    def _offset_s(self, ts_s: int) -> int:
        try:
            offset = (_EPOCH + timedelta(seconds=ts_s)).astimezone(self._info).utcoffset()
        except OverflowError:
            return 0
        return int(offset.total_seconds()) if offset is not None else 0

    def _search(self, ts_s: int) -> Stretch:
        offset = self._offset_s(ts_s)
        start, before = self._edge(ts_s, -_HOP_S, offset)
        end, _ = self._edge(ts_s, _HOP_S, offset)
        return Stretch(start * SECOND_NS, end * SECOND_NS, offset * SECOND_NS, (offset - before) * SECOND_NS)

    def _edge(self, ts_s: int, hop_s: int, offset: int) -> tuple[int, int]:
        """The nearest transition in one direction as (first second after it, the offset beyond it)."""
        near = ts_s
        for _ in range(_HOPS):
            far = near + hop_s
            beyond = self._offset_s(far)
            if beyond != offset:
                break
            near = far
        else:
            return near, offset
        low, high = (far, near) if hop_s < 0 else (near, far)
        low_offset = self._offset_s(low)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset_s(middle) == low_offset:
                low = middle
            else:
                high = middle
        return high, self._offset_s(high - 1 if hop_s < 0 else high)


def _zone_info(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        hint = did_you_mean(name, available_timezones()) or "use a name such as America/Chicago"
        raise ZoneError(f"there is no time zone {name or '(empty)'}", hint) from None


@functools.lru_cache(maxsize=256)
def zone(name: str) -> Zone:
    """The zone of a name, shared. Raises ZoneError."""
    return Zone(name)


def civil_day(ts_ns: int) -> datetime:
    """Midnight (UTC, or local when `ts_ns` is local) of the day of a time."""
    return _EPOCH + timedelta(days=ts_ns // DAY_NS)
