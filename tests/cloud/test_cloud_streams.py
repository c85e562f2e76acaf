"""Goal streams of a real cloud, as old nodes and ours read them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from edgesched.adapters.goalstream import GoalStream
from edgesched.core.plan.events import GoalsReceived
from tests.cloud.api import Api, ChildCloud, Cloud, event, job_text
from tests.waiting import wait_until

EVENT = b": complete\nevent: sys.scheduler.status.goal.updated\ndata: "


class RawStream:
    """A stream read from the socket, chunks taken apart. `blocks`: payloads so far; `ended`: how it ended."""

    def __init__(self, url: str, node: str, token: str = "", *, read: bool = True) -> None:
        parts = urlsplit(url)
        self.connection = socket.create_connection((parts.hostname, parts.port), 5)
        head = f"GET /api/v1/goals/{node}/stream HTTP/1.1\r\nHost: x\r\n"
        head += f"Authorization: Sage {token}\r\n" if token else ""
        self.connection.sendall(head.encode() + b"\r\n")
        self.content = b""
        self.ended: str = ""
        if read:
            threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        """Read until the end."""
        try:
            self.connection.settimeout(30)
            while part := self.connection.recv(65536):
                self.content += part
            self.ended = "clean" if self.content.endswith(b"0\r\n\r\n") else "cut"
        except ConnectionResetError:
            self.ended = "reset"
        except OSError as error:
            self.ended = str(error)

    @property
    def blocks(self) -> list[bytes]:
        """The payloads of all events."""
        body = self.content.partition(b"\r\n\r\n")[2]
        payload = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            if not size or len(rest) < int(size, 16) + 2:
                break
            payload, body = payload + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        found = []
        for block in payload.split(b"\n\n")[:-1]:
            assert block.startswith(EVENT), block
            assert b"\n" not in block[len(EVENT) :]
            found.append(block[len(EVENT) :])
        return found

    @property
    def newest(self) -> list[str]:
        """The names of the goals of the last list that came whole."""
        if not self.content.endswith(b"\n\n\r\n"):
            return []
        return [goal["name"] for goal in json.loads(self.content[self.content.rindex(EVENT) + len(EVENT) : -4])]

    @property
    def names(self) -> list[list[str]]:
        """The names of the goals of all lists."""
        return [[goal["name"] for goal in json.loads(block)] for block in self.blocks]

    def close(self) -> None:
        """Go away, also from under the thread that reads."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


@pytest.fixture
def stream(cloud: Cloud) -> Iterator[RawStream]:
    """The stream of W023."""
    opened = RawStream(cloud.url, "W023")
    yield opened
    opened.close()


def test_every_change_is_the_whole_list(cloud: Cloud, theone: Api, stream: RawStream) -> None:
    """Empty at first, then after submit, a second job, edit, suspend and removal."""
    wait_until(lambda: stream.names == [[]])
    first = theone.submitted(job_text("one"))
    second = theone.submitted(job_text("two"))
    theone.post(f"/edit?id={first}", job_text("one"))
    theone.get(f"/submit?id={first}")
    theone.get(f"/jobs/{first}/rm?suspend=true")
    theone.get(f"/jobs/{second}/rm")
    expected = [[], ["one"], ["one", "two"], ["two"], ["one", "two"], ["two"], []]
    wait_until(lambda: stream.names == expected, what=str(expected))


def test_a_replaced_job_is_never_missing(cloud: Cloud, stream: RawStream) -> None:
    """Its nodes go over to the new text; a node that it leaves out is told; the start stays, a wrong text too."""
    user = cloud.user("u", "W023", "B")
    job_id = user.submitted(job_text("one", nodes=("W023", "B")))
    left_out = RawStream(cloud.url, "B")
    wait_until(lambda: left_out.names == [["one"]])
    goal_id = user.goal_id(job_id)
    cloud.node("W023").report("W023", event("goal.received", 1, 10, goal_id=goal_id))
    started = user.job(job_id)["state"]["last_started"]
    refused = user.request("PUT", f"/api/v1/jobs/{job_id}", job_text("two", rule="nothing()"))
    assert (refused.status, user.goal_id(job_id)) == (400, goal_id)
    assert user.request("PUT", f"/api/v1/jobs/{job_id}", job_text("two")).json["state"] == "Submitted"
    assert user.goal_id(job_id) != goal_id
    assert user.job(job_id)["state"]["last_started"] == started is not None
    wait_until(lambda: left_out.names == [["one"], []])
    wait_until(lambda: stream.names == [[], ["one"], ["two"]])
    left_out.close()


