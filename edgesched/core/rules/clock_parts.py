"""Parts that look at the clock: `time`, `cronjob`, `after`, and the sun."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from typing import Any, Final

from edgesched.core.model import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Site

from . import cron
from .calls import AfterNeed, CronNeed, SunNeed, TimeNeed
from .facts import Facts
from .part import NEVER, Change, Part, Run, earliest
from .sun import sun
from .verdict import Unknown
from .zones import Zone, zone

_LENGTHS: Final = {"hour": HOUR_NS, "minute": MINUTE_NS, "second": SECOND_NS}
_CYCLES: Final = {"hour": 24, "minute": 60, "second": 60}
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def time_part(need: TimeNeed) -> Part:
    """`time(unit)`. It turns with its unit; the microsecond is looked at once a second only."""
    where = zone(need.tz)
    read = _calendar(need.unit) if need.unit in ("year", "month", "day") else _clock(need.unit)
    turn = DAY_NS if need.unit in ("year", "month", "day") else _LENGTHS.get(need.unit, SECOND_NS)
    if not need.tz:
        return Part(read, lambda now: now - now % turn + turn)
    return Part(lambda now: read(now + where.stretch(now).offset_ns), _local_turn(where, turn))


def held(part: Part) -> Part:
    """A part that depends on the clock alone, computed once for each stretch of time in which it stays the same."""
    run, change = part.run, part.change
    assert change is not None
    start, end, value = 1, 0, None

    def read(now: int) -> Any:
        nonlocal start, end, value
        if not start <= now < end:
            value = run(now)
            start, end = now, change(now)
        return value

    return Part(read, change)


def _clock(unit: str) -> Run:
    if unit == "microsecond":
        return lambda now: now // 1000 % 1_000_000
    length, cycle = _LENGTHS[unit], _CYCLES[unit]
    return lambda now: now // length % cycle


def _calendar(unit: str) -> Run:
    known, value = -1, 0

    def read(now: int) -> int:
        nonlocal known, value
        day = now // DAY_NS
        if day != known:
            value = int(getattr(date.fromordinal(_EPOCH_ORDINAL + day), unit))
            known = day
        return value

    return read


def _local_turn(where: Zone, turn_ns: int) -> Change:
    def change(now: int) -> int:
        stretch = where.stretch(now)
        local = now + stretch.offset_ns
        return min(local - local % turn_ns + turn_ns - stretch.offset_ns, stretch.end_ns)

    return change


def cron_part(need: CronNeed, facts: Facts, grace_ns: int) -> Part:
    """`cronjob(plugin, expr)`: whether the latest slot is open and neither claimed nor answered by a run."""
    if need.expr == cron.REBOOT:
        return _reboot_part(facts)
    trigger = cron.trigger(need.expr, need.tz)
    key = need.key
    plugin, last_run, slot_claimed = need.plugin, facts.last_run, facts.slot_claimed
    fire, end, after = 0, 0, 0

    def refresh(now: int) -> None:
        nonlocal fire, end, after
        found, following = trigger.slot(now)
        after = NEVER if following is None else following
        fire = -NEVER if found is None else found
        end = -NEVER if found is None else min(found + grace_ns, after)

    def run(now: int) -> bool:
        if not fire <= now < after:
            refresh(now)
        if now >= end:
            return False
        ran = last_run(plugin)
        return (ran is None or ran < fire) and not slot_claimed(key, fire)

    def change(now: int) -> int:
        if not fire <= now < after:
            refresh(now)
        return end if now < end else after

    return Part(run, change)


def _reboot_part(facts: Facts) -> Part:
    boot_slot: Callable[[], int | None] | None = getattr(facts, "boot_slot", None)

    def run(_now: int) -> bool:
        if boot_slot is None:
            raise Unknown(lambda: "no boot of a node is known here")
        fire = boot_slot()
        return fire is not None and not facts.slot_claimed(cron.REBOOT, fire)

    return Part(run)


def after_part(need: AfterNeed, facts: Facts, seconds: Part | None) -> Part:
    """`after(plugin, since)`; `seconds` is the part of a number of seconds."""
    plugin, last_run = need.plugin, facts.last_run
    if seconds is not None:
        return _after_seconds(plugin, last_run, seconds)
    if need.since is None:
        return Part(lambda _now: last_run(plugin) is not None)
    other = need.since

    def later(_now: int) -> bool:
        ran = last_run(plugin)
        if ran is None:
            return False
        before = last_run(other)
        return before is None or ran > before

    return Part(later)


def _after_seconds(plugin: str, last_run: Callable[[str], int | None], seconds: Part) -> Part:
    count = seconds.run

    def pause_ns(now: int) -> float:
        number = count(now)
        if not isinstance(number, int | float):
            raise TypeError("since of after() must be a plugin's name or a number of seconds")
        return number * SECOND_NS

    def run(now: int) -> bool:
        pause = pause_ns(now)
        ran = last_run(plugin)
        return ran is not None and now - ran > pause

    def run_fixed(now: int, pause: float = pause_ns(0) if seconds.fixed else 0.0) -> bool:
        ran = last_run(plugin)
        return ran is not None and now - ran > pause

    def change(now: int) -> int:
        ran = last_run(plugin)
        if ran is None:
            return NEVER
        try:
            pause = pause_ns(now)
        except (Unknown, ArithmeticError, TypeError, ValueError, LookupError):
            return NEVER
        if not -NEVER < pause < NEVER:
            return NEVER
        due = ran + math.floor(pause) + 1
        return due if due > now else NEVER

    return Part(run_fixed if seconds.fixed else run, earliest((change, seconds.change)), fails=seconds.fails)


def sun_part(need: SunNeed, facts: Facts) -> Part:
    """`daylight()`, `sunrise()` and `sunset()`."""
    if need.function == "daylight":
        return Part(lambda now: sun(_site(facts)).is_up(now), _daylight_change(facts))
    where, rise = zone(need.tz), need.function == "sunrise"

    def run(now: int) -> float:
        start, end = _local_day(where, now)
        event = sun(_site(facts)).event(start, end, rise=rise)
        if event is None:
            raise Unknown(lambda: f"the sun does not {'rise' if rise else 'set'} at the node today")
        return (event + where.stretch(event).offset_ns) % DAY_NS / HOUR_NS

    return Part(run, lambda now: _local_day(where, now)[1])


def _site(facts: Facts) -> Site:
    site = facts.site
    if site is None:
        raise Unknown(lambda: "the node does not know its position")
    return site


def _daylight_change(facts: Facts) -> Change:
    def change(now: int) -> int:
        site: Any = facts.site
        return NEVER if site is None else sun(site).next_turn(now)

    return change


def _local_day(where: Zone, now: int) -> tuple[int, int]:
    """Start and end of the day in which a time lies."""
    local = now + where.stretch(now).offset_ns
    midnight = local - local % DAY_NS
    bounds = []
    for wall in (midnight, midnight + DAY_NS):
        guess = wall - where.stretch(wall - where.stretch(now).offset_ns).offset_ns
        bounds.append(guess)
    return bounds[0], max(bounds[1], now + 1)
