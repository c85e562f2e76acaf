"""Cron expressions: what they mean, which are refused, and their slots in time.

The meaning is that of croniter 7.0 (pinned): five fields, a sixth for seconds at the end; names, ranges (also wrapped
ones: `22-2`), steps, lists, `L`, `5#2`, `L5`, `15W`, `@hourly` and its kin. Day of month and day of week, both
restricted: either matches. Refused with a hint: random (`R`) and hashed (`H`) fields, a year field, steps beyond
the field, dates that never come. `@reboot` is no cron expression; the caller handles it.

In a time zone a pattern is matched against the wall clock. Where the clock jumps ahead, a time that is left out
fires once, at the moment of the jump; a pattern for every hour has nothing to make up for. Where it is set back, a
fixed time fires once, at its first occurrence; patterns with `*` or a step in the minute or hour fire in each real
hour. (Debian's cron has the same rules, but for the jump.)
"""

from __future__ import annotations

import functools
import re
from typing import Final

from croniter import CroniterError, croniter

from edgesched.core.model import SECOND_NS

from .zones import Stretch, zone

REBOOT: Final = "@reboot"
_FIELDS: Final = (("minute", 60), ("hour", 24), ("day of month", 32), ("month", 13), ("day of week", 8), ("second", 60))
_ALIASES: Final = frozenset(
    ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"),
)
_END: Final = 1 << 62


