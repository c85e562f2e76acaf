"""A wire between a client and a server that can be cut, silenced and pulled out. Works on bytes, so under TLS too."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Wire:
    """Forwards connections from a port of its own to a server; faults are called by the test.

    `port` stays the same over `pull` and `plug`.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._open = threading.Event()
        self._open.set()
        self._swallow = False
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accept(self._listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pull()
        self._open.set()

    def cut(self) -> None:
        """Cut all connections; new ones are accepted."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def silence(self) -> None:
        """Forward nothing more, on old and new connections, until `speak`."""
        self._open.clear()

    def speak(self) -> None:
        """End `silence`; what was held back is forwarded."""
        self._open.set()

    def swallow(self) -> None:
        """Cut the next connection on which the server answers, before the client has a byte of the answer."""
        self._swallow = True

    def pull(self) -> None:
        """Refuse connections and cut those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def plug(self) -> None:
        """Accept connections again, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accept(self._listener)

    def _accept(self, listener: socket.socket) -> None:
        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                self.connections += 1
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._pairs.append((client, server))
                self._pump(client, server, answers=False)
                self._pump(server, client, answers=True)

        threading.Thread(target=serve, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, *, answers: bool) -> None:
        def run() -> None:
            with contextlib.suppress(OSError, ValueError):
                while content := source.recv(65536):
                    self._open.wait()
                    if answers and self._swallow:
                        self._swallow = False
                        break
                    target.sendall(content)
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=run, daemon=True).start()
