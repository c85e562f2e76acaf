"""Lengths of time as rules write them: `90s`, `10m`, `1h30m`, with a minus in front for `since`.

Units are those of InfluxDB's durations that have a fixed length. Digits may be those of any script, as in the
reference. Fractions are refused, as there.
"""

from __future__ import annotations

import re
from typing import Final

UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
LONGEST_NS: Final = 366 * UNITS_NS["d"]

_DURATION = re.compile(r"(?:\d{1,18}(?:ns|us|µs|ms|s|m|h|d|w))+")
_PART = re.compile(r"(\d+)(\D+)")


def duration_ns(text: str) -> int | None:
    """ns of `text`, None when it is no duration. `0s` is one."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(int(count) * UNITS_NS[unit] for count, unit in _PART.findall(text))


def duration_fault(text: str) -> tuple[str, str]:
    """Why a text is no duration, and what to write: (message, hint)."""
    bare = text.strip().lstrip("-")
    if re.fullmatch(r"\d+", bare):
        return f"{text} has no unit", f"write {bare}s or {bare}m"
    if re.fullmatch(r"\d+\.\d*[a-z]+|\.\d+[a-z]+", bare):
        return f"{text} is a fraction", "use a smaller unit: 90s instead of 1.5m"
    if re.fullmatch(r"\d+M", bare):
        return f"{text}: minutes are written with a small m", f"write {bare[:-1]}m"
    if re.fullmatch(r"\d+(mo|y)", bare):
        return f"{text}: months and years differ in length", "write days: 30d"
    return f"{text or 'an empty text'} is no length of time", "write a number and a unit: 30s, 10m, 1h30m, 2d"


def duration_text(ns: int) -> str:
    """Shortest spelling of a length: `1h30m`, `1m`, `0s`."""
    parts = []
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        count, ns = divmod(ns, UNITS_NS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
