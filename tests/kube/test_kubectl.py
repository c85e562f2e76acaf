"""kubectl, as a third-party client, on the embedded cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesched.simcluster import SimCluster
from tests.kube.behaviours import SCENARIO, Node, behaving
from tests.kube.rawkube import RawKube

KUBECTL = Path(sys.executable).parent / "kubectl"
ALONE = {"HOME": "/nowhere", "KUBECACHEDIR": "/dev/null"}
"""No configuration of the one who tests, and nothing left behind."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimCluster]:
    """One cluster for all tests of this file."""
    with SimCluster(SCENARIO) as cluster:
        yield cluster


@pytest.fixture
def node(cluster: SimCluster) -> Iterator[Node]:
    """The cluster's pods, none at first."""
    node = Node(RawKube("sim", cluster.url))
    yield node
    node.clear()


def kubectl(cluster: SimCluster, *words: str, namespace: str = "ses", ok: bool = True) -> str:
    """Run kubectl; returns what it prints, also of a refusal when `ok` is False."""
    command = [str(KUBECTL), "--server", cluster.url, "-n", namespace, *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=ALONE)
    assert (result.returncode == 0) is ok, result.stderr
    return result.stdout if ok else result.stderr


def table(text: str) -> list[list[str]]:
    """The cells of a printed table."""
    return [line.split() for line in text.splitlines()]


def test_get_prints_the_servers_table(cluster: SimCluster, node: Node) -> None:
    """Name, ready, status, restarts, age."""
    node.create(behaving("p1", "quick"))
    node.until_phase("p1", "Succeeded")
    head, row = table(kubectl(cluster, "get", "pods"))
    assert head == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row[:4] == ["p1", "0/1", "Completed", "0"]


def test_get_wide_names_the_node(cluster: SimCluster, node: Node) -> None:
    """IP and node are in the wide table."""
    node.create(behaving("p1", "endless"))
    pod = node.until_phase("p1", "Running")
    row = table(kubectl(cluster, "get", "pods", "-o", "wide"))[1]
    assert row[1:3] == ["1/1", "Running"]
    assert row[5:7] == [pod["status"]["podIP"], "sim-node"]


@pytest.mark.parametrize(
    ("behaviour", "word"),
    [("seven", "Error"), ("missing", "ImagePullBackOff"), ("oom", "OOMKilled"), ("bad-start", "Init:Error")],
)
def test_get_says_what_is_wrong(cluster: SimCluster, node: Node, behaviour: str, word: str) -> None:
    """The status column shows the reason, not the phase."""
    node.create(behaving("p1", behaviour, init="true"))
    if behaviour == "missing":
        node.until_waiting("p1", "ImagePullBackOff")
    else:
        node.until_phase("p1", "Failed")
    assert table(kubectl(cluster, "get", "pods"))[1][2] == word


def test_get_as_json_and_yaml(cluster: SimCluster, node: Node) -> None:
    """The whole object in both forms."""
    node.create(behaving("p1", "endless"))
    pod = json.loads(kubectl(cluster, "get", "pod", "p1", "-o", "json"))
    listed = json.loads(kubectl(cluster, "get", "pods", "-o", "json"))
    assert (pod["kind"], pod["metadata"]["name"], listed["items"][0]["kind"]) == ("Pod", "p1", "Pod")
    assert "\n  name: p1\n" in kubectl(cluster, "get", "pod", "p1", "-o", "yaml")
    assert kubectl(cluster, "get", "pods", "-o", "name") == "pod/p1\n"


def test_get_by_label_and_everywhere(cluster: SimCluster, node: Node) -> None:
    """Selectors and all namespaces."""
    node.create(behaving("p1", "endless"))
    node.create(behaving("p2", "endless"))
    assert kubectl(cluster, "get", "pods", "-l", "test=p2", "-o", "name") == "pod/p2\n"
    rows = table(kubectl(cluster, "get", "pods", "-A"))
    assert [row[:2] for row in rows[1:]] == [["ses", "p1"], ["ses", "p2"]]


