"""The scoreboard in memory and on a real Redis."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgesched.adapters.broker import free_port
from edgesched.adapters.scoreboard import MemoryScoreboard, RedisScoreboard
from edgesched.errors import BrokerUnavailableError, ConfigError
from tests.contract.brokers import wait_until


class Redis:
    """A Redis server on loopback, and an independent way to ask it: its inline commands."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: apt-get install --no-install-recommends redis-server"
        self.port = port or free_port()
        self.uri = f"127.0.0.1:{self.port}"
        command = [
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(folder),
            *options,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def ask(self, *lines: str) -> bytes:
        """Everything that it answers to the lines."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall("".join(f"{line}\r\n" for line in (*lines, "QUIT")).encode())
            return b"".join(iter(lambda: sock.recv(4096), b""))

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Callable[..., Redis]]:
    """Starts servers and ends them with the test."""
    started: list[Redis] = []

    def start(*options: str, port: int = 0) -> Redis:
        started.append(Redis(tmp_path, *options, port=port))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_memory_keeps_the_last_value() -> None:
    """Without Redis a `set` rule still works, and the status page can show its value."""
    board = MemoryScoreboard()
    board.set("raining", "1")
    board.set("raining", "0")
    assert board.values == {"raining": "0"}


def test_values_are_read_by_others(redis: Callable[..., Redis]) -> None:
    """A plugin reads exactly what a rule wrote, whatever characters are in it."""
    server = redis()
    board = RedisScoreboard(server.uri)
    board.set("raining", "1")
    board.set("odd", "a\r\nDEL raining\r\n\N{SNOWMAN}")
    assert server.ask("GET raining") == b"$1\r\n1\r\n+OK\r\n"
    assert server.ask("GET odd") == b"$19\r\na\r\nDEL raining\r\n\xe2\x98\x83\r\n+OK\r\n"
    board.close()


def test_database_number_counts(redis: Callable[..., Redis]) -> None:
    """`/3` at the end of the address writes into database 3."""
    server = redis()
    board = RedisScoreboard(f"redis://{server.uri}/3")
    board.set("k", "v")
    assert server.ask("GET k", "SELECT 3", "GET k") == b"$-1\r\n+OK\r\n$1\r\nv\r\n+OK\r\n"
    board.close()


def test_closed_idle_connection_is_replaced_unnoticed(redis: Callable[..., Redis]) -> None:
    """A Redis that cuts idle clients, or was restarted, costs no error."""
    server = redis()
    board = RedisScoreboard(server.uri)
    board.set("k", "1")
    server.ask("CLIENT KILL TYPE normal SKIPME yes")
    board.set("k", "2")
    server.stop()
    again = redis(port=server.port)
    board.set("k", "3")
    assert again.ask("GET k") == b"$1\r\n3\r\n+OK\r\n"
    board.close()


def test_absent_server_is_said_and_heals(redis: Callable[..., Redis]) -> None:
    """A refused connection raises with place and reason; later it works without being made anew."""
    server = redis()
    server.stop()
    board = RedisScoreboard(server.uri)
    with pytest.raises(BrokerUnavailableError, match=f"no scoreboard at {server.uri}: Connection refused"):
        board.set("k", "1")
    redis(port=server.port)
    board.set("k", "1")
    board.close()


def test_frozen_server_costs_a_bounded_time(redis: Callable[..., Redis]) -> None:
    """A server that does not answer is given up after the time-out, once."""
    server = redis()
    board = RedisScoreboard(server.uri, timeout_s=0.5)
    board.set("k", "1")
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(BrokerUnavailableError, match="no answer in time"):
                board.set("k", "2")
            assert 0.4 < time.monotonic() - started < 1.5
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    board.set("k", "3")
    board.close()


def test_password_is_used_and_its_refusal_is_called_by_name(redis: Callable[..., Redis], tmp_path: Path) -> None:
    """A missing or wrong password says so and is not shown; a mended password file heals."""
    server = redis("--requirepass", "open sesame")
    with pytest.raises(BrokerUnavailableError, match="refused our password: NOAUTH"):
        RedisScoreboard(server.uri).set("k", "1")
    secret = tmp_path / "secret"
    secret.write_text("balderdash\n")
    board = RedisScoreboard(server.uri, password_file=str(secret))
    with pytest.raises(BrokerUnavailableError, match="refused our password: WRONGPASS") as caught:
        board.set("k", "1")
    assert "balderdash" not in str(caught.value)
    secret.write_text("open sesame\n")
    board.set("k", "1")
    board.close()
    in_address = RedisScoreboard(f"redis://default:open%20sesame@{server.uri}")
    in_address.set("k", "2")
    in_address.close()


def test_server_that_says_no_is_quoted(redis: Callable[..., Redis]) -> None:
    """A full or read-only Redis is an error with its own words, and the next try is a fresh one."""
    server = redis()
    board = RedisScoreboard(server.uri)
    server.ask("REPLICAOF 127.0.0.1 9")
    with pytest.raises(BrokerUnavailableError, match=r"refused SET: READONLY"):
        board.set("k", "1")
    server.ask("REPLICAOF NO ONE")
    board.set("k", "1")
    board.close()


def test_peer_that_is_no_redis_is_told() -> None:
    """A web server on the port does not pass for a scoreboard."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            sock.recv(100)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.close()

        thread = threading.Thread(target=answer)
        thread.start()
        board = RedisScoreboard(f"127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(BrokerUnavailableError, match=r"does not speak Redis: 'HTTP/1\.1 400 Bad Request'"):
            board.set("k", "1")
        thread.join()


@pytest.mark.parametrize(
    "uri", ["", ":6379", "host:port", "host:99999", "redis://host/x", "http://host:80", "redis://u:pw@h:x"]
)
def test_bad_address_is_refused_at_start(uri: str) -> None:
    """An address that cannot work is a configuration error, and a password in it is not shown."""
    with pytest.raises(ConfigError, match="scoreboard") as caught:
        RedisScoreboard(uri)
    assert "pw" not in str(caught.value)
