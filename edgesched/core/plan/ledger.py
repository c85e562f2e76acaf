"""The cron-slot ledger: which fire times have been claimed.

A key is (job id, action object, cron expression with its time zone); an entry is one fire time. It is a *set* of fire
times, never a high-water mark: a clock that was ahead for an hour and came back must not close the slots of that hour.
Entries older than 8 days go. Entries more than a day ahead of a clock that came back are dropped by `forget_future`.

The times of a key are a sorted array of 8 bytes each: eight days of a rule that fires every minute are 90 KiB.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edgesched.core.model import DAY_NS

KEEP_NS: Final = 8 * DAY_NS
AHEAD_NS: Final = DAY_NS
PRUNE_EVERY: Final = 64


class SlotKey(NamedTuple):
    """Names a series of slots. `expr` is the cron expression, followed by ` tz=ZONE` when the rule names a zone."""

    job_id: str
    object: str
    expr: str


@dataclass(slots=True)
class Ledger:
    """Claimed fire times by slot key, in ns UTC.

    `fresh` and `stale`: claims made and forgotten that no store has been told of yet.
    """

    claimed: dict[SlotKey, array[int]] = field(default_factory=dict)
    fresh: list[tuple[SlotKey, int]] = field(default_factory=list)
    stale: list[tuple[SlotKey, int]] = field(default_factory=list)

    def is_claimed(self, key: tuple[str, str, str], fire_ns: int) -> bool:
        """Has this slot been claimed, or closed by a later claim?"""
        times = self.claimed.get(key)  # type: ignore[call-overload]
        if not times or fire_ns > times[-1]:
            return False
        index = bisect_left(times, fire_ns)
        found: bool = times[index] == fire_ns
        return found

    def claim(self, key: SlotKey, fire_ns: int) -> None:
        """Claim a slot. Claiming it again changes nothing."""
        times = self.claimed.get(key)
        if times is None:
            times = self.claimed[key] = array("q")
        if not times or fire_ns > times[-1]:
            times.append(fire_ns)
        else:
            index = bisect_left(times, fire_ns)
            if times[index] == fire_ns:
                return
            times.insert(index, fire_ns)
        self.fresh.append((key, fire_ns))
        if len(times) % PRUNE_EVERY == 0:
            self._cut(key, 0, bisect_left(times, fire_ns - KEEP_NS))

    def forget_future(self, now_ns: int) -> int:
        """Drop the entries more than a day ahead of `now_ns`; returns how many."""
        dropped = 0
        for key, times in self.claimed.items():
            end = bisect_left(times, now_ns + AHEAD_NS + 1)
            dropped += len(times) - end
            self._cut(key, end, len(times))
        return dropped

    def forget_old(self, now_ns: int) -> None:
        """Drop the series whose last claim is older than 8 days: those of removed jobs, mostly.

        A removed job may come back within its minute, so removal itself forgets nothing.
        """
        for key in [key for key, times in self.claimed.items() if not times or times[-1] < now_ns - KEEP_NS]:
            if not key.expr.startswith("@reboot"):
                self._cut(key, 0, len(self.claimed[key]))
                del self.claimed[key]

    def _cut(self, key: SlotKey, start: int, end: int) -> None:
        times = self.claimed[key]
        self.stale += [(key, fire_ns) for fire_ns in times[start:end]]
        del times[start:end]
