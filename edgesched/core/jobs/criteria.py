"""Success criteria: when a node's part of a job is done.

The reference stores them and never looks at them, so real jobs write them as they please. Every spelling found in
public jobs has a meaning here; what cannot be enforced says so and never ends a job.

- `WallClock(1d)`, `WallClock('30day')`, `Walltime(1day)`, `24h`, `'7d'`: that long after the goal's first arrival
- `Runs(plugin, 100)`: after that many completed runs of the plugin
- `Until(2026-12-01)`, `Until('2026-12-01T12:00:00Z')`: at that time; a time without zone is UTC
- `Until(avg(v('env.temperature')) > 40)`: when the condition becomes true
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from edgesched.core.model import DAY_NS, HOUR_NS, MINUTE_NS, NS_PER_S

LONGEST_CRITERION: Final = 4096


@dataclass(frozen=True, slots=True)
class WallClock:
    """Done `length_ns` after the goal's first arrival on the node."""

    length_ns: int


@dataclass(frozen=True, slots=True)
class Runs:
    """Done after `count` completed runs of `plugin`."""

    plugin: str
    count: int


@dataclass(frozen=True, slots=True)
class Until:
    """Done at `ts_ns`."""

    ts_ns: int


@dataclass(frozen=True, slots=True)
class UntilTrue:
    """Done when `condition`, a condition of the rule language, is true; it begins at `offset` of the criterion."""

    condition: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class NotEnforced:
    """Never met. `reason` says what is wrong with the criterion, `hint` how to write it."""

    reason: str
    hint: str = ""


Criterion = WallClock | Runs | Until | UntilTrue | NotEnforced

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_UNITS_NS: Final = {
    unit: factor
    for units, factor in (
        ("s sec secs second seconds", NS_PER_S),
        ("m min mins minute minutes", MINUTE_NS),
        ("h hr hrs hour hours", HOUR_NS),
        ("d day days", DAY_NS),
        ("w week weeks", 7 * DAY_NS),
    )
    for unit in units.split()
}
_PART = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([A-Za-z]+)")
_LONGEST_NS: Final = 100 * 366 * DAY_NS
_RUNS = re.compile(r"\s*(['\"]?)([^'\",]+?)\1\s*,\s*(?:n\s*=\s*)?['\"]?(\d{1,9})['\"]?\s*")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EXAMPLES: Final = "write WallClock(1d), Runs(PLUGIN, 100), Until(2030-12-31) or Until(CONDITION)"


def parse_criterion(text: str) -> Criterion:
    """Read one success criterion. Never raises; the condition of `UntilTrue` is not compiled here."""
    if len(text) > LONGEST_CRITERION:
        return NotEnforced(f"it has {len(text):,} characters, at most {LONGEST_CRITERION:,} are read")
    if not text.strip():
        return NotEnforced("it is empty", _EXAMPLES)
    call = _CALL.fullmatch(text)
    name = call[1].lower() if call else ""
    if call is None:
        return _wall_clock(text)
    if name in ("wallclock", "walltime", "wall_clock", "wall_time"):
        return _wall_clock(call[2])
    if name == "runs":
        return _runs(call[2])
    if name == "until":
        return _until(call[2], call.start(2))
    return NotEnforced(f"{call[1]}() is no success criterion", _EXAMPLES)


def parse_length(text: str) -> int | None:
    """Return the nanoseconds of a length such as `1d`, `'30day'`, `1.5 hours`, `1d12h`; None when it is none."""
    text = _unquoted(text)
    total, index = Decimal(0), 0
    while index < len(text):
        part = _PART.match(text, index)
        if part is None or part[2].lower() not in _UNITS_NS:
            return None
        total += Decimal(part[1]) * _UNITS_NS[part[2].lower()]
        index = part.end()
    length_ns = int(total)
    return length_ns if 0 < length_ns <= _LONGEST_NS else None


def _wall_clock(text: str) -> Criterion:
    length_ns = parse_length(text)
    if length_ns is not None:
        return WallClock(length_ns)
    shown = _unquoted(text)[:80]
    if re.fullmatch(r"\d+(\.\d+)?", shown):
        return NotEnforced(f"{shown} has no unit", f"write {shown}s, {shown}m, {shown}h or {shown}d")
    if re.match(r"\d", shown):
        return NotEnforced(f"{shown} is no length of time", "write a number and s, m, h, d or w, as in WallClock(1d)")
    return NotEnforced(f"{shown} is no success criterion", _EXAMPLES)


def _runs(text: str) -> Criterion:
    match = _RUNS.fullmatch(text)
    if match is None or int(match[3]) == 0:
        return NotEnforced("Runs() takes a plugin's name and a number", "write Runs(PLUGIN, 100)")
    return Runs(match[2].strip(), int(match[3]))


def _until(text: str, offset: int) -> Criterion:
    plain = _unquoted(text)
    if _DATE.match(plain):
        ts_ns = _moment(plain)
        if ts_ns is None:
            return NotEnforced(f"{plain[:80]} is no date", "write Until(2030-12-31) or Until('2030-12-31T12:00:00Z')")
        return Until(ts_ns)
    if not plain:
        return NotEnforced("Until() takes a date or a condition", _EXAMPLES)
    return UntilTrue(text.strip(), offset + len(text) - len(text.lstrip()))


def _moment(text: str) -> int | None:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - _EPOCH) // dt.timedelta(microseconds=1) * 1000


def _unquoted(text: str) -> str:
    text = text.strip()
    while len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text
