"""The cluster's own clock, as the texts that the API shows.

The embedded cluster is a world beside the agent; like a real API server it has a clock of its own, which tests never
turn. Waiting goes by the monotonic clock.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from edgesched.adapters.clock import SystemClock

_CLOCK: Final = SystemClock()


def now_text() -> str:
    """Now in whole seconds: `2026-11-24T14:00:31Z`."""
    return text(now())


def now_micro_text() -> str:
    """Now in microseconds, as leases and event times have it."""
    return now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now() -> dt.datetime:
    """Now, UTC."""
    return dt.datetime.fromtimestamp(_CLOCK.now().ts_ns / 1e9, dt.UTC)


def now_ns() -> int:
    """Now in ns since the epoch."""
    return _CLOCK.now().ts_ns


def text(moment: dt.datetime) -> str:
    """A moment in whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(moment: str) -> dt.datetime:
    """The inverse of `text`; fractions of a second are accepted."""
    return dt.datetime.fromisoformat(moment)


def later_text(moment: str, seconds: float) -> str:
    """`moment` moved by `seconds`, which may be negative."""
    return text(parse(moment) + dt.timedelta(seconds=seconds))


def age_text(moment: str) -> str:
    """How long ago, as kubectl shows it: `5s`, `3m20s`, `5h`, `12d`."""
    if not moment:
        return "<unknown>"
    return span_text((now() - parse(moment)).total_seconds())


def span_text(seconds: float) -> str:
    """A length of time in at most two units."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    minutes, rest_s = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest_s}s" if rest_s else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, rest_min = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{rest_min}m" if rest_min else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, rest_h = divmod(hours, 24)
    if days < 8:
        return f"{days}d{rest_h}h" if rest_h else f"{days}d"
    return f"{days}d"
