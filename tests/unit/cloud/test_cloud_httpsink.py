"""The event sink over HTTP."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from edgesched.adapters import httpsink
from edgesched.adapters.cloudhttp import cloud_root
from edgesched.adapters.httpsink import HttpSink
from edgesched.core.model import Message
from edgesched.errors import BrokerUnavailableError
from tests.unit.cloud.rawhttp import RawServer, whole


class Cloud:
    """Takes batches. `bodies`: what came; `status`: what is answered."""

    def __init__(self, status: str = "200 OK", more: str = "") -> None:
        self.bodies: list[Any] = []
        self.status = status
        self.more = more

    def answer(self, connection: socket.socket, head: str) -> None:
        length = int(
            next(line for line in head.split("\r\n") if line.lower().startswith("content-length")).split(":")[1]
        )
        body = head.split("\r\n\r\n", 1)[1].encode("latin-1")
        while len(body) < length:
            body += connection.recv(65536)
        self.bodies.append(json.loads(body))
        connection.sendall(whole(b"{}", self.status, self.more))


def message(number: int, **more: Any) -> Message:
    """A scheduler event."""
    return Message("sys.scheduler.status.goal.received", number, {"goal_id": "<g>"}, message_id=f"W-{number}", **more)


def test_posts_in_order_with_ids_and_scope() -> None:
    """The wire has what the cloud needs to drop repeats; the value of an event is JSON text."""
    cloud = Cloud()
    with RawServer(cloud.answer) as server:
        sink = HttpSink(f"{server.url}/api/v1/goals/W023/stream", "W023", token="t")
        sink.publish([message(1, as_text=True), message(2, scope="node")])
        assert server.requests[0].startswith("POST /api/v1/nodes/W023/events HTTP/1.1")
        assert "authorization: sage t" in server.requests[0].lower()
    first, second = cloud.bodies[0]
    assert (first["id"], first["ts"], first["scope"]) == ("W-1", 1, "all")
    assert first["val"] == '{"goal_id":"\\u003cg\\u003e"}'
    assert (second["id"], second["scope"]) == ("W-2", "node")


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many messages go in several bodies, none lost, none twice."""
    monkeypatch.setattr(httpsink, "BATCH_MESSAGES", 3)
    cloud = Cloud()
    with RawServer(cloud.answer) as server:
        HttpSink(server.url, "W023").publish([message(number) for number in range(8)])
    assert [len(body) for body in cloud.bodies] == [3, 3, 2]
    assert [entry["ts"] for body in cloud.bodies for entry in body] == list(range(8))


@pytest.mark.parametrize(
    ("status", "hint"), [("401 Unauthorized", "node token"), ("503 Service Unavailable", ""), ("400 Bad Request", "")]
)
def test_every_refusal_keeps_the_messages(status: str, hint: str) -> None:
    """The caller is told to try again, and when."""
    cloud = Cloud(status, "Retry-After: 7\r\n")
    with RawServer(cloud.answer) as server, pytest.raises(BrokerUnavailableError) as refused:
        HttpSink(server.url, "W023").publish([message(1)])
    assert refused.value.retry_after_s == 7
    assert hint in refused.value.hint
    assert status[:3] in refused.value.message


def test_nobody_there_is_unavailable() -> None:
    """A refused connection is no crash."""
    with RawServer(lambda connection, head: None) as server:
        url = server.url
    with pytest.raises(BrokerUnavailableError, match="cannot post events"):
        HttpSink(url, "W023").publish([message(1)])


def test_root_of_an_address() -> None:
    """A path before the API is kept once."""
    assert cloud_root("https://h/x/api/v1/goals/W023/stream") == "https://h/x"
    assert cloud_root("https://h/x/") == "https://h/x"