def test_headers_are_those_that_proxies_need(stream: RawStream) -> None:
    """No caching, no buffering, and the keep-alive is announced."""
    head = wait_until(lambda: stream.content.partition(b"\r\n\r\n")[0].decode().lower())
    for line in (
        "content-type: text/event-stream",
        "cache-control: no-store",
        "x-accel-buffering: no",
        "x-keepalive-s",
    ):
        assert line in head


def test_a_node_that_a_new_submit_leaves_out_is_told(cloud: Cloud) -> None:
    """The reference lets it go on with the old goal."""
    user = cloud.user("u", "A", "B")
    job_id = user.submitted(job_text("j", nodes=("A", "B")))
    left_out = RawStream(cloud.url, "A")
    wait_until(lambda: left_out.names == [["j"]])
    user.post(f"/edit?id={job_id}", job_text("j", nodes=("B",)))
    user.get(f"/submit?id={job_id}")
    wait_until(lambda: left_out.names[-1] == [])
    left_out.close()


def test_an_unchanged_list_is_repeated(start_cloud: Callable[..., Cloud]) -> None:
    """The keep-alive is an event that old nodes skip, never a comment of its own."""
    cloud = start_cloud(keepalive_s="1")
    opened = RawStream(cloud.url, "W023")
    wait_until(lambda: len(opened.blocks) >= 3)
    assert set(opened.blocks) == {b"[]"}
    opened.close()


def test_the_end_is_a_reset(cloud: Cloud) -> None:
    """A clean end sends old nodes into a busy loop."""
    opened = RawStream(cloud.url, "W023")
    wait_until(lambda: opened.blocks)
    cloud.stop()
    wait_until(lambda: opened.ended)
    assert opened.ended in ("reset", "cut")


def test_a_slow_reader_gets_the_newest_list(cloud: Cloud, theone: Api) -> None:
    """Lists that a reader had no room for are skipped; what comes last is what is in force."""
    slow = RawStream(cloud.url, "W023", read=False)
    slow.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    names = []
    rules = [f"schedule(p): last(v('a')) > {number}" for number in range(150)]
    for number in range(40):
        names.append(f"j{number}")
        theone.submitted(job_text(names[-1], scienceRules=rules))
    fast = RawStream(cloud.url, "W023")
    wait_until(lambda: fast.newest == names)
    threading.Thread(target=slow.read, daemon=True).start()
    wait_until(lambda: slow.newest == names, 30)
    assert slow.content.count(EVENT) < len(names)
    slow.close()
    fast.close()


def test_many_streams_of_many_nodes(cloud: Cloud, theone: Api) -> None:
    """Each node hears of its own jobs only, all of its streams do."""
    mine = [RawStream(cloud.url, "W023") for _ in range(50)]
    others = [RawStream(cloud.url, f"X{number}") for number in range(50)]
    wait_until(lambda: all(opened.blocks for opened in mine + others))
    theone.submitted(job_text("one"))
    wait_until(lambda: all(opened.names == [[], ["one"]] for opened in mine))
    assert all(opened.names == [[]] for opened in others)
    for opened in mine + others:
        opened.close()


def test_readers_that_went_away_are_forgotten(cloud: Cloud) -> None:
    """An open stream counts only while somebody reads it."""

    def count() -> int:
        lines = cloud.anybody.request("GET", "/metrics").text.splitlines()
        return int(next(line for line in lines if line.startswith("edgesched_cloud_goal_streams")).split()[1])

    opened = [RawStream(cloud.url, "W023") for _ in range(10)]
    wait_until(lambda: count() == 10)
    for one in opened:
        one.close()
    wait_until(lambda: count() == 0)


def test_our_node_hears_a_cloud_that_dies_and_comes_back(start_child: Callable[..., ChildCloud]) -> None:
    """The agent's source against the real cloud: first list, change, restart, first list again."""
    cloud = start_child()
    user = cloud.user("u", "W023")
    token = cloud.node("W023").token
    heard: list[tuple[list[str], bool]] = []

    def emit(event: object) -> None:
        assert isinstance(event, GoalsReceived)
        heard.append(([goal.name for goal in event.goals], event.first))

    stop = threading.Event()
    source = GoalStream(cloud.url, "W023", emit=emit, notice=lambda name, **fields: None, token=token)
    thread = threading.Thread(target=source.run, args=(stop, lambda: None))
    thread.start()
    try:
        wait_until(lambda: heard == [([], True)])
        user.submitted(job_text("one"))
        wait_until(lambda: heard[-1] == (["one"], False))
        cloud.kill()
        start_child(port=urlsplit(cloud.url).port)
        wait_until(lambda: heard[-1] == (["one"], True), 20)
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
