"""The goal stream against servers of every kind."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edgesched.adapters import goalstream
from edgesched.adapters.backoff import Backoff
from edgesched.adapters.cloudhttp import stream_url
from edgesched.adapters.goalstream import GoalStream
from edgesched.core.plan.events import GoalsReceived
from tests.unit.cloud.rawhttp import STREAM_HEAD, RawServer, chunk, whole
from tests.waiting import wait_until


def goals(*ids: str) -> bytes:
    """A list of goals as the reference writes it: indented, no prefixes."""
    return json.dumps([{"id": goal_id, "job_id": goal_id} for goal_id in ids], indent=1).encode()


def block(payload: bytes) -> bytes:
    """An event of the reference."""
    return b"event: sys.scheduler.status.goal.updated\ndata: " + payload + b"\n\n"


class Listener:
    """A goal stream on a thread. `lists`: (goal ids, first) as emitted; `notices`: names of log lines with fields."""

    def __init__(self, url: str, **more: Any) -> None:
        self.lists: list[tuple[list[str], bool]] = []
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.beats = 0
        self.stop = threading.Event()
        self.source = GoalStream(url, "W023", emit=self._emit, notice=self._notice, **more)
        self.thread = threading.Thread(target=self.source.run, args=(self.stop, self._beat))
        self.thread.start()

    def _emit(self, event: Any) -> None:
        assert isinstance(event, GoalsReceived)
        assert event.source == "stream"
        self.lists.append(([goal.goal_id for goal in event.goals], event.first))

    def _notice(self, name: str, **fields: Any) -> None:
        self.notices.append((name, fields))

    def _beat(self) -> None:
        self.beats += 1

    def said(self, name: str) -> str:
        """The message of the first log line of a name, empty when there is none."""
        return next((str(fields.get("message", "")) for found, fields in self.notices if found == name), "")


@contextmanager
def listening(answer: Callable[[socket.socket, str], None], **more: Any) -> Iterator[tuple[Listener, RawServer]]:
    """A goal stream against a scripted server; both end with the block."""
    with RawServer(answer) as server:
        listener = Listener(server.url, **more)
        try:
            yield listener, server
        finally:
            listener.stop.set()
            listener.thread.join(10)
            assert not listener.thread.is_alive()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnects come fast."""
    monkeypatch.setattr(goalstream, "DELAY_MIN_S", 0.02)
    monkeypatch.setattr(goalstream, "DELAY_MAX_S", 0.1)
    monkeypatch.setattr(goalstream, "BEAT_S", 0.05)


def test_hears_the_reference_and_repeats_nothing() -> None:
    """Indented JSON, a keep-alive that repeats the list, a change, an empty list."""

    def answer(connection: socket.socket, head: str) -> None:
        del head
        connection.sendall(STREAM_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for payload in (goals("a"), goals("a"), goals("a", "b"), b"null"):
            connection.sendall(chunk(block(payload)))

    with listening(answer, token="secret") as (listener, server):
        wait_until(lambda: len(listener.lists) == 3)
        assert listener.lists == [(["a"], True), (["a", "b"], False), ([], False)]
        assert "GET /api/v1/goals/W023/stream HTTP/1.1" in server.requests[0]
        assert "authorization: sage secret" in server.requests[0].lower()
        wait_until(lambda: listener.beats > 3)


@pytest.mark.parametrize("ending", [b"0\r\n\r\n", b""])
def test_connects_again_after_any_end(ending: bytes) -> None:
    """A clean end and a broken one both lead to a new connection, whose list counts as a first one."""

    def answer(connection: socket.socket, head: str) -> None:
        del head
        connection.sendall(STREAM_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(block(goals("a"))) + ending)
        connection.shutdown(socket.SHUT_WR)

    with listening(answer) as (listener, _):
        wait_until(lambda: len(listener.lists) >= 3)
        assert all(entry == (["a"], True) for entry in listener.lists)
        assert listener.said("cloud.unavailable")


def test_a_close_delimited_stream_is_read_as_it_comes() -> None:
    """A server of HTTP/1.0 sends no chunks; its events do not wait for the end."""
    more = threading.Event()

    def answer(connection: socket.socket, head: str) -> None:
        del head
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + block(goals("a")))
        more.wait(10)

    with listening(answer) as (listener, _):
        wait_until(lambda: listener.lists == [(["a"], True)])
        more.set()


