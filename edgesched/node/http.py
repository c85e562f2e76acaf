"""The HTTP server of the agent: who may ask, and how a question is read. What is answered is `status`.

`/healthz`, `/readyz` and `/metrics` answer everybody who can reach the port; everything else answers loopback, and
others only with the token (`Authorization: Bearer ...`). The `Host` header must be a loopback name, the pod's name or
an address, so that a web page cannot reach the agent through a name that it controls.

The standard library's server is enough: a few readers at a time, a thread each, closed when they are slow.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import json
import os
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

from edgesched.errors import ConfigError
from edgesched.node.page import POLICY

BODY_LIMIT: Final = 64 * 1024
READ_TIMEOUT_S: Final = 5.0
CONNECTIONS: Final = 16
STREAMS: Final = 4
LOOK_S: Final = 1.0
COMMENT_S: Final = 15.0
CHANGES: Final = "/page/changes"
OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})

Answer = tuple[int, str, bytes]
"""Status, content type, body."""


class Answers(Protocol):
    """What is behind the server."""

    def changes(self) -> str:
        """Return a text that is another one when the page would look different. Callable from several threads."""
        ...

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        """Answer one request. Callable from several threads."""
        ...


class HttpServer:
    """Serves `answers` on `listen`, `HOST:PORT` (port 0: a free one). A `Source` for the supervisor.

    Raises ConfigError when the address cannot be taken.
    """

    def __init__(self, listen: str, token: str, answers: Answers) -> None:
        host, _, port = listen.rpartition(":")
        try:
            self._server = _Server((host, int(port)), token, answers)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}",
                hint="choose another address with --http-listen, or off",
            ) from error
        self.host = host
        self.port = self._server.server_port

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop` is set."""
        self._server.timeout = 1.0
        while not stop.is_set():
            beat()
            self._server.handle_request()

    def nudge(self) -> None:
        """Take no further connections and wake the thread so that it looks at `stop`."""
        self._server.closing.set()
        with contextlib.suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], token: str, answers: Answers) -> None:
        self.token = token
        self.answers = answers
        self.names = _own_names()
        self.closing = threading.Event()
        self.streams = threading.BoundedSemaphore(STREAMS)
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(address, _Request)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(timeout=1.0):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is no news."""


class _Request(BaseHTTPRequestHandler):
    """One connection."""

    server: _Server
    timeout = READ_TIMEOUT_S
    protocol_version = "HTTP/1.1"
    # the head is written before the body: with Nagle's algorithm the body would wait for the reader's late ACK
    disable_nagle_algorithm = True
    server_version = "edgesched"
    sys_version = ""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_HEAD(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            self.close_connection = True
            self._send(json_answer(413, {"error": f"at most {BODY_LIMIT} bytes, with Content-Length"}))
            return
        self._serve(self.rfile.read(int(length)))

    def _serve(self, body: bytes) -> None:
        try:
            parts = urlsplit(self.path)
        except ValueError:
            self._send(json_answer(400, {"error": "not an address"}))
            return
        refusal = self._refusal(parts.path)
        if refusal is not None:
            self.close_connection = True
            self._send(refusal)
            return
        if parts.path == CHANGES and self.command == "GET":
            self._stream()
            return
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._send(self.server.answers.answer(self.command, parts.path, query, body))

    def _refusal(self, path: str) -> Answer | None:
        if not _is_own_host(self.headers.get("Host", ""), self.server.names):
            return json_answer(421, {"error": "this host name is not answered here"})
        if path in OPEN_PATHS or _is_loopback(self.client_address[0]):
            return None
        token = self.server.token
        given = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if token and hmac.compare_digest(given.encode(), token.encode()):
            return None
        return json_answer(401 if token else 403, {"error": "from elsewhere than this host a token is needed"})

    def _stream(self) -> None:
        """Tell a page that it is stale, until its reader goes away."""
        self.close_connection = True
        if not self.server.streams.acquire(blocking=False):
            self._send(json_answer(503, {"error": f"at most {STREAMS} pages are kept live"}))
            return
        try:
            self._head(200, "text/event-stream")
            self.end_headers()
            self._tell_changes()
        finally:
            self.server.streams.release()

    def _tell_changes(self) -> None:
        before, quiet_s = "", 0.0
        while not self.server.closing.wait(LOOK_S):
            quiet_s += LOOK_S
            try:
                now = self.server.answers.changes()
            except TimeoutError:
                now = before
            if before and now != before:
                self.wfile.write(b"event: changed\ndata: {}\n\n")
                quiet_s = 0.0
            elif quiet_s >= COMMENT_S:
                # a reader that is gone is found out by writing to it
                self.wfile.write(b": still here\n\n")
                quiet_s = 0.0
            before = now

    def _head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Referrer-Policy", "no-referrer")

    def _send(self, answer: Answer) -> None:
        status, kind, body = answer
        self._head(status, kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class has
        """Requests are no news."""


def json_answer(status: int, value: Any) -> Answer:
    """Return `value` as a JSON answer."""
    return status, "application/json", json.dumps(value).encode() + b"\n"


def _own_names() -> frozenset[str]:
    names = {"localhost", socket.gethostname(), os.environ.get("POD_NAME", ""), os.environ.get("POD_IP", "")}
    return frozenset(name.lower() for name in names if name)


def _is_own_host(header: str, names: frozenset[str]) -> bool:
    """Check the Host header: a name of ours, or any literal address (a browser sends one only when it is typed)."""
    try:
        host = urlsplit(f"//{header}").hostname or ""
        if host in names:
            return True
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
