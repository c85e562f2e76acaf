"""The real clusters themselves: their faults do what tests of the agent rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kube.behaviours import Node, behaving, conditions, state
from tests.kube.realkube import RealKube
from tests.waiting import wait_until


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    """A machine without the binaries fails with the command that builds them."""
    with pytest.raises(AssertionError, match=r"run: tools/k8s/build\.sh kube-apiserver"):
        RealKube("api", tmp_path / "k", cache=tmp_path).start()


@pytest.mark.apiserver
def test_a_killed_api_server_keeps_its_objects(api_server: RealKube) -> None:
    """It comes back with the same command, port and data."""
    kube = api_server.raw()
    kube.post("/api/v1/namespaces", {"metadata": {"name": "kept"}})
    before = api_server.pid("apiserver")
    api_server.kill9("apiserver")
    assert not api_server.is_ready()
    api_server.restart("apiserver")
    api_server.wait_ready()
    assert api_server.pid("apiserver") != before
    assert kube.get("/api/v1/namespaces/kept").status == 200


def _ready(real_node: RealKube) -> str:
    return conditions(real_node.raw().get("/api/v1/nodes/localhost").body)["Ready"]


@pytest.mark.node
def test_a_stopped_kubelet_is_missed(real_node: RealKube) -> None:
    """The node becomes Unknown, and Ready again when the kubelet goes on."""
    wait_until(lambda: _ready(real_node) == "True", 30, what="the node to be Ready")
    real_node.sigstop("kubelet")
    try:
        wait_until(lambda: _ready(real_node) == "Unknown", 60, what="the node to be Unknown")
    finally:
        real_node.sigcont("kubelet")
    wait_until(lambda: _ready(real_node) == "True", 30, what="the node to be Ready again")


@pytest.mark.node
def test_a_killed_kubelet_finds_its_pods_again(real_node: RealKube) -> None:
    """The container runs on under the next kubelet, and its end is seen."""
    node = Node(real_node.raw())
    node.create(behaving("p1", "handles"))
    first = node.until_phase("p1", "Running")["status"]["containerStatuses"][0]["containerID"]
    real_node.kill9("kubelet")
    real_node.restart("kubelet")
    wait_until(lambda: _ready(real_node) == "True", 60, what="the node to be Ready")
    pod = node.kube.get(f"{node.space}/pods/p1").body
    assert pod["status"]["containerStatuses"][0]["containerID"] == first
    assert set(state(pod)) == {"running"}
    node.kube.delete(f"{node.space}/pods/p1", {"gracePeriodSeconds": 2})
    wait_until(lambda: node.kube.get(f"{node.space}/pods/p1").status == 404, 60, what="the pod to go")