class CronError(ValueError):
    """An expression that is refused; `hint` says what to write."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def normal(expr: str) -> str:
    """The expression with single blanks: the spelling that names a slot in the ledger."""
    return " ".join(expr.split())


def slot_key(expr: str, tz: str) -> str:
    """`EXPR` or `EXPR tz=ZONE`."""
    return f"{normal(expr)} tz={tz}" if tz else normal(expr)


def fires_every_second(expr: str) -> bool:
    """Whether the sixth field lets every second, or every step of under 10 s, through."""
    fields = expr.split()
    if len(fields) != 6:
        return False
    step = re.fullmatch(r"\*(?:/(\d+))?", fields[5])
    return bool(step) and int(step[1] or 1) < 10  # type: ignore[index]  # bool() told


def _parsed(expr: str) -> croniter:
    """The croniter of an expression. Raises CronError."""
    text = normal(expr)
    fields = text.split(" ")
    if text.startswith("@"):
        if text.lower() not in _ALIASES:
            raise CronError(f"{text[:40]} is no cron expression", f"write one of {', '.join(sorted(_ALIASES))}")
    else:
        _refuse_fields(text, fields)
    try:
        cron = croniter(text, 0.0)
        cron.get_next(float, start_time=1.7e9)
    except CroniterError as error:
        if "failed to find" in str(error):
            raise CronError(f"{text} never fires: the date does not come", "check day and month") from None
        raise CronError(f"{text} is no cron expression: {_complaint(error)}", _field_hint(fields)) from None
    except Exception as error:  # noqa: BLE001  # guard: some patterns make croniter fail with NameError or IndexError
        raise CronError(f"{text} is no cron expression: {_complaint(error)}", _field_hint(fields)) from None
    return cron


def _complaint(error: Exception) -> str:
    return re.sub(r"^\[.*\] ?", "", str(error))[:100] or "it is not understood"


def _refuse_fields(text: str, fields: list[str]) -> None:
    count = len(fields)
    if re.search(r"[{}$<>]", text):
        raise CronError(f"{text[:60]}: a template was not filled in", "write the values")
    if count == 7:
        raise CronError("a cron expression with 7 fields", "leave the year out; the sixth field is seconds")
    if count not in (5, 6):
        shown = f"{count} field{'' if count == 1 else 's'}" if text else "no field"
        hint = "five are needed: minute hour day month weekday"
        if count in (3, 4):
            hint += "; asterisks may have been lost on the way, as in Markdown"
        raise CronError(f"the cron expression has {shown}", hint)
    for field, (name, size) in zip(fields, _FIELDS, strict=False):
        if re.search(r"(?i)\bR\b|\bR\(", field):
            raise CronError(f"R (a random {name}) has no slots that anybody could know", "write a fixed value")
        if re.search(r"(?i)(?<![a-z])H(?![a-z])", field):
            raise CronError(f"H (a hashed {name}) is not supported", "write a fixed value")
        if any(int(step) >= size for step in re.findall(r"/(\d{1,9})", field)):
            raise CronError(f"the step of {field} is beyond the {name} field", f"a step is less than {size}")


def _field_hint(fields: list[str]) -> str:
    names = {"monday": "mon", "tuesday": "tue", "wednesday": "wed", "thursday": "thu", "friday": "fri"}
    names |= {"saturday": "sat", "sunday": "sun"}
    for field in fields:
        if field.lower() in names:
            return f"write {names[field.lower()]} for {field}"
    if any("\\" in field for field in fields):
        return "leave the backslash out"
    if fields and fields[0].startswith("/"):
        return f"write *{fields[0]}"
    return "fields are minute hour day month weekday"


class Trigger:
    """The fire times of an expression in a zone. Repeated questions about one slot cost a comparison each."""

    __slots__ = ("_cron", "_each_hour", "_repeats", "_slot", "_zone", "expr", "tz")

    def __init__(self, expr: str, tz: str = "") -> None:
        """Raises CronError or zones.ZoneError."""
        self.expr = normal(expr)
        self.tz = tz
        self._cron = _parsed(expr)
        self._zone = zone(tz)
        fields = self.expr.split(" ")
        every = self.expr.lower() == "@hourly"
        self._each_hour = every or (len(fields) > 1 and fields[1] in ("*", "*/1"))
        self._repeats = every or (len(fields) > 1 and any(mark in fields[0] + fields[1] for mark in "*/"))
        self._slot: tuple[int, int | None, int | None] = (_END, None, None)

    def latest(self, now_ns: int) -> int | None:
        """The last fire time at or before `now_ns`, None before the first one."""
        return self.slot(now_ns)[0]

    def next_after(self, ts_ns: int) -> int | None:
        """The first fire time after `ts_ns`, None when none comes within 50 years."""
        return self.slot(ts_ns)[1]

    def slot(self, now_ns: int) -> tuple[int | None, int | None]:
        """Latest and next fire time of a moment."""
        asked, fire, after = self._slot
        if (asked if fire is None else fire) > now_ns or (after is not None and after <= now_ns):
            fire, after = self._search_back(now_ns), self._search_ahead(now_ns)
            self._slot = now_ns, fire, after
        return fire, after

    def _search_back(self, now_ns: int) -> int | None:
        for _ in range(500):
            stretch = self._zone.stretch(now_ns)
            local = self._local_back(now_ns + stretch.offset_ns)
            if local is None:
                return None
            first, made_up = self._begin(stretch)
            if local >= first:
                return local - stretch.offset_ns
            if made_up is not None:
                return made_up
            now_ns = stretch.start_ns - 1
        return None

    def _search_ahead(self, ts_ns: int) -> int | None:
        for _ in range(500):
            stretch = self._zone.stretch(ts_ns)
            first, _ = self._begin(stretch)
            local = self._local_ahead(max(ts_ns + stretch.offset_ns, first - SECOND_NS))
            if local is None:
                return None
            if local < stretch.end_ns + stretch.offset_ns:
                return local - stretch.offset_ns
            following = self._zone.stretch(stretch.end_ns)
            first, made_up = self._begin(following)
            if made_up is not None:
                return made_up
            if self._local_ahead(first - SECOND_NS) == first:
                return first - following.offset_ns
            ts_ns = following.start_ns
        return None

    def _begin(self, stretch: Stretch) -> tuple[int, int | None]:
        """The first local time of a stretch that counts, and the fire time that makes up for what was left out."""
        first = stretch.start_ns + stretch.offset_ns
        if stretch.shift_ns < 0 and not self._repeats:
            return first - stretch.shift_ns, None
        if stretch.shift_ns > 0 and not self._each_hour:
            left_out = self._local_ahead(first - stretch.shift_ns - SECOND_NS)
            if left_out is not None and left_out < first:
                return first, stretch.start_ns
        return first, None

    def _local_back(self, local_ns: int) -> int | None:
        """The last match at or before a wall clock time."""
        try:
            return int(self._cron.get_prev(float, start_time=float(local_ns // SECOND_NS + 1))) * SECOND_NS
        except (CroniterError, ValueError, OverflowError):
            return None

    def _local_ahead(self, local_ns: int) -> int | None:
        """The first match after a wall clock time."""
        try:
            return int(self._cron.get_next(float, start_time=float(local_ns // SECOND_NS))) * SECOND_NS
        except (CroniterError, ValueError, OverflowError):
            return None


@functools.lru_cache(maxsize=4096)
def trigger(expr: str, tz: str = "") -> Trigger:
    """The trigger of an expression, shared by all who name the same. Raises CronError or zones.ZoneError."""
    return Trigger(expr, tz)


def next_fire(key: str, now_ns: int) -> int | None:
    """The next fire time of `EXPR` or `EXPR tz=ZONE` after a time; None for `@reboot`.

    Raises CronError or zones.ZoneError.
    """
    expr, _, tz = key.partition(" tz=")
    return None if expr == REBOOT else trigger(expr, tz).next_after(now_ns)
