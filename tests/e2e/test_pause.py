"""`edgesched pause` and `resume` against a running agent, over its restart."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesched.cli.main import main
from tests.e2e.processes import Command
from tests.e2e.test_run import CRON, World
from tests.waiting import wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A cluster and a broker for one test."""
    world = World(tmp_path)
    yield world
    world.close()


def edgesched(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command in this process; its exit code and what it printed."""
    code = main(arguments)
    told = capsys.readouterr()
    return code, told.out + told.err


def test_a_pause_is_told_and_outlives_the_agent(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Paused from the command line, shown by status and explain, in force after a kill, until it is resumed."""
    state = world.folder / "state"
    flags = [*world.flags(world.job(CRON)), "--state-dir", str(state)]
    here = ["--state-dir", str(state)]
    url = ["--url", f"http://127.0.0.1:{world.http_port}"]
    with Command("run", *flags) as agent:
        agent.await_event("goal.received")
        assert edgesched(capsys, "pause", "--plugin", "samplr", *here) == (
            1,
            "edgesched: no plugin samplr on this node (did you mean sampler?)\n",
        )
        code, told = edgesched(capsys, "pause", "--plugin", "sampler", "--for", "2h", *here)
        assert (code, told) == (0, "plugin sampler is paused: 1 plugin will not be launched\n")
        assert agent.await_event("node.paused")["plugin_name"] == "sampler"
        agent.process.kill()
        agent.ended(10)
    with Command("run", *flags) as agent:
        agent.await_event("kube.connected")
        wait_until(lambda: world.get("/api/v1/plugins")[1], 30)
        _, told = edgesched(capsys, "status", *url)
        assert "PAUSED: plugin sampler since" in told
        assert "edgesched resume --plugin sampler" in told
        _, told = edgesched(capsys, "explain", "sampler", *url)
        assert "held: paused by the operator (since" in told
        assert edgesched(capsys, "resume", "--job", "7", *here)[0] == 1
        assert edgesched(capsys, "resume", "--all", *here) == (0, "everything may be launched again\n")
        wait_until(lambda: world.get("/api/v1/status")[1]["pauses"] == [])
        assert agent.end() == 0


def test_only_the_owner_may_open_the_socket(world: World) -> None:
    """Mode 0600; and what is no request is refused without harm."""
    state = world.folder / "state"
    with Command("run", *world.flags(world.job(CRON)), "--state-dir", str(state)) as agent:
        agent.await_event("goal.received")
        path = state / "control.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        requests = [
            b"\n",
            b"[]\n",
            b"x" * 5000,
            b'{"do": "stop"}\n',
            b'{"do": "pause", "for_s": -1}\n',
            b'{"do": "pause", "for_s": "x"}\n',
        ]
        for request in requests:
            with socket.socket(socket.AF_UNIX) as to:
                to.settimeout(10)
                to.connect(str(path))
                to.sendall(request)
                to.shutdown(socket.SHUT_WR)
                assert "error" in json.loads(to.makefile("rb").readline())
        assert world.get("/api/v1/status")[1]["pauses"] == []


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No scope, two scopes, a bad time, no agent: one line each."""
    here = ["--state-dir", str(tmp_path)]
    for arguments, told in (
        (["pause", *here], "say what: --all, --job ID, --plugin NAME"),
        (["pause", "--all", "--plugin", "p", *here], "say what: --all"),
        (["pause", "--all", "--for", "soon", *here], "--for: "),
        (["resume", "--all", *here], f"no agent answers at {tmp_path}/control.sock: No such file"),
    ):
        code, line = edgesched(capsys, *arguments)
        assert code == 1
        assert line.startswith(f"edgesched: {told}")
        assert line.count("\n") == 1
