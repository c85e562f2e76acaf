"""Faults and mishaps of the embedded cluster: each does what its name says, and ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError

from edgesched.simcluster import NodeShape, Outcome, Publication, Scenario, SimCluster
from tests.kube.behaviours import SCENARIO, Node, behaving, conditions, state
from tests.kube.rawkube import RawKube, brief, pod
from tests.waiting import wait_until

PODS = "/api/v1/namespaces/ses/pods"


@pytest.fixture
def cluster() -> Iterator[SimCluster]:
    """A cluster of its own for each test."""
    with SimCluster(SCENARIO) as cluster:
        yield cluster


@pytest.fixture
def node(cluster: SimCluster) -> Node:
    """Its API."""
    return Node(RawKube("sim", cluster.url))


def _version(node: Node) -> str:
    return node.kube.get(PODS).version


def test_throttling_says_when_to_come_back(cluster: SimCluster, node: Node) -> None:
    """429 with Retry-After, as often as asked."""
    cluster.faults.throttle(2, retry_after_s=3)
    answers = [node.kube.get(PODS) for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"
    assert answers[0].reason == "TooManyRequests"
    assert answers[0].body["details"]["retryAfterSeconds"] == 3


def test_a_fault_can_be_for_some_requests_only(cluster: SimCluster, node: Node) -> None:
    """The pattern is that of method and path."""
    cluster.faults.fail(match="POST */pods")
    assert node.kube.get(PODS).status == 200
    assert node.kube.post(PODS, pod("p1")).status == 500
    assert node.kube.post(PODS, pod("p1")).status == 201


def test_failures_have_their_code(cluster: SimCluster, node: Node) -> None:
    """503 as a Status, before anything is done."""
    cluster.faults.fail(code=503, message="etcdserver: leader changed")
    answer = node.kube.post(PODS, pod("p1"))
    assert (answer.status, answer.reason, answer.message) == (503, "ServiceUnavailable", "etcdserver: leader changed")
    assert node.kube.get(f"{PODS}/p1").status == 404


def test_latency(cluster: SimCluster, node: Node) -> None:
    """One request is late, the next is not."""
    cluster.faults.delay(0.5)
    start = time.monotonic()
    assert node.kube.get(PODS).status == 200
    assert time.monotonic() - start >= 0.5


def test_a_lost_reply_is_committed(cluster: SimCluster, node: Node) -> None:
    """The client sees a broken connection, the pod is there."""
    cluster.faults.lose_reply(match="POST *")
    with pytest.raises(ProtocolError):
        node.kube.post(PODS, pod("p1"))
    assert node.kube.get(f"{PODS}/p1").status == 200
    assert node.kube.post(PODS, pod("p1")).status == 409


def test_a_lost_request_is_not_committed(cluster: SimCluster, node: Node) -> None:
    """The client sees the same, the pod is not there."""
    cluster.faults.lose_request(match="POST *")
    with pytest.raises(ProtocolError):
        node.kube.post(PODS, pod("p1"))
    assert node.kube.get(f"{PODS}/p1").status == 404


def test_watches_can_be_dropped(cluster: SimCluster, node: Node) -> None:
    """The stream breaks; other connections live on; the next watch goes on from the last version."""
    version = _version(node)
    watch = node.kube.watch(f"{PODS}?resourceVersion={version}", 30)
    events = iter(watch)
    node.create(behaving("p1", "endless"))
    assert next(events)["type"] == "ADDED"
    assert wait_until(cluster.drop_watches) == 1
    with pytest.raises(ProtocolError):
        list(events)
    assert node.kube.get(PODS).status == 200
    assert ("ADDED", "p1") in brief(node.kube.watch(f"{PODS}?resourceVersion={version}", 5).until(len))


def test_watches_can_hang(cluster: SimCluster, node: Node) -> None:
    """A hanging watch sends nothing, not even its end; requests are answered; then all comes at once."""
    watch = node.kube.watch(f"{PODS}?resourceVersion={_version(node)}", 1)
    cluster.faults.hang_watches()
    node.kube.post(PODS, pod("p1", schedulerName="none"))
    seen: list[Any] = []
    reader = threading.Thread(target=lambda: seen.extend(watch.rest()))
    reader.start()
    reader.join(2.0)
    assert (seen, reader.is_alive()) == ([], True)
    cluster.faults.resume()
    reader.join(5.0)
    assert brief(seen) == [("ADDED", "p1")]


def test_the_server_can_stall(cluster: SimCluster, node: Node) -> None:
    """Connections are accepted and not answered, as by a stopped process; `/_sim/` still answers."""
    cluster.faults.stall()
    with pytest.raises(ReadTimeoutError):
        urllib3.request("GET", cluster.url + PODS, timeout=0.5, retries=False)
    assert urllib3.request("POST", f"{cluster.url}/_sim/faults/resume").status == 200
    assert node.kube.get(PODS).status == 200


def test_the_server_can_go_down_and_come_up(cluster: SimCluster, node: Node) -> None:
    """Connections are refused and cut; afterwards the same port serves the same objects."""
    node.create(behaving("p1", "endless"))
    url = cluster.url
    watch = node.kube.watch(f"{PODS}?resourceVersion={_version(node)}&fieldSelector=metadata.name%3Dnone", 30)
    cluster.go_down()
    with pytest.raises(ProtocolError):
        watch.rest()
    wait_until(lambda: _is_refused(url), what="connections to be refused")
    cluster.come_up()
    wait_until(lambda: not _is_refused(url), what="connections to be accepted")
    assert cluster.url == url
    assert node.kube.get(f"{PODS}/p1").status == 200


def test_the_server_can_go_down_for_a_while(cluster: SimCluster) -> None:
    """It comes back by itself."""
    cluster.go_down(for_s=0.5)
    wait_until(lambda: _is_refused(cluster.url), what="connections to be refused")
    wait_until(lambda: not _is_refused(cluster.url), what="connections to be accepted")


def _is_refused(url: str) -> bool:
    try:
        urllib3.request("GET", f"{url}/readyz", timeout=2, retries=False)
    except NewConnectionError:
        return True
    except HTTPError:
        return False
    return False


def test_a_pod_can_be_killed(cluster: SimCluster, node: Node) -> None:
    """Its container ends with the given code."""
    node.create(behaving("p1", "endless"))
    node.until_phase("p1", "Running")
    cluster.kill_pod("p1", exit_code=9)
    assert state(node.until_phase("p1", "Failed"))["terminated"]["exitCode"] == 9


def test_a_pod_can_be_evicted(cluster: SimCluster, node: Node) -> None:
    """The pod fails as a whole with the kubelet's reason and an event."""
    node.create(behaving("p1", "endless"))
    node.until_phase("p1", "Running")
    cluster.evict_pod("p1")
    status = node.until_phase("p1", "Failed")["status"]
    assert status["reason"] == "Evicted"
    assert "low on resource" in status["message"]
    assert "Evicted" in node.event_reasons("p1")


