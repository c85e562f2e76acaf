"""The agent as a pod on the real node, from the manifests and the image that a person would use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube.realkube import RealKube
from tests.waiting import wait_until

pytestmark = [pytest.mark.node, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[3]
KUBECTL = Path(sys.executable).with_name("kubectl")
IMAGE = ROOT / "build" / "edgesched.tar"
URL = "http://127.0.0.1:18080"
OVERLAY = ROOT / "deploy" / "kubernetes" / "overlays" / "test-node"


class Kubectl:
    """kubectl as an administrator of the node."""

    def __init__(self, node: RealKube) -> None:
        self._node = node

    def __call__(self, *words: str, given: str = "") -> str:
        command = [str(KUBECTL), "--kubeconfig", str(self._node.kubeconfig), *words]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The pods with some labels."""
        found: list[dict[str, Any]] = json.loads(self("-n", namespace, "get", "pods", "-l", selector, "-o", "json"))[
            "items"
        ]
        return found


@pytest.fixture
def kubectl(real_node: RealKube) -> Iterator[Kubectl]:
    """The node with the agent's image and manifests."""
    subprocess.run([ROOT / "tools" / "image.sh", IMAGE], check=True, timeout=1500)
    socket = real_node.directory / "cri" / "containerd.sock"
    subprocess.run(["ctr", "-a", socket, "-n", "k8s.io", "images", "import", IMAGE], check=True, timeout=300)
    kubectl = Kubectl(real_node)
    # what the other tests made for plugins is as the edge stack has it; here it comes from the manifests
    kubectl("delete", "priorityclass", "wes-app-priority", "--ignore-not-found")
    port = (real_node.directory / "port").read_text().strip()
    built = kubectl("kustomize", str(OVERLAY)).replace('value: "6443"', f'value: "{port}"')
    kubectl("apply", "-f", "-", given=built)
    yield kubectl
    kubectl("-n", "default", "delete", "deployment", "edgesched", "--wait=true")


def test_the_agent_runs_as_a_pod_and_launches_a_plugin(kubectl: Kubectl) -> None:
    """One `kubectl apply -k`: the agent becomes ready, and the plugin of its job runs and succeeds."""

    def ready() -> bool:
        (pod,) = kubectl.pods("default", "app=edgesched") or [{}]
        conditions = pod.get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def log() -> str:
        return kubectl("-n", "default", "logs", "deployment/edgesched")

    try:
        wait_until(ready, 180, what="the agent's pod to be ready")
        wait_until(lambda: '"plugin.complete"' in log(), 180, what="a run of the plugin")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{kubectl('describe', 'pods', '-l', 'app=edgesched')}\n{log()}") from error
    status = kubectl("-n", "default", "exec", "deployment/edgesched", "--", "edgesched", "status", "--url", URL)
    assert "node W023" in status
    assert "hello" in status
    why = kubectl("-n", "default", "exec", "deployment/edgesched", "--", "edgesched", "explain", "hello", "--url", URL)
    assert "completed after" in why
