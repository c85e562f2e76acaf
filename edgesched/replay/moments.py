"""Times on the command line and in reports: RFC 3339 in, UTC out."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from edgesched.core.messages import parse_rfc3339
from edgesched.core.model import NS_PER_S
from edgesched.errors import InputError

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_WITHOUT_ZONE = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is replayed, ns UTC, both ends included."""

    from_ns: int
    to_ns: int


def parse_moment(text: str) -> int:
    """Read a time as ns UTC: RFC 3339, or a date, or a date and time without a zone, which is UTC.

    Raises: InputError.
    """
    whole = text.strip()
    if _DATE.fullmatch(whole):
        whole += "T00:00:00Z"
    match = _WITHOUT_ZONE.fullmatch(whole)
    if match is not None:
        whole = f"{match[1]}T{match[2]}{match[3] or ':00'}Z"
    try:
        return parse_rfc3339(whole)
    except ValueError as error:
        raise InputError(str(error)) from error


def rfc3339(ts_ns: int) -> str:
    """Write a time as RFC 3339 in UTC, to the millisecond when it is not a full second."""
    seconds, rest_ns = divmod(ts_ns, NS_PER_S)
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    fraction = f".{rest_ns // 1_000_000:03d}" if rest_ns >= 1_000_000 else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def short_time(ts_ns: int, *, whole: bool = False, days: bool = False, seconds: bool = False) -> str:
    """Write a time for people: `12:30`, with `seconds` `12:30:05`, with `days` `07-01`, `whole` with both."""
    moment = dt.datetime.fromtimestamp(ts_ns // NS_PER_S, dt.UTC)
    if whole:
        return f"{moment:%Y-%m-%d %H:%M:%S}"
    if days:
        return f"{moment:%m-%d}"
    return f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"