def _lose_node(cluster: SimCluster, node: Node) -> None:
    cluster.lose_node()
    path = "/api/v1/nodes/sim-node"
    wait_until(lambda: conditions(node.kube.get(path).body)["Ready"] == "Unknown", what="the node to be Unknown")


def test_a_node_can_be_lost_and_come_back(cluster: SimCluster, node: Node) -> None:
    """Nothing moves, the node is Unknown and takes no pods; afterwards what was due happens."""
    node.create(behaving("p1", "ok"))
    node.until_phase("p1", "Running")
    _lose_node(cluster, node)
    assert conditions(node.kube.get(f"{PODS}/p1").body)["Ready"] == "False"
    node.create(behaving("p2", "quick"))
    refused = node.follow("p2", lambda pod: conditions(pod).get("PodScheduled") == "False")[-1]
    assert "that the pod didn't tolerate" in refused["status"]["conditions"][0]["message"]
    assert node.kube.get(f"{PODS}/p1").body["status"]["phase"] == "Running"
    cluster.return_node()
    node.until_phase("p1", "Succeeded")
    node.until_phase("p2", "Succeeded")


def test_a_deletion_waits_for_a_lost_node(cluster: SimCluster, node: Node) -> None:
    """The pod stays Terminating until the kubelet is back."""
    node.create(behaving("p1", "handles"))
    node.until_phase("p1", "Running")
    _lose_node(cluster, node)
    node.kube.delete(f"{PODS}/p1", {"gracePeriodSeconds": 1})
    node.follow("p1", lambda pod: bool(pod["metadata"].get("deletionTimestamp")))
    assert node.kube.get(f"{PODS}/p1").status == 200
    cluster.return_node()
    wait_until(lambda: node.kube.get(f"{PODS}/p1").status == 404, what="the pod to go")


