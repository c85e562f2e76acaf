"""The agent as a pod on the real node, from the manifests and the image that a person would use."""

from __future__ import annotations

import json
import os
import shutil
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
OVERLAYS = ROOT / "deploy" / "kubernetes" / "overlays"
OVERLAY = OVERLAYS / "test-node"
USER = 10001

ON_THE_TEST_NODE = """
# what overlays/test-node is to the base, for the DaemonSet, and nobody outside this machine is asked
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [{overlay}]
configMapGenerator:
  - name: edgesched
    namespace: default
    behavior: merge
    literals:
      - EDGESCHED_HTTP_LISTEN=0.0.0.0:18080
      - EDGESCHED_JOBS=/etc/edgesched/hello.yaml
      - EDGESCHED_CONFIG=/etc/edgesched/agent.yaml
      - EDGESCHED_GOALSTREAM_URL=
      - RABBITMQ_URI=127.0.0.1:1
      - WAGGLE_SCOREBOARD=
  - name: edgesched-jobs
    namespace: default
    files: [agent.yaml, hello.yaml]
patches:
  - patch: |-
      apiVersion: apps/v1
      kind: DaemonSet
      metadata: {{name: edgesched, namespace: default}}
      spec:
        template:
          spec:
            hostNetwork: true
            containers:
              - name: agent
                env:
                  - {{name: KUBERNETES_SERVICE_HOST, value: 127.0.0.1}}
                  - {{name: KUBERNETES_SERVICE_PORT, value: "{port}"}}
                ports:
                  - $patch: replace
                  - {{name: http, containerPort: 18080, hostPort: 18080, protocol: TCP}}
                volumeMounts:
                  - {{name: jobs, mountPath: /etc/edgesched, readOnly: true}}
            volumes:
              - name: state
                hostPath: {{path: {state}}}
              - name: jobs
                configMap: {{name: edgesched-jobs}}
  - target: {{kind: NetworkPolicy}}
    patch: |-
      $patch: delete
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {{name: edgesched, namespace: default}}
images:
  - name: edgesched
    newName: localhost/edgesched
    newTag: test
"""


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
def kubectl(real_node: RealKube) -> Kubectl:
    """The node with the agent's image."""
    subprocess.run([ROOT / "tools" / "image.sh", IMAGE], check=True, timeout=1500)
    socket = real_node.directory / "cri" / "containerd.sock"
    subprocess.run(["ctr", "-a", socket, "-n", "k8s.io", "images", "import", IMAGE], check=True, timeout=300)
    kubectl = Kubectl(real_node)
    # what the other tests made for plugins is as the edge stack has it; here it comes from the manifests
    kubectl("delete", "priorityclass", "wes-app-priority", "--ignore-not-found")
    return kubectl


@pytest.fixture
def deployment(kubectl: Kubectl, port: str) -> Iterator[str]:
    """The manifests for the test node, applied."""
    built = kubectl("kustomize", str(OVERLAY)).replace('value: "6443"', f'value: "{port}"')
    yield from applied(kubectl, built, "deployment/edgesched")


@pytest.fixture
def daemonset(kubectl: Kubectl, port: str, tmp_path: Path) -> Iterator[str]:
    """The manifests for k3s as a DaemonSet, applied, with what they expect of a Waggle node."""
    for file in ("agent.yaml", "hello.yaml"):
        shutil.copy(OVERLAY / file, tmp_path)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, USER, USER)
    overlay = os.path.relpath(OVERLAYS / "k3s-daemonset", tmp_path)
    text = ON_THE_TEST_NODE.format(overlay=overlay, port=port, state=state)
    (tmp_path / "kustomization.yaml").write_text(text)
    kubectl("label", "nodes", "--all", "node-role.kubernetes.io/control-plane=true", "--overwrite")
    kubectl("create", "priorityclass", "wes-high-priority", "--value=1000000")
    kubectl("-n", "default", "create", "configmap", "wes-identity", "--from-literal=WAGGLE_NODE_VSN=W023")
    yield from applied(kubectl, kubectl("kustomize", str(tmp_path)), "daemonset/edgesched")
    kubectl("-n", "default", "delete", "configmap", "wes-identity")
    kubectl("delete", "priorityclass", "wes-high-priority")


@pytest.fixture
def port(real_node: RealKube) -> str:
    """The port of the API server."""
    return (real_node.directory / "port").read_text().strip()


def applied(kubectl: Kubectl, manifests: str, workload: str) -> Iterator[str]:
    """Apply manifests; yield the workload's name and delete it in the end."""
    kubectl("apply", "-f", "-", given=manifests)
    yield workload
    kubectl("-n", "default", "delete", workload, "--wait=true", "--cascade=foreground")


@pytest.mark.parametrize("kind", ["deployment", "daemonset"])
def test_the_agent_runs_as_a_pod_and_launches_a_plugin(
    kubectl: Kubectl, kind: str, request: pytest.FixtureRequest
) -> None:
    """One `kubectl apply -k`: the agent becomes ready, and the plugin of its job runs and succeeds."""
    workload: str = request.getfixturevalue(kind)

    def ready() -> bool:
        (pod,) = kubectl.pods("default", "app=edgesched") or [{}]
        conditions = pod.get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def log() -> str:
        return kubectl("-n", "default", "logs", workload)

    def described() -> str:
        return kubectl("describe", workload) + kubectl("describe", "pods", "-l", "app=edgesched")

    def agent(*words: str) -> str:
        return kubectl("-n", "default", "exec", workload, "--", "edgesched", *words, "--url", URL)

    try:
        wait_until(ready, 180, what="the agent's pod to be ready")
        # not what the log says: it also tells of a run that an earlier agent left behind
        wait_until(lambda: "completed after" in agent("explain", "hello"), 180, what="a run of the plugin")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{described()}\n{log()}") from error
    status = agent("status")
    assert "node W023" in status
    assert "hello" in status
