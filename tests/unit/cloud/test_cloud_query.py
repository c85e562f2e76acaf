"""Reading a data query."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgesched.cloud.answers import ApiError, rfc3339
from edgesched.cloud.query import parse_query
from edgesched.cloud.windowed import windowed
from edgesched.core.messages import parse_rfc3339
from edgesched.core.model import NS_PER_S

NOW_NS = 1_790_000_000 * NS_PER_S


@pytest.mark.parametrize(
    ("start", "before_s"),
    [("-1h", 3600), ("-30m", 1800), ("-10s", 10), ("-1h30m", 5400), ("-1.5h", 5400), ("-2d", 172_800)],
)
def test_relative_times(start: str, before_s: int) -> None:
    """A relative time counts back from now."""
    assert parse_query({"start": start}, NOW_NS).start_ns == NOW_NS - before_s * NS_PER_S


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([], "no JSON object"),
        ({}, "start is missing"),
        ({"start": "yesterday"}, "start is no time"),
        ({"start": 5}, "start is no time"),
        ({"start": "-1h", "end": "2026"}, "end is no time"),
        ({"start": "-1h", "begin": 1}, "unknown field 'begin'"),
        ({"start": "-1h", "head": 1, "tail": 1}, "exclude"),
        ({"start": "-1h", "head": 0}, "head"),
        ({"start": "-1h", "tail": True}, "tail"),
        ({"start": "-1h", "filter": []}, "filter"),
        ({"start": "-1h", "filter": {"a b": "x"}}, "filter key"),
        ({"start": "-1h", "filter": {"vsn": 3}}, "filter vsn"),
        ({"start": "-1h", "bucket": "_internal"}, "bucket"),
        ({"start": "-1h", "experimental_func": "median"}, "experimental_func"),
        ({"start": "-1h", "experimental_func": "mean", "experimental_window": "soon"}, "experimental_window"),
    ],
)
def test_a_wrong_query_names_its_field(body: Any, named: str) -> None:
    """Each mistake is refused with the place."""
    with pytest.raises(ApiError) as refused:
        parse_query(body, NOW_NS)
    assert named in refused.value.message
    assert refused.value.status == 400


def test_rfc3339_is_exact() -> None:
    """A time goes out as it came in, to the nanosecond."""
    for text in ("2023-09-28T15:56:39.404972476Z", "1970-01-01T00:00:00.000000001Z", "2024-02-29T23:59:59.000000000Z"):
        assert rfc3339(parse_rfc3339(text)) == text


def test_windows_stand_under_their_end() -> None:
    """Means per minute; text and booleans do not count, an empty window has no record."""
    minute = 60 * NS_PER_S
    records = [(0, "1"), (1, "3"), (2, '"x"'), (3, "true"), (minute, "10"), (5 * minute, "7")]
    found = [(ts_ns, json.loads(value)) for ts_ns, value in windowed(records, "mean", minute, 5 * minute + 9)]
    assert found == [(minute, 2.0), (2 * minute, 10.0), (5 * minute + 9, 7.0)]
    assert list(windowed(records, "count", 0, 6 * minute)) == [(5 * minute, "4")]
