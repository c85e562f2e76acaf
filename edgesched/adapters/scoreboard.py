"""The node's key-value board: where `set(key, value)` rules write and plugins of this node read.

On a Waggle node it is a Redis without password (`wes-scoreboard:6379`); plain `SET key value`, no prefix, no expiry, as
the reference writes it. Redis is spoken to in RESP2 by hand: SET is all we need, and the usual client library costs
more memory than the rest of this adapter a hundredfold.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote, urlsplit

from edgesched.adapters.listener import LoginRefusedError
from edgesched.errors import BrokerUnavailableError, ConfigError

_MAX_REPLY: Final = 4096


class MemoryScoreboard:
    """A `Scoreboard` that keeps its values to itself, for an agent without Redis. `values`: what was set last."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        """Keep a value."""
        self.values[key] = value


class RedisScoreboard:
    """A `Scoreboard` in Redis.

    `uri`: `redis://[[user]:password@]host[:port][/db]`, or the reference's `host:port`. `password_file` is read at
    every connect and wins. Connects at the first `set`; a connection that Redis closed meanwhile is replaced unnoticed.
    Raises ConfigError when made with an address that cannot work.
    """

    def __init__(self, uri: str, *, password_file: str = "", timeout_s: float = 3.0) -> None:
        parts = urlsplit(uri if "://" in uri else f"redis://{uri}")
        hint = "such as wes-scoreboard:6379 or redis://:password@host:6379/0"
        try:
            self._address = (parts.hostname or "", parts.port or 6379)
            self._database = int(parts.path.strip("/") or 0)
        except ValueError:
            raise ConfigError(f"scoreboard: no port or database number in {_shown(uri)!r}", hint=hint) from None
        if parts.scheme != "redis" or not self._address[0]:
            raise ConfigError(f"scoreboard: {_shown(uri)!r} is not the address of a Redis", hint=hint)
        self._username = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._password_file = password_file
        self._timeout_s = timeout_s
        self._sock: socket.socket | None = None
        self._replies: BinaryIO | None = None

    def set(self, key: str, value: str) -> None:
        """Write a value; see `edgesched.ports.Scoreboard`."""
        fresh = self._sock is None
        try:
            self._set(key, value)
        except OSError as error:
            self.close()
            if fresh or isinstance(error, TimeoutError):
                raise BrokerUnavailableError(f"no scoreboard at {self._where}: {_reason(error)}") from error
            self.set(key, value)  # Redis closed an idle connection; SET may be repeated

    def close(self) -> None:
        """Leave Redis; the next `set` connects again."""
        for one in (self._replies, self._sock):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.close()
        self._sock = self._replies = None

    @property
    def _where(self) -> str:
        return f"{self._address[0]}:{self._address[1]}"

    def _set(self, key: str, value: str) -> None:
        if self._sock is None:
            self._connect()
        self._call("SET", key, value)

    def _connect(self) -> None:
        self._sock = socket.create_connection(self._address, timeout=self._timeout_s)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._sock.makefile("rb")
        password = self._password
        if self._password_file:
            password = Path(self._password_file).read_text(encoding="utf-8").strip()
        if password:
            self._call("AUTH", *([self._username] if self._username else []), password)
        if self._database:
            self._call("SELECT", str(self._database))

    def _call(self, *words: str) -> None:
        """Send one command and require its `+OK`. Raises: OSError; BrokerUnavailableError: Redis said no."""
        assert self._sock is not None
        assert self._replies is not None
        self._sock.sendall(_encode(words))
        reply = self._replies.readline(_MAX_REPLY)
        if reply == b"+OK\r\n":
            return
        self.close()
        if not reply:
            raise ConnectionResetError("connection closed")
        text = reply.decode("utf-8", "replace").strip()[:256]
        if text.startswith(("-NOAUTH", "-WRONGPASS", "-ERR AUTH", "-NOPERM", "-ERR Client sent AUTH")):
            raise LoginRefusedError(f"scoreboard {self._where} refused our password: {text[1:]}")
        if not text.startswith("-"):
            text = f"-it does not speak Redis: {text[:40]!r}"
        raise BrokerUnavailableError(f"scoreboard {self._where} refused {words[0]}: {text[1:]}")


def _encode(words: tuple[str, ...]) -> bytes:
    """A command in RESP: an array of counted strings, so no value can be mistaken for a command."""
    raw = [word.encode("utf-8", "replace") for word in words]
    return b"".join([b"*%d\r\n" % len(raw), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw)])


def _reason(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)


def _shown(uri: str) -> str:
    """The address without what may be a password."""
    return uri.rpartition("@")[2][:80]
