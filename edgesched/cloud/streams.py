"""Goal streams: thousands of open answers, each holding one node's newest list.

Policy. A stream owes its reader the newest list, never a queue of lists. When a list changes, its text is framed once
and written straight to the transport of every reader that has taken all it was sent; a reader that has not is marked,
and its own task sends whatever is newest when its buffer is empty again. A reader that takes nothing for a minute is
cut off.

Frames are what old nodes survive: one `data:` line, LF only, no `id:`, no `retry:`, no heartbeat comment of its own.
The keep-alive is the same list again (nodes skip goals that they know), each stream at its own moment of the interval.
`: complete` stands before `event:` in the same block, where every reader skips it. At shutdown connections are reset,
not ended: a clean end sends old nodes into a busy loop.

Openings are paced, so that the first lists after a restart go out over seconds instead of at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import struct
from collections.abc import Iterable
from typing import Final

from aiohttp import HttpVersion11, web

from edgesched.cloud.answers import ApiError
from edgesched.cloud.board import GoalBoard

log = logging.getLogger("edgesched.cloud.streams")

EVENT: Final = "sys.scheduler.status.goal.updated"
OLD_NODE_LIMIT: Final = 64 * 1024
PER_SECOND: Final = 1000
PATIENCE_S: Final = 60.0
SEND_BUFFER: Final = 128 * 1024
RESET: Final = struct.pack("ii", 1, 0)
HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",
    "Access-Control-Allow-Origin": "*",
}


def frame(text: bytes) -> bytes:
    """Frame one line of JSON as an event."""
    return b": complete\nevent: " + EVENT.encode() + b"\ndata: " + text + b"\n\n"


class _Stream:
    """One open answer. `behind`: the reader is owed a list that its own task must send; `wake` rouses that task."""

    __slots__ = ("behind", "chunked", "node", "response", "slot", "transport", "wake")

    def __init__(self, response: web.StreamResponse, transport: asyncio.Transport, node: str, slot: int) -> None:
        self.response = response
        self.chunked = response.chunked
        self.transport = transport
        self.node = node
        self.slot = slot
        self.behind = True
        self.wake: asyncio.Future[None] | None = None

    def rouse(self) -> None:
        """Let the stream's own task send."""
        self.behind = True
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)


class StreamHub:
    """All open goal streams. `keepalive_s`: how often an unchanged list is repeated; `limit`: most streams at once."""

    def __init__(self, board: GoalBoard, *, keepalive_s: int = 30, limit: int = 20_000) -> None:
        self._board = board
        self._keepalive_s = max(1, keepalive_s)
        self._limit = limit
        self._by_node: dict[str, dict[_Stream, None]] = {}
        self._slots: list[dict[_Stream, None]] = [{} for _ in range(self._keepalive_s)]
        self._large: set[str] = set()
        self._open = 0
        self._opened = 0
        self._next_opening_s = 0.0

    def __len__(self) -> int:
        return self._open

    def connected(self, node: str) -> int:
        """Return how many streams a node holds."""
        return len(self._by_node.get(node.lower(), ()))

    async def serve(self, request: web.Request, node: str) -> web.StreamResponse:
        """Answer with a node's stream until one side ends it."""
        if self._open >= self._limit:
            raise ApiError(503, "too many goal streams", retry_after_s=random.randint(5, 30))
        self._open += 1
        try:
            await self._pace()
            return await self._serve(request, node.lower())
        finally:
            self._open -= 1

    async def _pace(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._next_opening_s = max(now_s, self._next_opening_s + 1 / PER_SECOND)
        if self._next_opening_s - now_s > 0.05:
            await asyncio.sleep(self._next_opening_s - now_s)

    async def _serve(self, request: web.Request, node: str) -> web.StreamResponse:
        response = web.StreamResponse(headers=HEADERS)
        response.headers["X-Keepalive-S"] = str(self._keepalive_s)
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response
        _bound_buffers(transport)
        self._opened += 1
        stream = _Stream(response, transport, node, self._opened % self._keepalive_s)
        self._by_node.setdefault(node, {})[stream] = None
        self._slots[stream.slot][stream] = None
        try:
            with contextlib.suppress(ConnectionError):  # the reader went away
                await self._send_when_behind(stream)
        finally:
            self._forget(stream)
        return response

    async def _send_when_behind(self, stream: _Stream) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._until_empty(stream.transport)
            stream.behind = False
            await stream.response.write(frame(self._board.text(stream.node)))
            if not stream.behind:
                stream.wake = loop.create_future()
                await stream.wake
                stream.wake = None

    async def _until_empty(self, transport: asyncio.Transport) -> None:
        """Wait until the reader has taken what it was sent; cut it off when it does not."""
        waited_s = 0.0
        while transport.get_write_buffer_size():
            if waited_s >= PATIENCE_S:
                transport.abort()
                raise ConnectionResetError("the reader takes nothing")
            await asyncio.sleep(0.2)
            waited_s += 0.2

    def _forget(self, stream: _Stream) -> None:
        self._slots[stream.slot].pop(stream, None)
        streams = self._by_node.get(stream.node)
        if streams is not None:
            streams.pop(stream, None)
            if not streams:
                del self._by_node[stream.node]

    def changed(self, nodes: Iterable[str]) -> None:
        """Send their newest lists to all streams of these nodes (lower case)."""
        for node in nodes:
            streams = self._by_node.get(node)
            if not streams:
                continue
            text = self._board.text(node)
            self._note_size(node, len(text))
            self._send(streams, _chunk(frame(text)))

    def _note_size(self, node: str, size: int) -> None:
        """Warn once when a list becomes too large for old nodes."""
        if size <= OLD_NODE_LIMIT - 256:
            self._large.discard(node)
        elif node not in self._large:
            self._large.add(node)
            log.warning("goals.large node=%s bytes=%d hint=nodes of the reference cannot read it", node, size)

    def _send(self, streams: Iterable[_Stream], chunk: bytes) -> None:
        for stream in streams:
            transport = stream.transport
            # a stream whose own task is at work, or whose reader is slow, gets the newest list from that task
            if stream.wake is None or stream.behind or transport.get_write_buffer_size():
                stream.rouse()
            elif stream.chunked and not transport.is_closing():
                transport.write(chunk)
            else:
                stream.rouse()

    async def keep_alive_forever(self) -> None:
        """Repeat every stream's list once per interval, as long as the task lives."""
        while True:
            for slot in self._slots:
                await asyncio.sleep(1)
                by_node: dict[str, list[_Stream]] = {}
                for stream in slot:
                    by_node.setdefault(stream.node, []).append(stream)
                for node, streams in by_node.items():
                    self._send(streams, _chunk(frame(self._board.text(node))))

    def close(self) -> None:
        """Reset all connections."""
        for slot in self._slots:
            for stream in slot:
                connection = stream.transport.get_extra_info("socket")
                with contextlib.suppress(OSError):  # closed a moment ago
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                stream.transport.abort()


def _bound_buffers(transport: asyncio.Transport) -> None:
    """Keep what waits for a slow reader small, in the process and in the kernel, so that it is soon up to date."""
    transport.set_write_buffer_limits(0)
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


def _chunk(payload: bytes) -> bytes:
    """Wrap bytes as a chunk of HTTP/1.1's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)