def test_a_node_that_stays_lost_loses_its_pods(cluster: SimCluster, node: Node) -> None:
    """They are marked for deletion and stay; a node that is back runs the others on, Ready again."""
    node.create(behaving("p1", "handles"))
    node.until_phase("p1", "Running")
    cluster.lose_node(evict_after_s=0.2)
    node.follow("p1", lambda pod: bool(pod["metadata"].get("deletionTimestamp")))
    cluster.return_node()
    wait_until(lambda: node.kube.get(f"{PODS}/p1").status == 404, what="the pod to go")
    node.create(behaving("p2", "endless"))
    node.until_phase("p2", "Running")
    _lose_node(cluster, node)
    cluster.return_node()
    wait_until(lambda: conditions(node.kube.get(f"{PODS}/p2").body)["Ready"] == "True", what="the pod to be Ready")


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_web_pages_are_kept_out(cluster: SimCluster, headers: dict[str, str]) -> None:
    """A page in a browser reaches loopback as well; it is refused, also on the private paths."""
    for path in (PODS, "/_sim/compact"):
        answer = urllib3.request("POST", cluster.url + path, headers=headers, body=b"")
        assert (answer.status, answer.json()["reason"]) == (403, "Forbidden")


def test_faults_over_http(cluster: SimCluster, node: Node) -> None:
    """The private paths call the same methods; they say what they do not understand."""

    def ask(path: str, body: object = None) -> tuple[int, Any]:
        answer = node.kube.post(f"/_sim/{path}", body)
        return answer.status, answer.body

    assert ask("faults/throttle", {"times": 1, "retry_after_s": 7})[0] == 200
    assert node.kube.get(PODS).headers["Retry-After"] == "7"
    assert ask("compact")[1]["result"] == cluster.store.version
    assert ask("counts")[1]["result"]["GET"] >= 1
    assert ask("faults/throttle", {"often": 1})[0] == 400
    assert ask("faults/explode")[0] == 404
    assert ask("stop")[0] == 404
    node.create(behaving("p1", "endless"))
    node.until_phase("p1", "Running")
    assert ask("kill_pod", {"name": "p1"})[0] == 200
    node.until_phase("p1", "Failed")
    assert ask("kill_pod", {"name": "nope"})[0] == 404


def test_faults_can_be_cleared(cluster: SimCluster, node: Node) -> None:
    """Nothing of them is left."""
    cluster.faults.throttle(100)
    cluster.faults.stall()
    cluster.faults.clear()
    assert node.kube.get(PODS).status == 200


def test_pods_publish_while_they_run() -> None:
    """Once after a while, and again and again until the end; the caller learns which pod."""
    heard: list[tuple[str, Any, dict[str, str], str]] = []

    def hear(name: str, value: Any, meta: Any, pod: Any) -> None:
        heard.append((name, value, dict(meta), pod["metadata"]["name"]))

    once = Publication("upload", "file:///a.jpg", {"filename": "a.jpg"}, after_s=0.1)
    often = Publication("env.count", 3, every_s=0.2)
    scenario = Scenario((Outcome(run_s=0.7, publish=(once, often)),))
    with SimCluster(scenario, publish=hear) as cluster:
        node = Node(RawKube("sim", cluster.url))
        node.create(behaving("p1", "ok"))
        node.until_phase("p1", "Succeeded")
    assert [entry for entry in heard if entry[0] == "upload"] == [
        ("upload", "file:///a.jpg", {"filename": "a.jpg"}, "p1")
    ]
    assert len([entry for entry in heard if entry[0] == "env.count"]) == 4


