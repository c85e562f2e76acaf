"""What one client can take from the others: bodies, guesses, streams, and the patience of the auth server."""

from __future__ import annotations

import functools
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from edgesched.cloud import app, auth, parts, streams
from edgesched.cloud.streams import StreamHub
from tests.cloud.api import Api, Cloud, job_text
from tests.cloud.endpoints import Endpoints
from tests.cloud.test_cloud_streams import RawStream
from tests.unit.cloud.rawhttp import RawServer, whole
from tests.waiting import wait_until


def connect(url: str) -> socket.socket:
    """A connection of a client that minds no rules."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), 10)


def test_a_body_that_does_not_come_is_given_up(theone: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is answered 408, and others are served meanwhile."""
    monkeypatch.setattr(parts, "BODY_TIMEOUT_S", 0.5)
    head = (
        f"POST /api/v1/create HTTP/1.1\r\nHost: x\r\nAuthorization: Sage {theone.token}\r\nContent-Length: 9\r\n\r\nn"
    )
    with connect(theone.url) as slow:
        slow.sendall(head.encode())
        assert theone.create()
        assert slow.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_body_without_a_length_is_cut_off_at_the_limit(theone: Api) -> None:
    """The limit holds for what comes, not for what is announced."""

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"#" * 65536

    answer = theone._pool.request(
        "POST", f"{theone.url}/api/v1/create", body=endless(), headers={"Authorization": f"Sage {theone.token}"}
    )
    assert answer.status == 413


def guess(url: str, number: int, **headers: str) -> int:
    """Ask with a token that nobody has."""
    return Api(url, f"guess-{number}").request("GET", "/api/v1/jobs/list", **headers).status


def test_guesses_count_by_the_address_that_the_proxy_saw(start_cloud: Callable[..., Cloud]) -> None:
    """Behind a proxy each client has its own count; what a client writes into the header itself is not believed."""
    url = start_cloud(forwarded="true").url
    answers = [guess(url, number, X_Forwarded_For=f"10.0.0.{number}, 192.0.2.1") for number in range(30)]
    assert (answers[0], answers[-1]) == (401, 429)
    assert guess(url, 99, X_Forwarded_For="192.0.2.2") == 401


def test_without_a_proxy_the_header_does_not_count(cloud: Cloud) -> None:
    """Else every guess would come from somewhere else."""
    answers = [guess(cloud.url, number, X_Forwarded_For=f"10.0.0.{number}") for number in range(30)]
    assert answers[-1] == 429


