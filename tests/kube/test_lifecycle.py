"""Contract of the embedded kubelet and a real one: what becomes of pods, as the API shows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgesched.simcluster import SimCluster
from tests.kube.behaviours import SCENARIO, Node, behaving, conditions, state
from tests.kube.rawkube import Json, RawKube
from tests.waiting import wait_until


@pytest.fixture(scope="session")
def _sim_node() -> Iterator[Node]:
    with SimCluster(SCENARIO) as cluster:
        yield Node(RawKube("sim", cluster.url))


@pytest.fixture(params=["sim", pytest.param("node", marks=pytest.mark.node)])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """Each of the two kubelets."""
    made: Node = (
        request.getfixturevalue("_sim_node")
        if request.param == "sim"
        else Node(request.getfixturevalue("real_node").raw())
    )
    yield made
    made.clear()


def _ended(pod: Json) -> bool:
    return pod["status"]["phase"] in {"Succeeded", "Failed"}


def test_a_plugin_runs_and_succeeds(node: Node) -> None:
    """Pending, Running, Succeeded, with times, conditions, addresses and events."""
    node.create(behaving("p", "ok"))
    states = node.follow("p", _ended)
    phases = [pod["status"]["phase"] for pod in states]
    assert sorted(set(phases), key=phases.index) == ["Pending", "Running", "Succeeded"]
    running = next(pod for pod in states if pod["status"]["phase"] == "Running")
    assert set(state(running)) == {"running"}
    assert set(conditions(running).values()) == {"True"}
    assert running["status"]["podIP"]
    assert running["status"]["startTime"]
    last = states[-1]
    ended = state(last)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ended["startedAt"] < ended["finishedAt"]
    assert conditions(last) == {
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }
    assert {"Scheduled", "Pulled", "Created", "Started"} <= node.event_reasons("p")


def test_states_before_the_start(node: Node) -> None:
    """Unplaced, placed, waiting: in this order, each with what the next one builds on."""
    node.create(behaving("p", "ok"))
    states = node.follow("p", lambda pod: bool(state(pod)))
    assert "nodeName" not in states[0]["spec"]
    placed = next(pod for pod in states if pod["spec"].get("nodeName"))
    assert conditions(placed)["PodScheduled"] == "True"
    waiting = states[-1]
    assert state(waiting) == {"waiting": {"reason": "ContainerCreating"}}
    assert waiting["status"]["containerStatuses"][0]["ready"] is False
    assert conditions(waiting)["Ready"] == "False"


def test_a_plugin_fails_with_its_exit_code(node: Node) -> None:
    """Failed, with the code and the word Error."""
    node.create(behaving("p", "seven"))
    pod = node.until_phase("p", "Succeeded", "Failed")
    assert pod["status"]["phase"] == "Failed"
    ended = state(pod)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")
    assert "reason" not in pod["status"]


def test_an_init_container_runs_first(node: Node) -> None:
    """The plugin waits with PodInitializing; the init container's end is kept."""
    node.create(behaving("p", "ok", init="sleep 0.1"))
    states = node.follow("p", _ended)
    waiting = next(pod for pod in states if state(pod))
    assert state(waiting) == {"waiting": {"reason": "PodInitializing"}}
    assert conditions(waiting)["Initialized"] == "False"
    first = states[-1]["status"]["initContainerStatuses"][0]
    assert (first["state"]["terminated"]["exitCode"], first["ready"]) == (0, True)
    assert states[-1]["status"]["phase"] == "Succeeded"


def test_a_failing_init_container_fails_the_pod(node: Node) -> None:
    """The plugin never starts."""
    node.create(behaving("p", "bad-start", init="exit 3"))
    pod = node.until_phase("p", "Succeeded", "Failed")
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert state(pod)["waiting"]["reason"] == "PodInitializing"
    assert node.kube.get(f"{node.space}/pods/p/log").status == 400


