"""The HTTP server: who may ask what, and what it does with odd requests."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from edgesched.errors import ConfigError
from edgesched.node import http as agent_http
from edgesched.node.http import Answer, HttpServer, json_answer

Headers = dict[str, str]


class Echo:
    """Answers with what was asked."""

    def changes(self) -> str:
        return "same"

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        return json_answer(200, {"method": method, "path": path, "query": query, "body": body.decode()})


@pytest.fixture
def server() -> Iterator[HttpServer]:
    """A server with a token, in a thread."""
    server = HttpServer("127.0.0.1:0", "letmein-letmein", Echo())
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop, lambda: None))
    thread.start()
    yield server
    stop.set()
    server.nudge()
    thread.join(5)
    assert not thread.is_alive()
    server.close()


def ask(server: HttpServer, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Headers, str]:
    """Send one request; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path, body or None, headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, dict(response.getheaders()), text


def test_query_and_body_reach_the_answers(server: HttpServer) -> None:
    """GET with a query, POST with a body."""
    _, headers, text = ask(server, "GET", "/api/v1/explain?plugin=a%20b&job=")
    assert json.loads(text)["query"] == {"plugin": "a b"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    _, _, text = ask(server, "POST", "/evaluate", "hello")
    assert json.loads(text)["body"] == "hello"


def test_head_has_no_body(server: HttpServer) -> None:
    """A probe by HEAD gets the headers of GET."""
    status, headers, text = ask(server, "HEAD", "/healthz")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    "host", ["evil.example.org", "localhost.evil.example", "", "[::1", "user@evil", "127.0.0.1.evil.org"]
)
def test_a_foreign_host_name_is_not_answered(server: HttpServer, host: str) -> None:
    """A web page that points its own name at this address learns nothing, not even from the open paths."""
    for path in ("/healthz", "/api/v1/status"):
        assert ask(server, "GET", path, Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:8080", socket.gethostname()])
def test_own_names_and_addresses_are_answered(server: HttpServer, host: str) -> None:
    """Loopback names, this host's name and literal addresses are ours."""
    assert ask(server, "GET", "/api/v1/status", Host=host)[0] == 200


def test_from_elsewhere_a_token_is_needed(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes and metrics are open; the rest answers strangers only with the token."""
    monkeypatch.setattr(agent_http, "_is_loopback", lambda address: False)
    for path in ("/healthz", "/readyz", "/metrics"):
        assert ask(server, "GET", path)[0] == 200
    assert ask(server, "GET", "/api/v1/status")[0] == 401
    assert ask(server, "GET", "/api/v1/status", Authorization="Bearer wrong")[0] == 401
    assert ask(server, "POST", "/evaluate", "x", Authorization="Bearer ")[0] == 401
    assert ask(server, "GET", "/api/v1/status", Authorization="Bearer letmein-letmein")[0] == 200


def test_a_large_body_is_refused(server: HttpServer) -> None:
    """Nobody fills the memory through a POST."""
    assert ask(server, "POST", "/evaluate", "x" * 70_000)[0] == 413
    assert ask(server, "POST", "/evaluate", "x", **{"Content-Length": "many"})[0] == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_change_nothing(server: HttpServer, method: str) -> None:
    """They are not known at all."""
    assert ask(server, method, "/api/v1/goals")[0] == 501


def test_slow_and_broken_clients_do_not_stop_the_others(server: HttpServer) -> None:
    """Connections that say nothing, or garbage, hold no other reader up."""
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
    silent[0].sendall(b"\x00\xff garbage\r\n\r\n")
    assert ask(server, "GET", "/healthz")[0] == 200
    for connection in silent:
        connection.close()


def test_a_taken_port_is_one_clear_error(server: HttpServer) -> None:
    """The operator is told which address and what to change."""
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{server.port}: Address already in use.*--http"):
        HttpServer(f"127.0.0.1:{server.port}", "", Echo())
