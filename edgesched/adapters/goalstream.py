"""Goals from a cloud scheduler, over its event stream.

Policy. The stream is the source; a periodic GET of the same list reconciles, because the reference drops events of slow
readers, forgets to send some, and sends no heartbeat by which silence could be told from health. Half-open connections
are found three ways: TCP keep-alive (about a minute), silence longer than three times the keep-alive that the server
announces in `X-Keepalive-S`, and a reconcile that fails while the stream is silent.

A list is emitted when it differs from the one emitted before on this connection, and always as the first of a
connection, so repeats cost the planner nothing. A list that does not parse is reported once and changes nothing.
Reconnects wait between half and the whole of a doubling delay, 1 s to 60 s, or what `Retry-After` asks for; only a
connection that lasted half a minute starts the delays anew. A cloud without the stream route is polled instead.
"""

from __future__ import annotations

import contextlib
import queue
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import BaseHTTPResponse, HTTPResponse

from edgesched.adapters.backoff import Backoff, wait
from edgesched.adapters.cloudhttp import retry_after_s, stream_url
from edgesched.adapters.sse import BlockReader
from edgesched.core.jobs import goals_from_json
from edgesched.core.model import ScienceGoal
from edgesched.core.plan.events import GoalsReceived
from edgesched.errors import CloudUnavailableError, GoalError
from edgesched.ports import Emit, Notice

EVENT_TYPES: Final = frozenset({"sys.scheduler.status.goal.updated", "message"})
BEAT_S: Final = 1.0
SETTLED_S: Final = 30.0
DELAY_MIN_S: Final = 1.0
DELAY_MAX_S: Final = 60.0
LONGEST_ASKED_S: Final = 600.0
KEEPALIVE_HEADER: Final = "X-Keepalive-S"
TIMEOUT: Final = urllib3.Timeout(connect=5, read=5)
TCP_KEEPALIVE: Final = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