def test_an_image_that_cannot_be_pulled(node: Node) -> None:
    """ErrImagePull, then ImagePullBackOff, still Pending, and the events say why."""
    node.create(behaving("p", "missing"))
    first = node.until_waiting("p", "ErrImagePull")
    assert "no-such" in state(first)["waiting"]["message"]
    second = node.until_waiting("p", "ImagePullBackOff")
    assert state(second)["waiting"]["message"].startswith("Back-off pulling image")
    assert second["status"]["phase"] == "Pending"
    assert {"Pulling", "Failed", "BackOff"} <= node.event_reasons("p")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"nodeSelector": {"zone": "mars"}}, "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity."),
        (
            {"container": {"resources": {"requests": {"cpu": "640"}}}},
            "0/1 nodes are available: 1 Insufficient cpu.",
        ),
        (
            {"container": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}},
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        ),
    ],
    ids=["selector", "cpu", "gpu"],
)
def test_a_pod_without_a_place(node: Node, spec: Json, why: str) -> None:
    """PodScheduled is False with the scheduler's own words."""
    node.create(behaving("p", "ok", **spec))
    pod = node.follow("p", lambda pod: conditions(pod).get("PodScheduled") == "False")[-1]
    condition = pod["status"]["conditions"][0]
    assert (condition["reason"], condition["message"]) == ("Unschedulable", why)
    assert pod["status"]["phase"] == "Pending"
    wait_until(lambda: "FailedScheduling" in node.event_reasons("p"), what="the scheduler's event")


