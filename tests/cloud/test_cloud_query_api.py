"""The data query over HTTP, with curl's body and with the public client."""

from __future__ import annotations

from typing import Any

import pytest
import sage_data_client

from tests.cloud.api import Api, Cloud

MINUTE = 60_000_000_000
START = "2026-09-21T14:13:00Z"
START_NS = 1_790_000_000_000_000_000 - 20_000_000_000


def record(number: int, name: str, value: Any, **meta: str) -> dict[str, Any]:
    """A message of minute `number`."""
    return {"id": f"{name}-{number}-{meta}", "name": name, "ts": START_NS + number * MINUTE, "val": value, "meta": meta}


@pytest.fixture
def filled(cloud: Cloud) -> Api:
    """A cloud with some records of two nodes."""
    for vsn in ("W023", "W024"):
        messages = [record(number, "env.temperature", 20 + number, sensor="bme280") for number in range(10)]
        messages += [record(number, "env.pressure", 1000.5, sensor="bme680") for number in range(3)]
        url = f"https://storage.example.org/{vsn}.jpg"
        messages.append(record(5, "upload", url, task="image-sampler", job="myjob", filename="a.jpg"))
        assert cloud.node(vsn).report(vsn, *messages).json["stored"] == 14
    return cloud.anybody


def test_the_query_of_the_tutorial(filled: Api) -> None:
    """The public tutorial's filter finds the sampler's uploads, as one JSON object a line."""
    answer = filled.post(
        "/query", {"start": START, "filter": {"task": "image-sampler", "vsn": "W023", "name": "upload"}}
    )
    assert answer.content_type == "application/x-ndjson"
    assert answer.text == (
        '{"timestamp":"2026-09-21T14:18:00.000000000Z","name":"upload",'
        '"value":"https://storage.example.org/W023.jpg",'
        '"meta":{"filename": "a.jpg", "job": "myjob", "task": "image-sampler", "vsn": "W023"}}\n'
    )


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 28),
        ({"filter": {"vsn": "W023"}}, 14),
        ({"filter": {"vsn": "W023|W024", "name": "env.*"}}, 26),
        ({"filter": {"sensor": "bme.*", "name": "env.pressure"}}, 6),
        ({"filter": {"sensor": "bme"}}, 0),
        ({"filter": {"nothing": ".*"}}, 0),
        ({"head": 2}, 10),
        ({"tail": 1, "filter": {"name": "env.*"}}, 4),
        ({"end": "2026-09-21T14:14:00Z"}, 4),
        ({"start": "2026-09-21T14:22:00Z"}, 2),
        ({"start": "-1s"}, 0),
        ({"experimental_func": "mean"}, 4),
        ({"experimental_func": "max", "experimental_window": "5m", "filter": {"name": "env.temperature"}}, 6),
    ],
)
def test_filters_and_ranges(filled: Api, query: dict[str, Any], count: int) -> None:
    """Exact values, patterns, half-open ranges, the first or last of each series, aggregates."""
    assert len(filled.query(**{"start": START, **query})) == count


def test_head_and_tail_are_per_series_and_in_order(filled: Api) -> None:
    """The two newest of one series, the older first."""
    found = filled.query(start=START, tail=2, filter={"vsn": "W023", "name": "env.temperature"})
    assert [entry["value"] for entry in found] == [28, 29]


def test_long_answers_come_whole(cloud: Cloud) -> None:
    """More records than a page, none lost and none twice."""
    node = cloud.node("W023")
    for batch in range(3):
        numbers = range(batch * 2000, (batch + 1) * 2000)
        messages = [
            {"id": str(number), "name": "a.b", "ts": START_NS + number // 3, "val": number} for number in numbers
        ]
        assert node.report("W023", *messages).json["stored"] == 2000
    values = [entry["value"] for entry in cloud.anybody.query(start=START)]
    assert values == list(range(6000))


@pytest.mark.parametrize(
    ("body", "status"),
    [("", 400), ("[]", 400), ('{"start": "-1h", "x": 1}', 400), ('{"start": "-1h"' + " " * 5000 + "}", 413)],
)
def test_refused_queries(filled: Api, body: str, status: int) -> None:
    """A wrong or large query gets an error object."""
    answer = filled.post("/query", body)
    assert answer.status == status
    assert answer.error


def test_the_public_client(filled: Api) -> None:
    """sage-data-client reads our answers into a frame."""
    frame = sage_data_client.query(
        start="2026-09-21T14:13:00Z",
        end="2026-09-21T15:00:00Z",
        filter={"name": "env.temperature", "vsn": "W02.*"},
        tail=3,
        endpoint=f"{filled.url}/api/v1/query",
    )
    assert sorted(frame["value"]) == [27, 27, 28, 28, 29, 29]
    assert set(frame["meta.vsn"]) == {"W023", "W024"}
    assert str(frame["timestamp"].dt.tz) == "UTC"
    assert frame["timestamp"].max().minute == 22