class GoalStream:
    """`Source` of `GoalsReceived("stream", ...)`.

    `url`: address of the stream, `http://HOST/api/v1/goals/W023/stream`; a bare address of a cloud is completed with
    `vsn`. `token`: the node's token, sent as `Authorization: Sage`. `limit_bytes` bounds one list of goals.
    `reconcile_s`: seconds between two comparisons with the plain list.
    """

    def __init__(
        self,
        url: str,
        vsn: str,
        *,
        emit: Emit,
        notice: Notice,
        token: str = "",
        ca_file: str = "",
        limit_bytes: int = 8 * 1024 * 1024,
        reconcile_s: float = 300.0,
    ) -> None:
        self._stream_url = stream_url(url, vsn)
        self._list_url = self._stream_url.removesuffix("/stream")
        self._emit = emit
        self._notice = notice
        self._limit_bytes = limit_bytes
        self._reconcile_s = reconcile_s
        self._headers = {"User-Agent": "edgesched", "Accept-Encoding": "identity"}
        if token:
            self._headers["Authorization"] = f"Sage {token}"
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT, ca_certs=ca_file or None)
        self._stream_pool = urllib3.PoolManager(
            retries=False, timeout=TIMEOUT, ca_certs=ca_file or None, socket_options=TCP_KEEPALIVE
        )
        self._stream_pool.pool_classes_by_scheme = {"http": _StreamPool, "https": _SecureStreamPool}
        self._last: tuple[ScienceGoal, ...] | None = None
        self._complained = ""
        self.connected = False

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop`; see `ports.Source`."""
        pause = Backoff(first_s=DELAY_MIN_S, cap_s=DELAY_MAX_S, held_s=SETTLED_S)
        while not stop.is_set():
            began_s = time.monotonic()
            asked_s: float | None = None
            try:
                self._connection(stop, beat)
            except CloudUnavailableError as error:
                asked_s = error.retry_after_s
                self._complain("cloud.unavailable", str(error))
            self.connected = False
            wait_s = pause.after(time.monotonic() - began_s)
            if asked_s is not None:
                # jitter spreads the nodes of a cloud that came back
                wait_s = min(asked_s, LONGEST_ASKED_S) * random.uniform(1.0, 1.5)
            wait(wait_s, stop, beat)

    def _connection(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve one connection until it ends or `stop`; raises CloudUnavailableError unless stopped."""
        beat()
        self._last = None
        response = _open(self._stream_pool, self._stream_url, self._headers)
        if response.status == 404:
            response.release_conn()
            self._poll(stop, beat)
            return
        _check_status(response, self._stream_url)
        reader = _ChunkReader(response)
        blocks = BlockReader(self._limit_bytes)
        silence_s = _announced_silence_s(response)
        heard_s = reconciled_s = time.monotonic()
        try:
            while not stop.is_set():
                beat()
                chunk = reader.next_chunk(BEAT_S)
                now_s = time.monotonic()
                if chunk:
                    heard_s = now_s
                    for block in blocks.feed(chunk):
                        if block.event in EVENT_TYPES:
                            self._take(block.payload)
                elif silence_s is not None and now_s - heard_s > silence_s:
                    raise CloudUnavailableError(f"the goal stream was silent for {silence_s:.0f} s")
                if now_s - reconciled_s >= self._reconcile_s:
                    self._take(self._fetch_list())
                    reconciled_s = time.monotonic()
        finally:
            reader.close()

    def _poll(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        self._complain("cloud.no-stream", f"{self._stream_url} does not exist: polling {self._list_url}")
        while not stop.is_set():
            self._take(self._fetch_list())
            wait(min(self._reconcile_s, DELAY_MAX_S), stop, beat)

    def _fetch_list(self) -> str:
        response = _open(self._pool, self._list_url, self._headers)
        try:
            _check_status(response, self._list_url)
            body = response.read(self._limit_bytes + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise CloudUnavailableError(f"cannot read {self._list_url}: {str(error)[:256]}") from error
        finally:
            response.close()
        if len(body) > self._limit_bytes:
            raise CloudUnavailableError(f"the goal list is larger than {self._limit_bytes} bytes")
        return body.decode("utf-8", "replace")

    def _take(self, text: str) -> None:
        try:
            goals, warnings = goals_from_json(text)
        except GoalError as error:
            self._complain("goals.refused", str(error))
            return
        self.connected = True
        found = tuple(goals)
        if self._last is not None and found == self._last:
            return
        for warning in warnings:
            self._notice("goals.warning", level="warning", message=warning.message)
        self._notice("goals.received", level="info", url=self._stream_url, goals=len(found))
        self._complained = ""
        self._emit(GoalsReceived("stream", found, first=self._last is None))
        self._last = found

    def _complain(self, event: str, message: str) -> None:
        """Log a trouble once, until another one or good news comes."""
        if message != self._complained:
            self._complained = message
            self._notice(event, level="warning", message=message)


class _StreamConnection(HTTPConnection):
    """A connection whose time-out ends with the answer's headers: an event stream may be silent for hours."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        sock = self.sock
        response = super().getresponse()
        sock.settimeout(None)
        return response


class _SecureStreamConnection(HTTPSConnection):
    """The same over TLS."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        sock = self.sock
        response = super().getresponse()
        sock.settimeout(None)
        return response


class _StreamPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _StreamConnection


class _SecureStreamPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureStreamConnection


class _ChunkReader:
    """Reads a response on a thread of its own, so that the caller can look at `stop` while nothing comes."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response
        self._chunks: queue.Queue[bytes | CloudUnavailableError] = queue.Queue(maxsize=64)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="goalstream-read", daemon=True)
        self._thread.start()

    def next_chunk(self, timeout_s: float) -> bytes:
        """Return the bytes of one read, empty when none came in time. Raises CloudUnavailableError at the end."""
        try:
            item = self._chunks.get(timeout=timeout_s)
        except queue.Empty:
            return b""
        if isinstance(item, CloudUnavailableError):
            raise item
        return item

    def close(self) -> None:
        """End the thread and the connection."""
        self._closed.set()
        if isinstance(self._response, HTTPResponse):
            with contextlib.suppress(RuntimeError, ValueError, OSError):  # it has ended by itself
                self._response.shutdown()
        while self._thread.is_alive():
            try:
                self._chunks.get(timeout=0.05)
            except queue.Empty:
                continue
        self._response.close()

    def _read(self) -> None:
        end = "the cloud ended the goal stream"
        try:
            while not self._closed.is_set():
                chunk = self._response.read1(65536) if isinstance(self._response, HTTPResponse) else b""
                if not chunk:
                    break
                self._chunks.put(chunk)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            end = f"the goal stream broke: {str(error)[:256]}"
        self._chunks.put(CloudUnavailableError(end))


def _open(pool: urllib3.PoolManager, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
    try:
        return pool.request("GET", url, headers=headers, preload_content=False, redirect=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise CloudUnavailableError(f"cannot reach {url}: {str(error)[:256]}") from error


def _check_status(response: BaseHTTPResponse, url: str) -> None:
    if response.status == 200:
        return
    wait_s = retry_after_s(response.headers)
    response.close()
    if response.status in {401, 403}:
        hint = "give the node's token (edgesched cloud token create --node VSN)"
        raise CloudUnavailableError(f"{url} refused us ({response.status})", hint=hint, retry_after_s=DELAY_MAX_S)
    raise CloudUnavailableError(f"{url} answered {response.status}", retry_after_s=wait_s)


def _announced_silence_s(response: BaseHTTPResponse) -> float | None:
    """Return how long a healthy stream may be silent, None when the server does not say (the reference)."""
    text = response.headers.get(KEEPALIVE_HEADER, "")
    return 3 * max(float(text), 1.0) if text.isdigit() else None
