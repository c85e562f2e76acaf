"""Nodes are told when something changes that counts, and only then."""

from __future__ import annotations

from edgesched.adapters.kube import KubeApi, KubeNodes
from edgesched.core.plan.events import NodesObserved
from tests.kube.adapter.runs import TUNING
from tests.kube.adapter.worlds import Collector, World
from tests.unit.kube.script import Notices, running
from tests.waiting import wait_until

NODES = "/api/v1/nodes"
MERGE = "application/merge-patch+json"


def test_what_nodes_can_hold_is_followed(world: World, api: KubeApi) -> None:
    """A new node, its room and its end are told; a heartbeat is not."""

    def heartbeat(second: int, cpu: str) -> None:
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": f"2026-11-24T12:00:{second:02}Z"}
        status = {"conditions": [ready], "allocatable": {"cpu": cpu, "memory": "1Gi"}}
        world.call("PATCH", f"{NODES}/extra/status", {"status": status}, MERGE)

    def rooms() -> list[int]:
        told = events.of(NodesObserved)
        return [node.allocatable.get("cpu", 0) for node in told[-1].nodes if node.name == "extra"] if told else []

    if world.exists(f"{NODES}/extra"):
        world.call("DELETE", f"{NODES}/extra")
    events = Collector()
    source = KubeNodes(api, emit=events, notice=Notices(), tuning=TUNING)
    with running(source):
        world.call("POST", NODES, {"metadata": {"name": "extra", "labels": {"zone": "core"}}})
        heartbeat(1, "1500m")
        wait_until(lambda: rooms() == [1500])
        count = len(events.of(NodesObserved))
        for second in range(2, 6):
            heartbeat(second, "1500m")
        heartbeat(6, "2")
        wait_until(lambda: rooms() == [2000])
        assert len(events.of(NodesObserved)) == count + 1
        world.call("DELETE", f"{NODES}/extra")
        wait_until(lambda: rooms() == [])
