"""`edgesched pause` and `resume` against a running agent, over its restart."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from edgesched.cli.main import main
from edgesched.cloud.embedded import EmbeddedCloud
from tests.cloud.api import Api
from tests.e2e.processes import Command
from tests.e2e.world import CRON, World
from tests.waiting import wait_until


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


def test_every_scope_and_flag(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """`--job` and `--all` hold what they name, `--end` ends what runs, and after `--for` it goes on by itself."""
    here = ["--state-dir", str(world.folder / "state")]
    url = ["--url", f"http://127.0.0.1:{world.http_port}"]
    with Command("run", *world.flags(world.job('- "schedule(sampler): True"\n')), *here) as agent:
        run = agent.await_event("plugin.running", 60)
        job_id = run["job"]
        assert edgesched(capsys, "pause", "--job", job_id, *here)[1] == (
            f"job {job_id} is paused: 1 plugin will not be launched\n"
        )
        assert f"PAUSED: of job {job_id} since" in edgesched(capsys, "status", *url)[1]
        # what runs goes on, and nothing follows it
        agent.await_event("plugin.complete", 60, run=run["run"])
        assert "sampler of job" in edgesched(capsys, "explain", "sampler", *url)[1]
        assert edgesched(capsys, "resume", "--job", job_id, *here) == (0, f"job {job_id} may be launched again\n")
        second = agent.await_event("node.resumed", 10)
        assert (second["job_id"], second["reason"]) == (job_id, "resumed by the operator")
        run = wait_until(lambda: [each for each in agent.events("plugin.running") if each["run"] != run["run"]], 60)[0]
        assert edgesched(capsys, "pause", "--all", "--end", "--for", "3s", *here)[0] == 0
        line = agent.await_event("node.paused", 10, plugin_name="all", job_id="all")
        assert (line["for_s"], line["end"]) == (3, True)
        wait_until(lambda: run["run"] not in {each["run_id"] for each in _active(world)}, 60, what="its run to end")
        assert "PAUSED: everything since" in edgesched(capsys, "status", *url)[1] or agent.events("node.resumed")[1:]
        agent.await_event("node.resumed", 60, reason="its time is over")
        assert world.get("/api/v1/status")[0] == 200
        assert agent.end() == 0


def _active(world: World) -> list[dict[str, str]]:
    """The runs that have not ended."""
    return [run for run in world.get("/api/v1/runs")[1] if run["ended"] is None]


def test_the_cloud_is_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A real cloud scheduler holds the events afterwards: who was paused, for how long, and that it was resumed."""
    cloud = EmbeddedCloud(world.folder / "cloud")
    cloud.start()
    here = ["--state-dir", str(world.folder / "state")]
    flags = [*world.flags(world.job(CRON)), "--goalstream-url", cloud.url, "--events", "cloud", *here]
    user = Api(cloud.url, cloud.user_token("theone", ["W023"]))

    def told(name: str) -> list[dict[str, Any]]:
        records = user.query(start="-5m", filter={"name": f"sys.scheduler.status.{name}", "vsn": "W023"})
        return [json.loads(record["value"]) for record in records]

    try:
        with Command("run", *flags, env={"EDGESCHED_GOALSTREAM_TOKEN": cloud.node_token("W023")}) as agent:
            agent.await_event("goal.received", 60)
            assert edgesched(capsys, "pause", "--plugin", "sampler", "--for", "2h", *here)[0] == 0
            (paused,) = wait_until(lambda: told("node.paused"), 60)
            assert paused == {"job_id": "all", "plugin_name": "sampler", "for_s": 7200.0, "end": False}
            assert edgesched(capsys, "resume", "--all", *here)[0] == 0
            (resumed,) = wait_until(lambda: told("node.resumed"), 60)
            assert resumed["reason"] == "resumed by the operator"
            assert agent.end() == 0
    finally:
        cloud.stop()
