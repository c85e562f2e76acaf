"""The HTTP side: HTTP/1.1 with kept connections, one thread a connection, chunked streams."""

from __future__ import annotations

import contextlib
import http.server
import select
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from edgesched.simcluster.faults import ConnectionLostError, Faults
from edgesched.simcluster.http_types import Reply, Request, Stream, json_reply
from edgesched.simcluster.status import ApiError, forbidden

_PHRASES: Final = {item.value: item.phrase for item in HTTPStatus}
_IDLE_LIMIT_S: Final = 600.0

Answer = Callable[[Request], Reply | Stream]


class HttpServer:
    """Serves `answer` on loopback. `control` answers paths under `/_sim/`, past all faults."""

    def __init__(self, answer: Answer, control: Answer, faults: Faults) -> None:
        self.answer = answer
        self.control = control
        self.faults = faults
        self.closing = threading.Event()
        self.port = 0
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, bool] = {}
        self._counts: Counter[str] = Counter()
        self._listener: _Listener | None = None

    def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one. Raises OSError."""
        self._listener = _Listener(("127.0.0.1", port), self)
        self.port = self._listener.server_address[1]
        name = f"simcluster-http-{self.port}"
        poll_s = 0.05
        threading.Thread(target=self._listener.serve_forever, args=(poll_s,), name=name, daemon=True).start()

    def stop(self) -> None:
        """Stop for good."""
        self.closing.set()
        self.go_down()

    def go_down(self) -> None:
        """Refuse connections and cut the present ones, as a killed process."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown()
            listener.server_close()
        self.cut(watches_only=False)

    def come_up(self) -> None:
        """Listen again on the same port."""
        if self._listener is None:
            self.start(self.port)

    def cut(self, *, watches_only: bool) -> int:
        """Cut the connections of watches, or all; returns how many."""
        with self._lock:
            chosen = [sock for sock, is_watch in self._connections.items() if is_watch or not watches_only]
        for sock in chosen:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        return len(chosen)

    def count(self, request: Request) -> None:
        """Count a request, whatever becomes of it."""
        with self._lock:
            self._counts["WATCH" if request.is_watch else request.method] += 1

    def counts(self) -> dict[str, int]:
        """Requests so far by method; watches are counted as `WATCH`."""
        with self._lock:
            return dict(self._counts)

    def enter(self, sock: socket.socket, *, is_watch: bool) -> None:
        """Keep account of a connection."""
        with self._lock:
            self._connections[sock] = is_watch

    def leave(self, sock: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._connections.pop(sock, None)


def _is_foreign(request: Request) -> bool:
    """A web page asks: from another origin, or by a name that only points to this machine."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    return "origin" in request.headers or host not in {"127.0.0.1", "localhost", "::1"}


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], server: HttpServer) -> None:
        self.owner = server
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without looking up the host's full name, which can take seconds where there is no network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is the client's business."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = _IDLE_LIMIT_S
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.server.owner.enter(self.connection, is_watch=False)

    def finish(self) -> None:
        self.server.owner.leave(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """No access log."""

    def _serve(self) -> None:
        owner = self.server.owner
        try:
            request = self._request()
            if _is_foreign(request):
                self._reply(request, json_reply(403, forbidden("", "", "this server is for this machine only").body()))
                return
            if request.path.startswith("/_sim/"):
                self._reply(request, owner.control(request))
                return
            owner.count(request)
            try:
                owner.faults.before(request, owner.closing)
                reply = owner.answer(request)
            except ApiError as error:
                reply = json_reply(error.status, error.body(), error.headers)
            owner.faults.after(request, owner.closing)
            self._reply(request, reply)
        except (ConnectionLostError, OSError):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base class's names

    def _request(self) -> Request:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = int(headers.get("content-length") or 0)
        body = self.rfile.read(length) if length else b""
        return Request(self.command, unquote(path), dict(parse_qsl(query, keep_blank_values=True)), headers, body)

    def _reply(self, request: Request, reply: Reply | Stream) -> None:
        if isinstance(reply, Stream):
            self._stream(reply)
            return
        head = [f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, '')}"]
        if reply.status != 204:
            head.append(f"Content-Type: {reply.content_type}")
            head.append(f"Content-Length: {len(reply.body)}")
        head += [f"{name}: {value}" for name, value in reply.headers.items()]
        if request.headers.get("connection", "").lower() == "close":
            head.append("Connection: close")
            self.close_connection = True
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1") + reply.body)
        self.wfile.flush()

    def _stream(self, stream: Stream) -> None:
        owner = self.server.owner
        owner.enter(self.connection, is_watch=stream.is_watch)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {stream.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.wfile.write(head.encode())
        self.wfile.flush()
        for chunk in stream.chunks:
            if stream.is_watch:
                owner.faults.hold_stream(owner.closing)
            if chunk:
                self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                self.wfile.flush()
            elif self._client_left():
                raise ConnectionLostError
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        owner.enter(self.connection, is_watch=False)

    def _client_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
