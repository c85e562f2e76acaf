"""The cloud scheduler: memory of a goal stream, how fast a change reaches the last of them, submits per second.

Each is measured beside a bare aiohttp server of the same run (`_cloud_bare.py`), in turns; medians are compared.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.harness import Harness
from edgesched.cloud.embedded import EmbeddedCloud

STREAMS = 5000
ROUNDS = 7
SUBMITS = 1500
CONNECTIONS = 32
NODE = "W023"


@dataclass(frozen=True)
class Server:
    """A server in a child process. `token`: of a user who owns jobs 1 to `CONNECTIONS`."""

    port: int
    pid: int
    token: str = "none"


def run(harness: Harness) -> None:
    """Measure everything."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    streams = 1000 if harness.quick else STREAMS
    _measure_streams(harness, streams)
    _measure_submits(harness, 300 if harness.quick else SUBMITS)


def _measure_streams(harness: Harness, streams: int) -> None:
    with _bare("sse") as bare:
        bare_kib, bare_ms = asyncio.run(_fan_out(bare, streams))
    with _ours() as ours:
        our_kib, our_ms = asyncio.run(_fan_out(ours, streams))
    harness.row(f"cloud: memory of a goal stream, {streams} held", our_kib, "KiB", at_most=16)
    harness.note(f"a bare aiohttp server holds one in {bare_kib:.1f} KiB")
    name = f"cloud: goal change reaches the last of {streams} streams"
    harness.row(name, our_ms, "ms", baseline=("bare aiohttp", bare_ms), at_most=1.5)


def _measure_submits(harness: Harness, count: int) -> None:
    with _bare("submit") as bare, _ours() as ours:
        rates: dict[Server, list[float]] = {bare: [], ours: []}
        for _ in range(3):
            for server, found in rates.items():
                found.append(asyncio.run(_submit_rate(server, count)))
    bare_rate, our_rate = (statistics.median(found) for found in rates.values())
    baseline = ("aiohttp committing one row", bare_rate)
    harness.row("cloud: submits of a stored job", our_rate, "1/s", baseline=baseline, at_least=0.25)


@contextmanager
def _bare(kind: str) -> Iterator[Server]:
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    with tempfile.TemporaryDirectory() as folder, listening:
        command = [sys.executable, "-m", "bench._cloud_bare", kind, str(listening.fileno()), folder]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listening.fileno()])
        try:
            yield Server(listening.getsockname()[1], child.pid)
        finally:
            assert child.stdin is not None
            child.stdin.close()
            child.wait(10)


@contextmanager
def _ours() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        cloud = EmbeddedCloud(Path(folder))
        token = cloud.user_token("bench", [NODE])
        cloud.start()
        try:
            for _ in range(CONNECTIONS):
                cloud.submit(_job(), token)
            assert cloud.pid is not None
            yield Server(int(cloud.url.rsplit(":", 1)[1]), cloud.pid, token)
        finally:
            cloud.stop()


def _job() -> str:
    """A small job, so that a list of `CONNECTIONS` goals is of the size of a real one."""
    spec = {"image": "registry.sagecontinuum.org/theone/imagesampler:0.3.0"}
    rule = "schedule(p): cronjob('p', '* * * * *')"
    job = {"name": "bench", "plugins": [{"name": "p", "pluginSpec": spec}], "nodes": {NODE: None}}
    return json.dumps({**job, "scienceRules": [rule]})


class _Reader(asyncio.Protocol):
    """Counts whole events of a stream."""

    def __init__(self, path: str, seen: _Seen) -> None:
        self._path = path
        self._seen = seen
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(f"GET {self._path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        content = self._tail + data
        self._seen.add(content.count(b"\n\n\r\n"))
        self._tail = content[-3:]


class _Seen:
    """Waits for a number of events in all streams together."""

    def __init__(self) -> None:
        self._count = 0
        self._wanted = 0
        self._enough = asyncio.Event()

    def expect(self, count: int) -> None:
        """Begin to count anew."""
        self._count, self._wanted = 0, count
        self._enough.clear()

    def add(self, count: int) -> None:
        """Count events."""
        self._count += count
        if self._count >= self._wanted:
            self._enough.set()

    async def wait(self) -> None:
        """Wait for the last one."""
        await asyncio.wait_for(self._enough.wait(), 60)


async def _fan_out(server: Server, streams: int) -> tuple[float, float]:
    """Return KiB a stream, and the median milliseconds from a submit to the last stream's event."""
    process = psutil.Process(server.pid)
    await _submit(server, 1)
    before = process.memory_info().rss
    seen = _Seen()
    seen.expect(streams)
    loop = asyncio.get_running_loop()
    path = f"/api/v1/goals/{NODE}/stream"
    for start in range(0, streams, 200):
        opening = (
            loop.create_connection(lambda: _Reader(path, seen), "127.0.0.1", server.port)
            for _ in range(min(200, streams - start))
        )
        await asyncio.gather(*opening)
    await seen.wait()
    times = []
    for _ in range(ROUNDS):
        await asyncio.sleep(0.3)
        seen.expect(streams)
        began_s = time.perf_counter()
        await _submit(server, 1)
        await seen.wait()
        times.append((time.perf_counter() - began_s) * 1000)
    held = process.memory_info().rss - before
    return held / 1024 / streams, statistics.median(times)


async def _submit(server: Server, job_id: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await _request(reader, writer, server, job_id)
    writer.close()


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server, job_id: int) -> None:
    head = f"GET /api/v1/submit?id={job_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Sage {server.token}\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"), answer
    length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))


async def _submit_rate(server: Server, count: int) -> float:
    """Return submits a second over some connections, each with a job of its own."""

    async def client(job_id: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(count // CONNECTIONS):
            await _request(reader, writer, server, job_id)
        writer.close()

    began_s = time.perf_counter()
    await asyncio.gather(*(client(job_id) for job_id in range(1, CONNECTIONS + 1)))
    return (count // CONNECTIONS) * CONNECTIONS / (time.perf_counter() - began_s)
