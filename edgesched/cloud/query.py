"""The data query: `POST /api/v1/query`, as the public data API has it.

A filter names series: `name` or any meta key, an exact value or, with `*` or `|` in it, a pattern. Series are few and
records many, so the filter runs over the series and the records are read by index, one series after another. Records
are ordered within a series only. The answer is streamed a page at a time: no query holds more than a page in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web
from sqlalchemy import Connection

from edgesched.cloud import schema
from edgesched.cloud.answers import ApiError, rfc3339
from edgesched.cloud.parts import Parts, read_json
from edgesched.cloud.patterns import Pattern, is_pattern
from edgesched.cloud.windowed import FUNCTIONS, windowed
from edgesched.core.messages import MAX_TS_NS, parse_rfc3339
from edgesched.core.model import NS_PER_S

LARGEST_QUERY: Final = 4096
PAGE: Final = 2000
MOST_ROWS: Final = 10_000_000
MOST_PER_SERIES: Final = 500_000
FIELDS: Final = frozenset(
    {"start", "end", "filter", "head", "tail", "bucket", "experimental_func", "experimental_window"}
)
_RELATIVE = re.compile(r"-(?P<parts>(?:\d{1,9}(?:\.\d{1,9})?(?:ns|us|ms|mo|s|m|h|d|w|y))+)")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|mo|s|m|h|d|w|y)")
_UNITS_NS: Final = {
    "ns": 1, "us": 1000, "ms": 1_000_000, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3600 * NS_PER_S,
    "d": 86_400 * NS_PER_S, "w": 7 * 86_400 * NS_PER_S, "mo": 30 * 86_400 * NS_PER_S, "y": 365 * 86_400 * NS_PER_S,
}  # fmt: skip
_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    `filters`: key to exact value or pattern; `head`, `tail`: at most so many records a series, 0 for all.
    """

    start_ns: int
    end_ns: int
    filters: Mapping[str, str | Pattern]
    head: int = 0
    tail: int = 0
    function: str = ""
    window_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Series:
    id: int
    name: str
    meta: str


def parse_query(body: Any, now_ns: int) -> Query:
    """Read a query. Raises ApiError 400 naming the field that is wrong."""
    if not isinstance(body, dict):
        raise _wrong("the query is no JSON object")
    unknown = sorted(set(body) - FIELDS)
    if unknown:
        raise _wrong(f"unknown field {unknown[0][:60]!r}", f"fields are {', '.join(sorted(FIELDS))}")
    if body.get("start") is None:
        raise _wrong("start is missing", 'write "start": "-1h" or a time in RFC 3339')
    bucket = body.get("bucket")
    if bucket is not None and (not isinstance(bucket, str) or bucket.startswith("_")):
        raise _wrong("bucket is not allowed")
    head, tail = _count(body, "head"), _count(body, "tail")
    if head and tail:
        raise _wrong("head and tail exclude each other")
    function, window_ns = _function(body)
    end = body.get("end")
    return Query(
        _time(body["start"], "start", now_ns),
        MAX_TS_NS if end is None else _time(end, "end", now_ns),
        _filters(body.get("filter")),
        head,
        tail,
        function,
        window_ns,
    )


def _filters(given: Any) -> dict[str, str | Pattern]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _wrong("filter is no JSON object")
    filters: dict[str, str | Pattern] = {}
    for key, value in given.items():
        if not _KEY.fullmatch(key):
            raise _wrong(f"filter key {key[:60]!r} is not allowed")
        if not isinstance(value, str):
            raise _wrong(f"filter {key[:60]}: the value is no text")
        filters[key] = Pattern(value) if is_pattern(value) else value
    return filters


def _function(body: Mapping[str, Any]) -> tuple[str, int]:
    function, window = body.get("experimental_func"), body.get("experimental_window")
    if function is None and window is None:
        return "", 0
    if function not in FUNCTIONS:
        raise _wrong("experimental_func is not known", f"functions are {', '.join(FUNCTIONS)}")
    length_ns = _length_ns(window) if isinstance(window, str) else None
    if window is not None and not length_ns:
        raise _wrong("experimental_window is no length of time", 'write "10m"')
    return function, length_ns or 0


def _count(body: Mapping[str, Any], name: str) -> int:
    count = body.get(name)
    if count is None:
        return 0
    if type(count) is not int or not 0 < count <= MOST_PER_SERIES:
        raise _wrong(f"{name} is no number from 1 to {MOST_PER_SERIES}")
    return count


def _time(value: Any, name: str, now_ns: int) -> int:
    if isinstance(value, str):
        relative = _RELATIVE.fullmatch(value)
        if relative is not None:
            return max(0, now_ns - (_length_ns(relative["parts"]) or 0))
        try:
            return min(max(parse_rfc3339(value), 0), MAX_TS_NS)
        except (ValueError, OverflowError):
            pass
    raise _wrong(f"{name} is no time", 'write "-1h", "-30m" or a time in RFC 3339 with zone')


