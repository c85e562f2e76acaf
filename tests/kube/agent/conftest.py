"""Clusters for the agent as a process: the embedded one with its kubelet, and a real API server without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgesched.simcluster import NodeShape, Outcome, Scenario, SimCluster
from tests.kube.node.agents import Bus
from tests.kube.rawkube import Json, RawKube
from tests.kube.realkube import RealKube
from tests.waiting import wait_until

SES = "/api/v1/namespaces/ses"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/ses/leases"
SCENARIO = Scenario(
    (Outcome(plugin="long-*", run_s=None, start_delay_s=0.1), Outcome(run_s=0.5, start_delay_s=0.1)),
    node=NodeShape(capacity={"cpu": "64", "memory": "64Gi", "pods": "500"}),
)


@dataclass
class Place:
    """A cluster. `down`, `up`: end its API server without a goodbye, start it again with its objects."""

    kind: str
    kubeconfig: Path
    raw: RawKube
    down: Callable[[], None]
    up: Callable[[], None]

    def pods(self) -> list[Json]:
        """The pods of plugins."""
        return list(self.raw.get(f"{SES}/pods").body["items"])

    def end(self, plugin: str) -> None:
        """Play the kubelet where there is none: the pods of a plugin succeed."""
        for pod in self.pods() if self.kind == "api" else []:
            if pod["metadata"]["labels"]["app"] == plugin and pod["status"]["phase"] == "Pending":
                path = f"{SES}/pods/{pod['metadata']['name']}/status"
                assert self.raw.patch(path, {"status": {"phase": "Succeeded"}}).status == 200

    def clear(self) -> None:
        """Remove what a test leaves."""
        self.raw.delete(f"{SES}/pods", {"gracePeriodSeconds": 0})
        self.raw.delete(LEASES)
        wait_until(lambda: not self.pods(), what="the pods to go")


@pytest.fixture
def sim_place(tmp_path: Path) -> Iterator[Place]:
    """The embedded cluster."""
    with SimCluster(SCENARIO) as cluster:
        kubeconfig = cluster.write_kubeconfig(tmp_path / "sim.kubeconfig")
        raw = RawKube("sim", cluster.url)
        yield Place("sim", kubeconfig, raw, cluster.go_down, cluster.come_up)


@pytest.fixture
def api_place(api_server: RealKube) -> Iterator[Place]:
    """A real API server with what plugin pods need."""
    api_server.prepare_wes()

    def up() -> None:
        api_server.restart("apiserver")
        api_server.wait_ready()

    place = Place("api", api_server.kubeconfig, api_server.raw(), lambda: api_server.kill9("apiserver"), up)
    place.clear()
    yield place
    place.clear()


@pytest.fixture(params=["sim", pytest.param("api", marks=pytest.mark.apiserver)])
def place(request: pytest.FixtureRequest) -> Place:
    """Each of the two."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


@pytest.fixture
def bus() -> Iterator[Bus]:
    """A real Mosquitto and who listens to it."""
    made = Bus()
    yield made
    made.close()
