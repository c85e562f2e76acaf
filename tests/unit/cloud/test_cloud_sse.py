"""Reading event streams that are not quite in the format."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesched.adapters.sse import Block, BlockReader
from edgesched.errors import CloudUnavailableError

REFERENCE = (
    b'event: sys.scheduler.status.goal.updated\ndata: [\n {\n  "id": "\xc3\xa9"\n }\n]\n\n\n'
    b"event: sys.scheduler.status.goal.updated\ndata: []\n\n"
)
EXPECTED = [
    Block("sys.scheduler.status.goal.updated", '[\n {\n  "id": "é"\n }\n]'),
    Block("sys.scheduler.status.goal.updated", "[]"),
]


def read(*chunks: bytes) -> list[Block]:
    """All blocks of a stream that comes in these chunks."""
    reader = BlockReader(10_000)
    return [block for part in chunks for block in reader.feed(part)]


@given(st.lists(st.integers(0, len(REFERENCE) * 2), max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_cuts_and_line_ends_do_not_matter(cuts: list[int], line_end: bytes) -> None:
    """Wherever the network cuts the stream, also inside a character or a CRLF, the blocks are the same."""
    stream = REFERENCE.replace(b"\n", line_end)
    places = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    assert read(*(stream[a:b] for a, b in pairwise(places))) == EXPECTED


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b": ping\n\nretry: 5\n\ndata: []\n\n", ["[]"]),
        (b": complete\nid: 7\nevent: e\ndata: []\nid: 8\n: x\n\n", ["[]"]),
        (b"data: [\ndata: 1]\n\n", ["[\n1]"]),
        (b"data:[]\n\n", ["[]"]),
        (b"event: e\n\n", []),
        (b"data: [", []),
        (b"\n\n\n", []),
    ],
)
def test_what_servers_send(stream: bytes, payloads: list[str]) -> None:
    """Heartbeats, ids before and after the payload, repeated prefixes, a cut end."""
    assert [block.payload for block in read(stream)] == payloads


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 20_000, b"x\n" * 8000])
def test_a_block_has_a_limit(stream: bytes) -> None:
    """A stream that never ends a block does not fill the memory."""
    with pytest.raises(CloudUnavailableError, match="larger than 10000 bytes"):
        read(stream)