def test_a_deadline_fails_the_pod(node: Node) -> None:
    """The pod fails as a whole; its container's state is left as it was."""
    node.create(behaving("p", "endless", activeDeadlineSeconds=2, terminationGracePeriodSeconds=1))
    pod = node.until_phase("p", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert pod["status"]["message"] == "Pod was active on the node longer than the specified deadline"
    assert "terminated" not in state(pod)
    wait_until(lambda: "DeadlineExceeded" in node.event_reasons("p"), what="the kubelet's event")


@pytest.mark.parametrize(("behaviour", "code"), [("handles", 5), ("ignores", 137)])
def test_a_running_pod_is_deleted_with_grace(node: Node, behaviour: str, code: int) -> None:
    """Marked, ended with its own code or killed after the grace, then gone."""
    node.create(behaving("p", behaviour))
    node.until_phase("p", "Running")
    watch = node.watch("p")
    node.kube.delete(f"{node.space}/pods/p", {"gracePeriodSeconds": 2})
    events = watch.until(lambda seen: seen[-1]["type"] == "DELETED")
    marked = next(event["object"] for event in events if event["object"]["metadata"].get("deletionTimestamp"))
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 2
    assert set(state(marked)) == {"running"}
    ended = [event["object"] for event in events if "terminated" in state(event["object"])]
    assert state(ended[0])["terminated"]["exitCode"] == code
    assert ended[0]["status"]["phase"] == "Failed"
    assert "Killing" in node.event_reasons("p")


def test_a_finished_pod_is_deleted_at_once(node: Node) -> None:
    """The answer to the delete is its end."""
    node.create(behaving("p", "quick"))
    node.until_phase("p", "Succeeded")
    node.kube.delete(f"{node.space}/pods/p")
    assert node.kube.get(f"{node.space}/pods/p").status == 404


@pytest.mark.parametrize(
    ("kind", "reference", "made"),
    [
        ("secrets", {"secretKeyRef": {"name": "later", "key": "k"}}, {"data": {"k": "eA=="}}),
        ("configmaps", {"configMapKeyRef": {"name": "later", "key": "k"}}, {"data": {"k": "x"}}),
    ],
)
def test_a_missing_value_holds_the_container(node: Node, kind: str, reference: Json, made: Json) -> None:
    """CreateContainerConfigError names what is missing; once it is there, the pod runs."""
    node.create(behaving("p", "quick", container={"env": [{"name": "A", "valueFrom": reference}]}))
    pod = node.until_waiting("p", "CreateContainerConfigError")
    assert state(pod)["waiting"]["message"] == f'{kind.removesuffix("s")} "later" not found'
    assert "Failed" in node.event_reasons("p")
    node.kube.post(f"{node.space}/{kind}", {"metadata": {"name": "later"}, **made})
    assert node.until_phase("p", "Succeeded")["status"]["phase"] == "Succeeded"
    node.kube.delete(f"{node.space}/{kind}/later")


def test_a_missing_key_holds_the_container(node: Node) -> None:
    """The message names the key."""
    node.kube.post(f"{node.space}/secrets", {"metadata": {"name": "half"}, "data": {"other": "eA=="}})
    reference = {"secretKeyRef": {"name": "half", "key": "k"}}
    node.create(behaving("p", "quick", container={"env": [{"name": "A", "valueFrom": reference}]}))
    pod = node.until_waiting("p", "CreateContainerConfigError")
    assert state(pod)["waiting"]["message"] == "couldn't find key k in Secret ses/half"
    node.kube.delete(f"{node.space}/secrets/half")


def test_a_missing_volume_holds_the_pod(node: Node) -> None:
    """FailedMount is an event only; once the config map is there, the pod runs."""
    volumes = [{"name": "v", "configMap": {"name": "later"}}]
    node.create(behaving("p", "quick", volumes=volumes, container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))
    wait_until(lambda: "FailedMount" in node.event_reasons("p"), 20, what="the mount to fail")
    pod = node.kube.get(f"{node.space}/pods/p").body
    assert state(pod) == {"waiting": {"reason": "ContainerCreating"}}
    node.kube.post(f"{node.space}/configmaps", {"metadata": {"name": "later"}, "data": {"k": "x"}})
    assert node.until_phase("p", "Succeeded")["status"]["phase"] == "Succeeded"
    node.kube.delete(f"{node.space}/configmaps/later")


def test_out_of_memory_fails_the_pod(node: Node) -> None:
    """OOMKilled with exit code 137."""
    node.create(behaving("p", "oom"))
    pod = node.until_phase("p", "Succeeded", "Failed")
    ended = state(pod)["terminated"]
    assert (pod["status"]["phase"], ended["exitCode"], ended["reason"]) == ("Failed", 137, "OOMKilled")


def test_out_of_memory_of_a_child_succeeds(node: Node) -> None:
    """The shell went on, so the pod Succeeded, and the reason still says OOMKilled."""
    node.create(behaving("p", "oom-child"))
    pod = node.until_phase("p", "Succeeded", "Failed")
    ended = state(pod)["terminated"]
    assert (pod["status"]["phase"], ended["exitCode"], ended["reason"]) == ("Succeeded", 0, "OOMKilled")


def test_a_pod_that_is_always_restarted_backs_off(node: Node) -> None:
    """CrashLoopBackOff, with the last end kept; the phase is Running."""
    node.create(behaving("p", "seven", restartPolicy="Always"))
    pod = node.until_waiting("p", "CrashLoopBackOff")
    status = pod["status"]["containerStatuses"][0]
    assert status["restartCount"] >= 1
    assert status["lastState"]["terminated"]["exitCode"] == 7
    assert state(pod)["waiting"]["message"].startswith("back-off 10s restarting failed container=seven pod=p_ses(")
    assert pod["status"]["phase"] == "Running"
    assert "BackOff" in node.event_reasons("p")


def test_logs_can_be_read(node: Node) -> None:
    """All lines, the last ones, the first bytes, with times, and of an init container."""
    node.create(behaving("p", "ok", init="true"))
    node.until_phase("p", "Succeeded")
    assert node.log("p") == "one\ntwo\n"
    assert node.log("p", "tailLines=1") == "two\n"
    assert node.log("p", "tailLines=0") == ""
    assert node.log("p", "limitBytes=2") == "on"
    line = node.log("p", "timestamps=true&tailLines=1")
    assert line.endswith("Z two\n")
    assert line.startswith("20")
    assert node.log("p", "container=first") == ""
    assert node.log("p", "follow=true") == "one\ntwo\n"
