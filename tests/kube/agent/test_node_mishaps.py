"""What users are told when the node gets rid of a pod, and when the node itself is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesched.simcluster import SimCluster
from tests.kube.agent.conftest import SCENARIO
from tests.kube.node.agents import Agent, Bus, Part, write_job
from tests.waiting import wait_until


@pytest.fixture
def cluster() -> Iterator[SimCluster]:
    """The embedded cluster, whose node can be taken away."""
    with SimCluster(SCENARIO) as made:
        yield made


def test_an_eviction_and_a_lost_node(cluster: SimCluster, bus: Bus, tmp_path: Path) -> None:
    """An evicted run fails in the kubelet's words, one of a lost node when its pod goes; each is told once."""
    job = write_job(tmp_path / "mishaps.yaml", [Part(name, "sleep 1000") for name in ("long-a", "long-b")])
    with Agent(job, cluster.write_kubeconfig(tmp_path / "kubeconfig"), bus) as agent:
        agent.wait_ready()
        bus.fire("long-a", "long-b")
        for plugin in ("long-a", "long-b"):
            bus.wait(plugin, "plugin.running")
        cluster.evict_pod(bus.of("long-a", "plugin.running")[0].fields["k3s_pod_name"])
        failed = bus.wait("long-a", "plugin.failed").fields
        assert failed["reason"] == "Evicted"
        assert failed["message"]
        cluster.lose_node(evict_after_s=0.1)
        pod = bus.of("long-b", "plugin.running")[0].fields["k3s_pod_name"]
        wait_until(lambda: any(each["metadata"].get("deletionTimestamp") for each in cluster.pods()))
        assert not bus.of("long-b", "plugin.failed")
        cluster.return_node()
        assert bus.wait("long-b", "plugin.failed").fields["reason"] == "plugin deleted from external"
        wait_until(lambda: pod not in [each["metadata"]["name"] for each in cluster.pods()])
        for plugin in ("long-a", "long-b"):
            assert bus.names(plugin).count("plugin.failed") == 1
        agent.assert_unhurt()
        assert agent.end() == 0