def test_a_publisher_that_breaks_ends_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A defect of the caller is printed; the cluster goes on with other pods."""

    def break_down(*_: Any) -> None:
        raise ValueError("defect of the caller")

    scenario = Scenario((Outcome(plugin="ok", publish=(Publication("x"),)), Outcome(run_s=0.1)))
    with SimCluster(scenario, publish=break_down) as cluster:
        node = Node(RawKube("sim", cluster.url))
        node.create(behaving("p1", "ok"))
        node.until_phase("p1", "Running")
        node.create(behaving("p2", "quick"))
        node.until_phase("p2", "Succeeded")
    assert "defect of the caller" in capfd.readouterr().err


def test_runs_can_differ() -> None:
    """A list of exit codes is used up run by run; the last one repeats."""
    with SimCluster(Scenario((Outcome(run_s=0.0, exit_code=(1, 0)),))) as cluster:
        node = Node(RawKube("sim", cluster.url))
        phases = []
        for name in ("p1", "p2", "p3"):
            node.create(behaving(name, "ok"))
            phases.append(node.until_phase(name, "Succeeded", "Failed")["status"]["phase"])
    assert phases == ["Failed", "Succeeded", "Succeeded"]


def test_room_is_given_again() -> None:
    """A pod that finds no room is placed when another one ends."""
    shape = replace(NodeShape(), capacity={"cpu": "1", "memory": "1Gi", "pods": "10", "nvidia.com/gpu": "1"})
    gpu = {"container": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}}
    with SimCluster(Scenario((Outcome(run_s=0.5),), shape)) as cluster:
        node = Node(RawKube("sim", cluster.url))
        for name in ("p1", "p2"):
            node.create(behaving(name, "ok", **gpu))
        refused = node.follow("p2", lambda pod: conditions(pod).get("PodScheduled") == "False")[-1]
        assert "Insufficient nvidia.com/gpu" in refused["status"]["conditions"][0]["message"]
        node.until_phase("p2", "Succeeded")


def test_a_service_account_is_needed(cluster: SimCluster, node: Node) -> None:
    """403 names the account, as where a controller manager runs."""
    answer = node.kube.post(PODS, pod("p1", serviceAccountName="nobody"))
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert answer.message == (
        'pods "p1" is forbidden: error looking up service account ses/nobody: serviceaccount "nobody" not found'
    )
    given = node.kube.post(PODS, pod("p1")).body["spec"]
    assert given["serviceAccountName"] == "default"


def test_stop_leaves_no_thread() -> None:
    """Also with a watch open, whose client learns of the end."""

    def read() -> None:
        with contextlib.suppress(ProtocolError):
            watch.rest()

    before = set(threading.enumerate())
    with SimCluster(SCENARIO) as cluster:
        watch = RawKube("sim", cluster.url).watch(PODS, 60)
        assert watch.status == 200
        reader = threading.Thread(target=read)
        reader.start()
    wait_until(lambda: not set(threading.enumerate()) - before - {reader}, what="threads to end")
    reader.join(5.0)
    assert not reader.is_alive()


def test_a_left_watch_is_noticed(cluster: SimCluster, node: Node) -> None:
    """A client that goes away without a word frees its thread within seconds."""
    before = set(threading.enumerate())
    watch = node.kube.watch(f"{PODS}?resourceVersion={_version(node)}", 60)
    assert set(threading.enumerate()) - before
    watch.close()
    node.kube.pool.clear()
    wait_until(lambda: not set(threading.enumerate()) - before, what="the connection's thread to end")