def test_silence_of_a_server_that_promised_to_speak_is_a_lost_connection() -> None:
    """A half-open connection is given up after three announced keep-alives."""

    def answer(connection: socket.socket, head: str) -> None:
        del head
        connection.sendall(STREAM_HEAD + b"X-Keepalive-S: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(chunk(block(goals("a"))))

    with listening(answer) as (listener, server):
        wait_until(lambda: len(server.requests) >= 2, 15)
        assert "silent" in listener.said("cloud.unavailable")


def test_reconciles_with_the_plain_list() -> None:
    """A change that the stream never told is found by asking."""

    def answer(connection: socket.socket, head: str) -> None:
        if "/stream " in head:
            connection.sendall(STREAM_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(block(goals("a"))))
        else:
            connection.sendall(whole(goals("a", "b")))

    with listening(answer, reconcile_s=0.1) as (listener, _):
        wait_until(lambda: len(listener.lists) == 2)
        assert listener.lists == [(["a"], True), (["a", "b"], False)]


def test_a_reconcile_that_fails_ends_a_connection_that_may_be_half_open() -> None:
    """A cloud of the reference never speaks by itself: that nobody answers the question is how its loss is found."""

    def answer(connection: socket.socket, head: str) -> None:
        if "/stream " in head:
            connection.sendall(STREAM_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(block(goals("a"))))
        else:
            connection.close()

    with listening(answer, reconcile_s=0.1) as (listener, _):
        wait_until(lambda: len(listener.lists) == 2)
        assert listener.lists == [(["a"], True), (["a"], True)]
        assert "cannot r" in listener.said("cloud.unavailable")


def test_polls_a_cloud_without_streams() -> None:
    """Where push notification is off the plain list serves."""

    def answer(connection: socket.socket, head: str) -> None:
        if "/stream " in head:
            connection.sendall(whole(b"404 page not found\n", "404 Not Found"))
        else:
            connection.sendall(whole(goals("a")))

    with listening(answer, reconcile_s=0.05) as (listener, server):
        wait_until(lambda: len(server.requests) > 3)
        assert listener.lists == [(["a"], True)]


def test_a_refused_token_says_what_to_do() -> None:
    """The log names the remedy, once."""

    def answer(connection: socket.socket, head: str) -> None:
        del head
        connection.sendall(whole(b'{"error": "no"}', "401 Unauthorized"))

    with listening(answer) as (listener, server):
        wait_until(lambda: len(server.requests) > 2)
        assert "token create --node" in listener.said("cloud.unavailable")
        assert len(listener.notices) == 1


@pytest.mark.parametrize("payload", [b"[{", b'{"id": 1}', b"[" * 5000])
def test_a_broken_list_changes_nothing(payload: bytes) -> None:
    """It is reported; the next good list counts as usual."""

    def answer(connection: socket.socket, head: str) -> None:
        del head
        connection.sendall(STREAM_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        connection.sendall(chunk(block(payload)) + chunk(block(goals("a"))))

    with listening(answer) as (listener, _):
        wait_until(lambda: listener.lists)
        assert listener.lists == [(["a"], True)]
        assert listener.said("goals.refused")


def test_an_endless_event_is_cut_off() -> None:
    """A list beyond the limit ends the connection, not the agent."""

    def answer(connection: socket.socket, head: str) -> None:
        del head
        connection.sendall(STREAM_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(40):
            connection.sendall(chunk(b"data: " + b"x" * 4000))

    with listening(answer, limit_bytes=50_000) as (listener, _):
        assert "larger than 50000 bytes" in wait_until(lambda: listener.said("cloud.unavailable"))
        assert listener.lists == []


def test_a_server_that_never_answers_does_not_hold_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that do not come end the attempt."""
    monkeypatch.setattr(goalstream.TIMEOUT, "_read", 0.2)

    with listening(lambda connection, head: threading.Event().wait(3)) as (listener, server):
        wait_until(lambda: len(server.requests) >= 2)
        assert "cannot reach" in listener.said("cloud.unavailable")


@pytest.mark.parametrize(
    "url",
    [
        "http://h:1",
        "http://h:1/",
        "http://h:1/api/v1/goals/W023/stream",
        "http://h:1/api/v1/goals/W023/stream?x=1",
    ],
)
def test_addresses(url: str) -> None:
    """The address of the cloud is enough."""
    assert stream_url(url, "W023") == "http://h:1/api/v1/goals/W023/stream"


def test_nodes_of_a_cloud_that_was_away_come_back_spread() -> None:
    """After ten minutes of failures the attempts of a thousand nodes lie half a minute apart, no second has many."""
    arrivals = []
    for seed in range(1000):
        pause = Backoff(first_s=1.0, cap_s=60.0, held_s=goalstream.SETTLED_S, rng=random.Random(seed))
        at_s = 0.0
        while at_s < 600:
            at_s += pause.after(0.0)
        arrivals.append(at_s - 600)
    per_second = Counter(int(arrival) for arrival in arrivals)
    assert max(arrivals) - min(arrivals) > 30
    assert max(per_second.values()) < 100
