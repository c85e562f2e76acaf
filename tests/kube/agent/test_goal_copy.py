"""What the cloud streams is copied into the cluster for other readers, and is no second source of goals."""

from __future__ import annotations

import json
import socket
import threading

from tests.e2e.processes import Command
from tests.kube.agent.conftest import SES, Place
from tests.unit.cloud.rawhttp import STREAM_HEAD, RawServer, chunk
from tests.waiting import wait_until

CONFIG_MAP = f"{SES}/configmaps/waggle-plugin-scheduler-goals"


def _goal(name: str) -> dict[str, object]:
    plugin = {"name": "p", "pluginSpec": {"image": "localhost/edgesched/busybox:1"}}
    part = {"name": "W023", "plugins": [plugin], "sciencerules": ["schedule(p): time('hour') > 99"]}
    return {"id": f"g-{name}", "job_id": name, "name": name, "sub_goals": [part]}


def test_the_stream_is_copied_and_not_read_back(place: Place) -> None:
    """Each set of the stream is in the ConfigMap soon after, and its jobs come from the stream alone."""
    more = threading.Event()

    def answer(connection: socket.socket, _head: str) -> None:
        connection.sendall(STREAM_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for goals in ([_goal("1")], [_goal("1"), _goal("2")]):
            event = b"event: sys.scheduler.status.goal.updated\ndata: " + json.dumps(goals).encode() + b"\n\n"
            connection.sendall(chunk(event))
            more.wait(20)
        threading.Event().wait(20)

    def copied() -> list[str]:
        found = place.raw.get(CONFIG_MAP).body.get("data", {}).get("goals", "[]")
        return [goal["job_id"] for goal in json.loads(found)]

    flags = ["--kubeconfig", str(place.kubeconfig), "--nodename", "W023", "--wes=false", "--http-listen", "off"]
    with (
        RawServer(answer) as cloud,
        Command("run", "--goalstream-url", cloud.url, "--log-format=json", *flags) as agent,
    ):
        wait_until(lambda: copied() == ["1"], 30, what="the first copy")
        more.set()
        wait_until(lambda: copied() == ["1", "2"], 30, what="the second copy")
        agent.await_event("goal.received", job_id="2")
        assert len(agent.events("goal.received")) == 2
        assert not agent.events("goal.shadowed")
        assert agent.end() == 0
    place.raw.delete(CONFIG_MAP)
