"""Policy `resourceaware` in a running agent: a small node gets no more pods than it can hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesched.simcluster import NodeShape, Outcome, Scenario, SimCluster
from tests.kube.node.agents import Agent, Bus, Part, write_job
from tests.waiting import wait_until

SCENARIO = Scenario(
    (Outcome(run_s=None, start_delay_s=0.1),), node=NodeShape(capacity={"cpu": "250m", "memory": "8Gi", "pods": "9"})
)
PARTS = [Part(f"p{number}", "true", condition="True") for number in range(3)]


@pytest.fixture
def small() -> Iterator[SimCluster]:
    """A node with a quarter of a core."""
    with SimCluster(SCENARIO) as cluster:
        yield cluster


def test_a_small_node_is_not_overcommitted(small: SimCluster, bus: Bus, tmp_path: Path) -> None:
    """Two pods of 100m fit; the third is held by the agent, with the reason, and goes when one has ended."""
    kubeconfig = small.write_kubeconfig(tmp_path / "kubeconfig")
    # the first decision may come before the nodes are known, so the job comes later
    folder = tmp_path / "jobs"
    folder.mkdir()
    with Agent(folder, kubeconfig, bus, "--policy=resourceaware") as agent:
        agent.await_event("kube.connected")
        wait_until(lambda: agent.get("/api/v1/status")[1]["nodes"] == 1)
        write_job(folder / "three.yaml", PARTS)
        waiting = agent.await_event("plugin.waiting")
        assert waiting["reason"].startswith("waiting for cpu: asks for 100m, 50m of 250m free on sim-node, held by ")
        wait_until(lambda: [pod["status"]["phase"] for pod in small.pods()] == ["Running", "Running"])
        small.kill_pod(small.pods()[0]["metadata"]["name"])
        bus.wait(waiting["plugin"], "plugin.scheduled")
        assert not [each for each in bus.told if "nsufficient" in str(each.fields.get("message"))]
        assert agent.end() == 0