def test_the_refusal_of_guesses_ends(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the minute a token that was made meanwhile is tried again."""
    monkeypatch.setattr(auth, "WINDOW_S", 2.0)
    for number in range(30):
        guess(cloud.url, number)
    late = cloud.user("late", "W023")
    assert late.get("/jobs/list").status == 429
    wait_until(lambda: late.get("/jobs/list").status == 200, 20)


def test_an_auth_server_is_asked_again_and_its_no_counts(
    start_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is short: a token that the server takes back stops, a permission that it gives comes."""
    monkeypatch.setattr(auth, "SERVER_TRUST_S", 0.3)
    answers: dict[str, Any] = {"/users/~self": {"username": "alice"}, "/users/alice/access": []}
    with Endpoints(answers) as endpoints:
        alice = Api(start_cloud(auth_server_url=endpoints.url).url, "alices")
        assert alice.get("/token").json["nodes"] == []
        answers["/users/alice/access"] = [{"vsn": "W023", "access": ["schedule"]}]
        wait_until(lambda: alice.get("/token").json["nodes"] == ["w023"])
        answers["/users/~self"] = None
        wait_until(lambda: alice.get("/token").status == 401)


def test_an_auth_server_that_refuses_our_own_token_is_an_outage(start_cloud: Callable[..., Cloud]) -> None:
    """A user without permissions would look for the fault on his side."""

    def answer(connection: socket.socket, head: str) -> None:
        known = head.startswith("GET /users/~self ")
        connection.sendall(whole(b'{"username": "alice"}') if known else whole(b"{}", "401 Unauthorized"))

    with RawServer(answer) as server:
        refused = Api(start_cloud(auth_server_url=server.url).url, "alices").get("/token")
    assert refused.status == 503
    assert refused.error == "the auth server refuses the cloud's own token"


def test_an_outage_of_the_auth_server_is_not_trusted_for_ever(
    start_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known users go on for some minutes, then they are told to come back; our own tokens are good all the time."""
    monkeypatch.setattr(auth, "SERVER_TRUST_S", 0.1)
    monkeypatch.setattr(auth, "SERVER_OUTAGE_TRUST_S", 2.0)
    answers: dict[str, Any] = {"/users/~self": {"username": "alice"}, "/users/alice/access": []}
    with Endpoints(answers) as endpoints:
        cloud = start_cloud(auth_server_url=endpoints.url)
        alice = Api(cloud.url, "alices")
        assert alice.get("/token").status == 200
    assert alice.get("/token").status == 200
    refused = wait_until(lambda: (answer := alice.get("/token")).status != 200 and answer, 20)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
    assert cloud.user("bob", "W023").get("/token").status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>", "200 OK"), (b"[]", "200 OK"), (b'{"username": 5}', "200 OK"), (b'{"username": ""}', "200 OK"),
        (b"{}", "500 Oops"), (b"{}", "302 Found"), (b"", "200 OK"),
    ],
)  # fmt: skip
def test_odd_answers_of_an_auth_server_are_an_outage(
    start_cloud: Callable[..., Cloud], body: bytes, status: str
) -> None:
    """Nobody gets in by them, and nobody is told that the token is wrong."""
    with RawServer(lambda connection, _: connection.sendall(whole(body, status))) as server:
        answer = Api(start_cloud(auth_server_url=server.url).url, "alices").get("/token")
    assert answer.status == 503
    assert "auth server" in answer.error


def test_an_auth_server_that_hangs_holds_nobody_else(
    start_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who waits for it gets 503, others are served."""
    monkeypatch.setattr(auth, "AUTH_TIMEOUT", auth.aiohttp.ClientTimeout(total=1))
    with RawServer(lambda connection, head: None) as server:
        cloud = start_cloud(auth_server_url=server.url)
        with connect(cloud.url) as waiting:
            waiting.sendall(b"GET /api/v1/token HTTP/1.1\r\nHost: x\r\nAuthorization: Sage alices\r\n\r\n")
            wait_until(lambda: server.requests)
            assert cloud.user("bob", "W023").create()
            assert waiting.recv(65536).startswith(b"HTTP/1.1 503 ")


def test_streams_beyond_the_limit_are_told_to_come_back(
    start_cloud: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are open go on; a place that is left is given away again."""
    monkeypatch.setattr(app, "StreamHub", functools.partial(StreamHub, limit=2))
    cloud = start_cloud()
    held = [RawStream(cloud.url, "W023") for _ in range(2)]
    wait_until(lambda: all(stream.names == [[]] for stream in held))
    refused = cloud.anybody.get("/goals/W023/stream")
    assert refused.status == 503
    assert 5 <= int(refused.headers["Retry-After"]) <= 30
    held[0].close()

    def gets_in() -> bool:
        answer = cloud.anybody.stream("W023")
        answer.close()
        return answer.status == 200

    wait_until(gets_in)
    held[1].close()


def test_a_storm_of_openings_is_paced(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """All get their list, a few at a time."""
    monkeypatch.setattr(streams, "PER_SECOND", 40)
    began_s = time.monotonic()
    storm = [RawStream(cloud.url, f"N{number}") for number in range(80)]
    wait_until(lambda: any(stream.blocks for stream in storm))
    assert sum(bool(stream.blocks) for stream in storm) < 40
    wait_until(lambda: all(stream.blocks for stream in storm), 30)
    assert time.monotonic() - began_s > 1.5
    for stream in storm:
        stream.close()


def test_a_reader_that_takes_nothing_is_cut_off(cloud: Cloud, theone: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is for others."""
    monkeypatch.setattr(streams, "PATIENCE_S", 0.5)
    stuck = RawStream(cloud.url, "W023", read=False)
    stuck.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    rules = [f"schedule(p): last(v('a')) > {number}" for number in range(150)]

    def streams_open() -> int:
        lines = cloud.anybody.request("GET", "/metrics").text.splitlines()
        return int(next(line for line in lines if line.startswith("edgesched_cloud_goal_streams")).split()[1])

    wait_until(lambda: streams_open() == 1)
    for number in range(60):
        theone.submitted(job_text(f"j{number}", scienceRules=rules))
        if streams_open() == 0:
            break
    wait_until(lambda: streams_open() == 0, 20)
    stuck.close()


def test_a_deep_or_odd_document_is_refused_like_any_other(theone: Api) -> None:
    """Depth, cycles, bombs of aliases and doubled keys end in 400."""
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in itertools.pairwise("abcdefghijklmnopqrstuvwxyz")
    )
    for body in ("[" * 20_000, "name: &a [*a]", bomb, '{"name": "j", "name": "k"}'):
        assert theone.post("/create", body).status == 400, body[:20]
