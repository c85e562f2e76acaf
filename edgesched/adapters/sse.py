"""Server-sent events, read leniently: what old cloud schedulers send is not quite the format.

Policy. A block ends at an empty line; line ends are LF, CRLF or CR. Inside a block, lines before the payload are fields
(`event:`, `id:`, `retry:`) or comments (`:`); the payload starts at the first `data:`. From there on a line belongs to
the payload whether or not it repeats `data:`, because the reference sends indented JSON without the prefix, and only a
line that starts with a known field name ends it. A block without `data:` says nothing and is dropped, which covers
heartbeats. Nothing is decoded before the block is complete, so a character may be split between two reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgesched.errors import CloudUnavailableError

FIELDS_AFTER_PAYLOAD = ("event:", "id:", "retry:")


@dataclass(frozen=True, slots=True)
class Block:
    """One event: its type (`message` when none was given) and its payload, lines joined by LF."""

    event: str
    payload: str


class BlockReader:
    """Cuts a byte stream into blocks. Raises CloudUnavailableError when one block grows beyond `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._tail = b""
        self._lines: list[bytes] = []
        self._size = 0
        self._skip_lf = False

    def feed(self, chunk: bytes) -> list[Block]:
        """Take the bytes of one read, return the blocks that they complete."""
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")
        self._skip_lf = chunk.endswith(b"\r") or (self._skip_lf and not chunk)
        parts = (self._tail + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._tail = parts.pop()
        blocks = []
        for line in parts:
            if line:
                self._lines.append(line)
                self._size += len(line) + 1
                self._check_size(self._size)
            elif self._lines:
                block = _block(self._lines)
                self._lines, self._size = [], 0
                if block is not None:
                    blocks.append(block)
        self._check_size(self._size + len(self._tail))
        return blocks

    def _check_size(self, size: int) -> None:
        if size > self._limit_bytes:
            message = f"one event of the goal stream is larger than {self._limit_bytes} bytes"
            raise CloudUnavailableError(message, hint="raise the limit or split the job")


def _block(lines: list[bytes]) -> Block | None:
    event, payload = "message", None
    for raw in lines:
        line = raw.decode("utf-8", "replace")
        if payload is None:
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("data:"):
                payload = [line[5:].strip()]
        elif line.startswith("data:"):
            payload.append(line[5:].removeprefix(" "))
        elif line.startswith(FIELDS_AFTER_PAYLOAD):
            continue
        elif not line.startswith(":"):
            payload.append(line)
    return None if payload is None else Block(event, "\n".join(payload))