def _length_ns(text: str) -> int | None:
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return min(sum(int(float(number) * _UNITS_NS[unit]) for number, unit in parts), MAX_TS_NS)


def _wrong(text: str, hint: str = "") -> ApiError:
    return ApiError(400, f"query: {text}", hint=hint)


class QueryApi:
    """Handler of the data query."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def query(self, request: web.Request) -> web.StreamResponse:
        """`POST query`: the records, one JSON object a line."""
        query = parse_query(await read_json(request, LARGEST_QUERY), self._parts.now_ns())
        series = await self._parts.store.read(lambda connection: _find_series(connection, query.filters))
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/x-ndjson"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        sent = 0
        for chunk in _batches(series):
            cursor: _Cursor | None = _Cursor(chunk)
            while cursor is not None and sent < MOST_ROWS:
                page, cursor = await self._parts.store.read(_page_reader(cursor, query))
                sent += len(page)
                if page:
                    await response.write("".join(page).encode())
        await response.write_eof()
        return response


def _find_series(connection: Connection, filters: Mapping[str, str | Pattern]) -> list[_Series]:
    table = schema.series
    query = sa.select(table.c.id, table.c.name, table.c.meta).order_by(table.c.id)
    name, vsn = filters.get("name"), filters.get("vsn")
    if isinstance(name, str):
        query = query.where(table.c.name == name)
    if isinstance(vsn, str):
        query = query.where(table.c.vsn == vsn)
    rest = {key: value for key, value in filters.items() if not (key in ("name", "vsn") and isinstance(value, str))}
    return [
        _Series(row.id, row.name, row.meta)
        for row in connection.execute(query)
        if not rest or _matches(row.name, json.loads(row.meta), rest)
    ]


def _matches(name: str, meta: Mapping[str, str], filters: Mapping[str, str | Pattern]) -> bool:
    for key, wanted in filters.items():
        value = name if key == "name" else meta.get(key)
        if value is None or not (wanted == value if isinstance(wanted, str) else wanted.matches(value)):
            return False
    return True


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where the reading of some series goes on: after (`ts_ns`, `row`) of the series at `index`."""

    series: tuple[_Series, ...]
    index: int = 0
    ts_ns: int = -1
    row: int = -1


def _batches(series: list[_Series]) -> Iterator[tuple[_Series, ...]]:
    for start in range(0, len(series), PAGE):
        yield tuple(series[start : start + PAGE])


def _page_reader(cursor: _Cursor, query: Query) -> Any:
    """Return the unit of work that reads a page from a cursor on: lines, and where the next page begins."""

    def read(connection: Connection) -> tuple[list[str], _Cursor | None]:
        lines: list[str] = []
        at: _Cursor | None = cursor
        while at is not None and len(lines) < PAGE:
            rows = _rows(connection, at, query)
            one = at.series[at.index]
            lines += _lines(one, rows, query)
            if len(rows) == PAGE and not (query.head or query.tail or query.function):
                at = _Cursor(at.series, at.index, rows[-1][0], rows[-1][2])
            else:
                at = _Cursor(at.series, at.index + 1) if at.index + 1 < len(at.series) else None
        return lines, at

    return read


def _rows(connection: Connection, cursor: _Cursor, query: Query) -> list[tuple[int, str, int]]:
    table = schema.records
    one = cursor.series[cursor.index]
    select = sa.select(table.c.ts_ns, table.c.value, table.c.id).where(
        table.c.series_id == one.id, table.c.ts_ns >= query.start_ns, table.c.ts_ns < query.end_ns
    )
    forward = (table.c.ts_ns, table.c.id)
    if query.function:
        select = select.order_by(*forward).limit(MOST_PER_SERIES)
    elif query.tail:
        select = select.order_by(table.c.ts_ns.desc(), table.c.id.desc()).limit(query.tail)
    elif query.head:
        select = select.order_by(*forward).limit(query.head)
    else:
        after = sa.or_(table.c.ts_ns > cursor.ts_ns, sa.and_(table.c.ts_ns == cursor.ts_ns, table.c.id > cursor.row))
        select = select.where(after).order_by(*forward).limit(PAGE)
    rows = [(row.ts_ns, row.value, row.id) for row in connection.execute(select)]
    return rows[::-1] if query.tail and not query.function else rows


def _lines(series: _Series, rows: list[tuple[int, str, int]], query: Query) -> list[str]:
    name = json.dumps(series.name)
    values: Iterator[tuple[int, str]] = ((ts_ns, value) for ts_ns, value, _ in rows)
    if query.function:
        made = list(windowed(values, query.function, query.window_ns, query.end_ns))
        values = iter(made[: query.head] if query.head else made[-query.tail :] if query.tail else made)
    return [
        f'{{"timestamp":"{rfc3339(ts_ns)}","name":{name},"value":{value},"meta":{series.meta}}}\n'
        for ts_ns, value in values
    ]