def test_get_watch_shows_pods_come_and_go(cluster: SimCluster, node: Node) -> None:
    """A line for each change, as they happen."""
    command = [str(KUBECTL), "--server", cluster.url, "-n", "ses", "get", "pods", "-w", "--no-headers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ALONE) as watching:
        assert watching.stdout is not None
        node.create(behaving("p1", "ok"))
        seen: list[str] = []
        for line in watching.stdout:
            seen.append(line.split()[2])
            if seen[-1] == "Completed":
                break
        watching.terminate()
    assert seen[0] in {"Pending", "ContainerCreating"}
    assert seen[-2:] == ["Running", "Completed"]


def test_describe_shows_the_story(cluster: SimCluster, node: Node) -> None:
    """Exit code, conditions and events of a failed pod."""
    node.create(behaving("p1", "seven"))
    node.until_phase("p1", "Failed")
    text = kubectl(cluster, "describe", "pod", "p1")
    assert "Exit Code:    7" in text
    assert "Reason:       Error" in text
    events = text.partition("Events:")[2]
    for word in ("Scheduled", "Pulled", "Created", "Started", "Successfully assigned ses/p1 to sim-node"):
        assert word in events
    assert events.index("Scheduled") < events.index("Started")


def test_describe_of_the_node(cluster: SimCluster, node: Node) -> None:
    """Capacity, conditions and running pods."""
    node.create(behaving("p1", "endless"))
    node.until_phase("p1", "Running")
    text = kubectl(cluster, "describe", "node", "sim-node")
    assert "KubeletReady" in text
    assert "p1" in text.partition("Non-terminated Pods:")[2]
    assert table(kubectl(cluster, "get", "nodes"))[1][:2] == ["sim-node", "Ready"]


def test_logs(cluster: SimCluster, node: Node) -> None:
    """All lines, the last one, and a log that is followed to its end."""
    node.create(behaving("p1", "ok"))
    node.until_phase("p1", "Running")
    assert kubectl(cluster, "logs", "-f", "p1") == "one\ntwo\n"
    assert kubectl(cluster, "logs", "p1", "--tail=1") == "two\n"
    assert "not found" in kubectl(cluster, "logs", "nope", ok=False)


def test_delete_waits_for_the_end(cluster: SimCluster, node: Node) -> None:
    """The pod is gone when kubectl returns."""
    node.create(behaving("p1", "handles"))
    node.until_phase("p1", "Running")
    assert 'pod "p1" deleted' in kubectl(cluster, "delete", "pod", "p1")
    assert 'pods "p1" not found' in kubectl(cluster, "get", "pod", "p1", ok=False)
    assert kubectl(cluster, "delete", "pod", "p1", "--ignore-not-found") == ""


def test_delete_of_several(cluster: SimCluster, node: Node) -> None:
    """By label, and all."""
    for name in ("p1", "p2", "p3"):
        node.create(behaving(name, "endless"))
    kubectl(cluster, "delete", "pods", "-l", "test=p1", "--grace-period=0", "--force")
    assert kubectl(cluster, "get", "pods", "-o", "name") == "pod/p2\npod/p3\n"
    kubectl(cluster, "delete", "pods", "--all", "--grace-period=0", "--force")
    assert kubectl(cluster, "get", "pods", "-o", "name") == ""


def test_events(cluster: SimCluster, node: Node) -> None:
    """The events of a pod, by `get events` and by `events --for`."""
    node.create(behaving("p1", "quick"))
    node.until_phase("p1", "Succeeded")
    assert "Successfully assigned" in kubectl(cluster, "get", "events")
    assert "Started container quick" in kubectl(cluster, "events", "--for", "pod/p1")


def test_wait(cluster: SimCluster, node: Node) -> None:
    """kubectl can wait for a phase."""
    node.create(behaving("p1", "ok"))
    kubectl(cluster, "wait", "pod/p1", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s")


def test_create_label_and_annotate(cluster: SimCluster, node: Node, tmp_path: Path) -> None:
    """What people do by hand: create from a file, label, annotate, a config map, a namespace."""
    path = tmp_path / "pod.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", **behaving("p1", "endless")}))
    kubectl(cluster, "create", "--validate=false", "-f", str(path))
    kubectl(cluster, "label", "pod", "p1", "colour=blue")
    kubectl(cluster, "annotate", "pod", "p1", "note=yes")
    pod = node.kube.get(f"{node.space}/pods/p1").body
    assert pod["metadata"]["labels"]["colour"] == "blue"
    assert pod["metadata"]["annotations"] == {"note": "yes"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "goals"}, "data": {"goals": "[]"}}
    path.write_text(json.dumps(config))
    kubectl(cluster, "create", "--validate=false", "-f", str(path))
    assert table(kubectl(cluster, "get", "cm", "goals"))[1][:2] == ["goals", "1"]
    kubectl(cluster, "delete", "cm", "goals")
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "extra"}}))
    kubectl(cluster, "create", "--validate=false", "-f", str(path))
    kubectl(cluster, "delete", "namespace", "extra", "--timeout=20s")
    assert "not found" in kubectl(cluster, "get", "namespace", "extra", ok=False)


def test_explains_itself(cluster: SimCluster) -> None:
    """Discovery and version."""
    names = {row[0] for row in table(kubectl(cluster, "api-resources", "--no-headers"))}
    assert {"pods", "events", "leases", "configmaps", "services", "nodes"} <= names
    assert "v1.20.2" in kubectl(cluster, "version")
    assert "the server doesn't have a resource type" in kubectl(cluster, "get", "deployments", ok=False)
