"""The cron-slot ledger: which fire times have been claimed.

A key is (job id, action object, cron expression with its time zone); an entry is one fire time. It is a *set* of fire
times, never a high-water mark: a clock that was ahead for an hour and came back must not close the slots of that hour.
Entries older than 8 days go. Entries more than a day ahead of a clock that came back are dropped by `forget_future`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edgesched.core.model import DAY_NS

KEEP_NS: Final = 8 * DAY_NS
AHEAD_NS: Final = DAY_NS


class SlotKey(NamedTuple):
    """Names a series of slots. `expr` is the cron expression, followed by ` tz=ZONE` when the rule names a zone."""

    job_id: str
    object: str
    expr: str


@dataclass(slots=True)
class Ledger:
    """Claimed fire times by slot key, in ns UTC."""

    claimed: dict[SlotKey, set[int]] = field(default_factory=dict)

    def is_claimed(self, key: SlotKey, fire_ns: int) -> bool:
        """Has this slot been claimed, or closed by a later claim?"""
        times = self.claimed.get(key)
        return times is not None and fire_ns in times

    def claim(self, key: SlotKey, fire_ns: int) -> None:
        """Claim a slot. Claiming it again changes nothing."""
        times = self.claimed.get(key)
        if times is None:
            self.claimed[key] = {fire_ns}
            return
        times.add(fire_ns)
        if len(times) > 64:
            oldest_ns = fire_ns - KEEP_NS
            # pruned in bulk; 64 keeps a rare cron's week and makes the pass rare for a busy one
            if min(times) < oldest_ns:
                self.claimed[key] = {time for time in times if time >= oldest_ns}

    def forget_future(self, now_ns: int) -> int:
        """Drop the entries more than a day ahead of `now_ns`; returns how many."""
        dropped = 0
        limit_ns = now_ns + AHEAD_NS
        for key, times in list(self.claimed.items()):
            kept = {time for time in times if time <= limit_ns}
            if len(kept) < len(times):
                dropped += len(times) - len(kept)
                self.claimed[key] = kept
        return dropped

    def forget_old(self, now_ns: int) -> None:
        """Drop the series whose last claim is older than 8 days: those of removed jobs, mostly.

        A removed job may come back within its minute, so removal itself forgets nothing.
        """
        for key in [key for key, times in self.claimed.items() if max(times, default=0) < now_ns - KEEP_NS]:
            if not key.expr.startswith("@reboot"):
                del self.claimed[key]
