"""An API server that answers from a script: for answers that no real server gives on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edgesched.adapters.kube import KubeApi, KubeTarget, WatchTuning

QUICK = WatchTuning(timeout_s=5, silence_s=0.5, pause_first_s=0.02, pause_longest_s=0.1)


class Script:
    """What the server answers. `lists` and `watches` are used up in order; the last one of each stays.

    A list is a pair (version, items) or a call that writes to the connection; a watch is such a call.
    """

    def __init__(self) -> None:
        self.lists: list[Any] = [("1", [])]
        self.watches: list[Callable[[Exchange], None]] = [hang]
        self.other: Callable[[Exchange], None] = not_found
        self.requests: list[tuple[str, str]] = []
        self.closing = threading.Event()

    def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        self.requests.append((exchange.command, exchange.path))
        if "watch=1" in exchange.path:
            (self.watches.pop(0) if len(self.watches) > 1 else self.watches[0])(exchange)
        elif exchange.command == "GET" and "Selector=" in exchange.path:
            page = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
            if callable(page):
                page(exchange)
            else:
                exchange.reply(200, {"kind": "List", "metadata": {"resourceVersion": page[0]}, "items": page[1]})
        else:
            self.other(exchange)

    def count(self, what: str) -> int:
        """Count the requests whose path has a text."""
        return sum(what in path for _, path in self.requests)


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    protocol_version = "HTTP/1.1"
    script: Script

    def handle_one_request(self) -> None:
        """Serve, whatever the verb; a client that went away is no error."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        """Answer from the script."""
        length = int(self.headers.get("Content-Length") or 0)
        self.body = json.loads(self.rfile.read(length)) if length else None
        self.script.serve(self)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that the base class looks for

    def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def begin(self) -> None:
        """Begin a chunked answer."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, content: bytes) -> None:
        """Send one chunk."""
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Keep quiet."""


def not_found(exchange: Exchange) -> None:
    """Answer 404."""
    exchange.reply(404, {"kind": "Status", "reason": "NotFound", "message": "not found", "code": 404})


def hang(exchange: Exchange) -> None:
    """Open a watch and say nothing until the server ends."""
    exchange.begin()
    exchange.script.closing.wait(30)
    exchange.close_connection = True


def watch(
    *events: dict[str, Any] | bytes, then: Callable[[Exchange], None] | None = None
) -> Callable[[Exchange], None]:
    """Make a watch that sends these events and ends, or goes on with `then`."""

    def answer(exchange: Exchange) -> None:
        exchange.begin()
        for event in events:
            exchange.chunk(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n")
        if then is None:
            exchange.chunk(b"")
        else:
            then(exchange)

    return answer


def silence(exchange: Exchange) -> None:
    """Say nothing more on an open answer."""
    exchange.script.closing.wait(30)
    exchange.close_connection = True


def cut(exchange: Exchange) -> None:
    """Cut the connection."""
    exchange.close_connection = True


def refuse(status: int, reason: str = "", headers: dict[str, str] | None = None) -> Callable[[Exchange], None]:
    """Make an answer that is a Status object."""
    body = {"kind": "Status", "code": status, "reason": reason, "message": f"{reason} by script"}
    return lambda exchange: exchange.reply(status, body, headers)


def pod(name: str, version: str, phase: str = "Pending", uid: str = "") -> dict[str, Any]:
    """Make a pod as the API sends it."""
    return {
        "metadata": {
            "name": name,
            "uid": uid or f"uid-{name}",
            "resourceVersion": version,
            "labels": {"sagecontinuum.org/plugin-task": "p"},
        },
        "status": {"phase": phase},
    }


def event(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    """Make a watch event."""
    return {"type": kind, "object": item}


@contextmanager
def scripted(script: Script) -> Iterator[KubeApi]:
    """Serve a script on a free port; the API object has short time-outs."""
    handler = type("ScriptedExchange", (Exchange,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    api = KubeApi.connect(KubeTarget(server=f"http://127.0.0.1:{server.server_port}"), (0.5, 0.5))
    try:
        yield api
    finally:
        script.closing.set()
        api.close()
        server.shutdown()
        server.server_close()
        thread.join(5)


class Notices:
    """Keeps what would be logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Keep a line."""
        self.lines.append((event, {"level": level, **fields}))

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of the lines of one event."""
        return [fields for name, fields in self.lines if name == event]


@contextmanager
def running(source: Any) -> Iterator[threading.Event]:
    """Run a source on a thread of its own; what it raises fails the test."""
    stop = threading.Event()
    beats: list[float] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            source.run(stop, lambda: beats.append(time.monotonic()))
        except Exception as error:  # noqa: BLE001 - whatever it is fails the test
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(10)
    assert not failures, failures
    assert not thread.is_alive(), "the source did not stop"
