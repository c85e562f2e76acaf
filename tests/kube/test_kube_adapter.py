"""The Kubernetes adapter against the embedded cluster and a real API server, on a wire that can be cut."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edgesched.adapters.kube import KubeApi, KubePods, KubeWatch, WatchTuning
from edgesched.core.model import Plugin, PluginSpec, PodOrder
from edgesched.core.plan.effects import DeletePod, FetchLog, LaunchPod
from edgesched.core.plan.events import PodEventObserved, PodObserved, PodsListed
from edgesched.core.pods import PodSettings, instance_name, pod_name
from edgesched.errors import KubeRefusedError, KubeUnavailableError
from tests.kube.worlds import Collector, World, api_world, sim_world
from tests.unit.kube.script import Notices, running
from tests.waiting import wait_until

SETTINGS = PodSettings(vsn="W023", priority_class="wes-app-priority")
TUNING = WatchTuning(timeout_s=5, silence_s=7.0, pause_first_s=0.1, pause_longest_s=1.0)
SES = "/api/v1/namespaces/ses"


@pytest.fixture(scope="module", params=["sim", pytest.param("api", marks=pytest.mark.apiserver)])
def shared_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run a cluster for all tests of this file."""
    start = {"sim": sim_world, "api": api_world}[request.param]
    with start(tmp_path_factory.mktemp(request.param)) as world:
        if world.kind == "api":
            world.call("POST", "/api/v1/namespaces", {"metadata": {"name": "ses"}})
            priority = {"metadata": {"name": "wes-app-priority"}, "value": 1000, "preemptionPolicy": "Never"}
            world.call("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", priority)
        yield world


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """Give each test an empty namespace."""
    shared_world.clear()
    yield shared_world
    shared_world.wire.speak()


@pytest.fixture
def api(world: World) -> Iterator[KubeApi]:
    """Connect through the wire."""
    connection = KubeApi.connect(world.target(), (2.0, 2.0))
    yield connection
    connection.close()


@pytest.fixture
def pods(api: KubeApi) -> KubePods:
    """Return the runner of pods."""
    return KubePods(api, SETTINGS)


def launch(key: str, name: str = "sampler", **changes: Any) -> LaunchPod:
    """Make the effect that launches the run `key`."""
    order = PodOrder(
        run_id=f"run-{key}",
        pod_name=pod_name(name, key),
        instance=instance_name(name, key),
        job_id="56",
        goal_id="g-1",
        upload_job=f"{name}-56",
        plugin=Plugin(name, PluginSpec("registry.sagecontinuum.org/theone/imagesampler:0.3.0")),
    )
    return LaunchPod(f"launch-{key}", dataclasses.replace(order, **changes))


class Followed:
    """A watch and what it told."""

    def __init__(self, api: KubeApi, tuning: WatchTuning = TUNING) -> None:
        self.events = Collector()
        self.notices = Notices()
        self.source = KubeWatch(api, namespace="ses", emit=self.events, notice=self.notices, tuning=tuning)

    def phases(self) -> dict[str, str]:
        """Return the pods as a planner knows them now: name to phase."""
        known: dict[str, str] = {}
        for event in self.events.events:
            if isinstance(event, PodsListed):
                known = {view.name: view.phase for view in event.pods}
            elif isinstance(event, PodObserved) and event.gone:
                known.pop(event.pod.name, None)
            elif isinstance(event, PodObserved):
                known[event.pod.name] = event.pod.phase
        return known


# --- pods ---


def test_a_launched_pod_is_the_manifest_and_is_seen(world: World, pods: KubePods) -> None:
    """A launch makes one pod with our labels, and its view names the run."""
    effect = launch("a")
    view = pods.launch(effect)
    assert (view.name, view.run_id, view.agent, view.phase) == (effect.order.pod_name, "run-a", "W023", "Pending")
    [pod] = world.items(f"{SES}/pods")
    assert pod["metadata"]["uid"] == view.uid
    assert pod["metadata"]["labels"]["sagecontinuum.org/plugin-task"] == "sampler"
    assert pod["spec"]["priorityClassName"] == "wes-app-priority"


def test_a_repeated_launch_is_the_same_pod(world: World, pods: KubePods) -> None:
    """Creating the pod of a run again answers with the existing one."""
    first = pods.launch(launch("a"))
    assert pods.launch(launch("a")).uid == first.uid
    assert len(world.items(f"{SES}/pods")) == 1


def test_a_lost_answer_makes_no_second_pod(world: World, pods: KubePods) -> None:
    """When the connection ends before the answer, the repeat finds the pod that was made."""
    pods.nodes()  # opens the connection, so that what is swallowed is the answer and not the handshake
    world.wire.swallow()
    with pytest.raises(KubeUnavailableError):
        pods.launch(launch("a"))
    [pod] = wait_until(lambda: world.items(f"{SES}/pods"))
    assert pods.launch(launch("a")).uid == pod["metadata"]["uid"]
    assert len(world.items(f"{SES}/pods")) == 1


def test_somebody_elses_pod_is_left_alone(world: World, pods: KubePods) -> None:
    """A pod of another run, or of the reference, under the same name is a refusal and survives."""
    view = pods.launch(launch("a"))
    with pytest.raises(KubeRefusedError, match="belongs to run run-a") as caught:
        pods.launch(launch("a", run_id="run-b"))
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")
    container = {"name": "c", "image": "x/y:1"}
    world.call("POST", f"{SES}/pods", {"metadata": {"name": "theirs-56"}, "spec": {"containers": [container]}})
    with pytest.raises(KubeRefusedError, match="belongs to another scheduler") as caught:
        pods.launch(launch("b", pod_name="theirs-56"))
    assert caught.value.reason == "AlreadyExists"
    assert {pod["metadata"]["name"] for pod in world.items(f"{SES}/pods")} == {view.name, "theirs-56"}


def test_a_plugin_that_no_pod_can_be_made_of_is_refused_without_a_request(pods: KubePods) -> None:
    """A bad plugin becomes a refusal with the field's path."""
    bad = Plugin("sampler", PluginSpec("http://not an image"))
    with pytest.raises(KubeRefusedError, match=r"pluginSpec\.image") as caught:
        pods.launch(launch("a", plugin=bad))
    assert caught.value.status == 0


def test_a_missing_priority_class_names_the_remedy(api: KubeApi, world: World) -> None:
    """The refusal of a pod for want of a cluster object says what to make or set."""
    runner = KubePods(api, dataclasses.replace(SETTINGS, priority_class="nobody-made-it"))
    with pytest.raises(KubeRefusedError, match=r"pods\.priority_class") as caught:
        runner.launch(launch("a"))
    assert caught.value.status == 403


def test_a_missing_namespace_names_the_remedy(api: KubeApi, world: World) -> None:
    """The refusal of a pod for want of its namespace says how to make it."""
    runner = KubePods(api, dataclasses.replace(SETTINGS, namespace="nowhere"))
    with pytest.raises(KubeRefusedError, match="kubectl apply -k") as caught:
        runner.launch(launch("a"))
    assert caught.value.status == 404


def test_delete_takes_only_the_pod_that_is_meant(world: World, pods: KubePods) -> None:
    """A delete with another uid does nothing, one with the right uid ends the pod, a repeat is done already."""
    view = pods.launch(launch("a"))
    pods.delete(DeletePod("d", view.name, uid="00000000-0000-0000-0000-000000000000"))
    assert len(world.items(f"{SES}/pods")) == 1
    pods.delete(DeletePod("d", view.name, uid=view.uid, grace_s=1))
    assert world.items(f"{SES}/pods") == []
    pods.delete(DeletePod("d", view.name, uid=view.uid))
    pods.delete(DeletePod("d", view.name))


def test_a_bound_pod_gets_its_grace(world: World, pods: KubePods) -> None:
    """A pod on a node stays with a deletion time until its kubelet lets go of it."""
    view = pods.launch(launch("a"))
    binding = {"metadata": {"name": view.name}, "target": {"kind": "Node", "name": "elsewhere"}}
    world.call("POST", f"{SES}/pods/{view.name}/binding", binding)
    pods.delete(DeletePod("d", view.name, uid=view.uid, grace_s=17))
    [pod] = world.items(f"{SES}/pods")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 17
    world.call("DELETE", f"{SES}/pods/{view.name}", {"gracePeriodSeconds": 0})


def test_no_log_is_no_error(pods: KubePods) -> None:
    """A pod that has not started, or is gone, has an empty log."""
    view = pods.launch(launch("a"))
    assert pods.log(FetchLog("l", view.name, "sampler")) == ()
    assert pods.log(FetchLog("l", "gone-0123456789", "sampler")) == ()


def test_nodes_can_be_read(world: World, pods: KubePods) -> None:
    """What nodes can hold is read for policies."""
    node = {
        "metadata": {"name": "sb-core", "labels": {"zone": "core"}},
        "status": {"allocatable": {"cpu": "6", "memory": "8Gi"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    world.call("POST", "/api/v1/nodes", {"metadata": node["metadata"]})
    world.call("PATCH", "/api/v1/nodes/sb-core/status", {"status": node["status"]}, "application/merge-patch+json")
    [view] = [each for each in pods.nodes() if each.name == "sb-core"]
    world.call("DELETE", "/api/v1/nodes/sb-core")
    assert view.labels["zone"] == "core"
    assert (view.allocatable["cpu"], view.allocatable["memory"], view.usable) == (6000, 8 * 2**30, True)


# --- following ---


def test_every_change_is_followed(world: World, api: KubeApi, pods: KubePods) -> None:
    """A pod's creation, running, end and deletion are told in order, each once."""
    followed = Followed(api)
    with running(followed.source):
        wait_until(lambda: followed.source.connected)
        name = pods.launch(launch("a")).name
        for phase in ("Running", "Succeeded"):
            world.set_status(name, {"phase": phase})
        pods.delete(DeletePod("d", name))
        wait_until(lambda: any(event.gone for event in followed.events.of(PodObserved)))
    told = [(event.pod.phase, event.gone) for event in followed.events.of(PodObserved)]
    phases = [phase for phase, gone in told if not gone]
    assert sorted(set(phases), key=phases.index) == ["Pending", "Running", "Succeeded"]
    assert [gone for _, gone in told].count(True) == 1
    assert told[-1] == ("Succeeded", True)


def test_only_plugin_pods_are_followed(world: World, api: KubeApi, pods: KubePods) -> None:
    """Pods without the label of a plugin are nobody's business."""
    followed = Followed(api)
    container = {"name": "c", "image": "x/y:1"}
    with running(followed.source):
        wait_until(lambda: followed.source.connected)
        world.call("POST", f"{SES}/pods", {"metadata": {"name": "other"}, "spec": {"containers": [container]}})
        labels = {"sagecontinuum.org/plugin-task": "counter"}
        world.call(
            "POST",
            f"{SES}/pods",
            {"metadata": {"name": "theirs-1", "labels": labels}, "spec": {"containers": [container]}},
        )
        wait_until(lambda: "theirs-1" in followed.phases())
    assert set(followed.phases()) == {"theirs-1"}


def test_nothing_is_lost_over_cut_connections(world: World, api: KubeApi, pods: KubePods) -> None:
    """Pods made, changed and deleted while connections are cut again and again are all known in the end."""
    runner = KubePods(KubeApi.connect(dataclasses.replace(world.target())), SETTINGS)
    followed = Followed(api)
    with running(followed.source):
        wait_until(lambda: followed.source.connected)
        for number in range(12):
            if number % 3 == 0:
                world.wire.cut()
            name = _again(lambda number=number: runner.launch(launch(str(number)))).name
            if number % 2:
                world.set_status(name, {"phase": "Running"})
            if number % 4 == 0:
                world.call("DELETE", f"{SES}/pods/{name}", {"gracePeriodSeconds": 0})
        wanted = {pod["metadata"]["name"]: pod["status"]["phase"] for pod in world.items(f"{SES}/pods")}
        assert len(wanted) == 9
        wait_until(lambda: followed.phases() == wanted, what="the same pods as the server has")
    uids = [
        (event.pod.uid, event.pod.phase, event.pod.deleting, event.gone) for event in followed.events.of(PodObserved)
    ]
    assert len(uids) == len(set(uids)), "a change was told twice"


def _again(call: Any) -> Any:
    """Repeat a request while the wire is cut under it, as the workers of the agent do."""

    def attempt() -> Any:
        try:
            return call()
        except KubeUnavailableError:
            return None

    return wait_until(attempt)


def test_a_silent_peer_is_noticed(world: World, api: KubeApi) -> None:
    """A server that keeps connections open and says nothing is found, and followed again when it speaks."""
    followed = Followed(api, dataclasses.replace(TUNING, timeout_s=1, silence_s=2.0))
    with running(followed.source):
        wait_until(lambda: followed.source.connected)
        world.wire.silence()
        wait_until(lambda: not followed.source.connected, 15, what="the silence to be noticed")
        assert followed.notices.named("kube.watch.lost")
        world.call(
            "POST", f"{SES}/pods",
            {
                "metadata": {"name": "meanwhile", "labels": {"sagecontinuum.org/plugin-task": "p"}},
                "spec": {"containers": [{"name": "c", "image": "x/y:1"}]},
            },
        )  # fmt: skip
        world.wire.speak()
        wait_until(lambda: "meanwhile" in followed.phases(), 15)
        wait_until(lambda: followed.notices.named("kube.connected")[1:])


def test_an_api_that_is_away_costs_little_and_heals(world: World, api: KubeApi, pods: KubePods) -> None:
    """While connections are refused there are few attempts and little CPU; afterwards all is known again."""
    followed = Followed(api, WatchTuning())
    view = pods.launch(launch("a"))
    away_s = 6.0
    with running(followed.source):
        wait_until(lambda: view.name in followed.phases())
        world.wire.pull()
        wait_until(lambda: not followed.source.connected)
        world.call("DELETE", f"{SES}/pods/{view.name}", {"gracePeriodSeconds": 0})
        began_s, cpu_s, losses = time.monotonic(), time.process_time(), 0
        while time.monotonic() - began_s < away_s:
            with pytest.raises(KubeUnavailableError):
                pods.nodes()
            losses += 1
            wait_until(lambda count=losses: time.monotonic() - began_s > 0.5 * count)
        cpu_s = time.process_time() - cpu_s
        print(f"CPU in {away_s:.0f} s without an API: {cpu_s:.3f} s, with {losses} failed requests beside the watch")
        assert cpu_s < away_s / 60 * 2, "more than 2 CPU seconds a minute, the clock of a busy machine allowed for"
        world.wire.plug()
        wait_until(lambda: followed.phases() == {} and followed.source.connected)
    assert len(followed.notices.named("kube.watch.lost")) == 1


def test_kubernetes_events_are_told_once(world: World, api: KubeApi) -> None:
    """An Event about a pod is told when it comes and when it comes again, not when the connection does."""

    def tell(reason: str, count: int = 1) -> None:
        world.call(
            "POST", f"{SES}/events",
            {
                "metadata": {"name": f"p.{reason.lower()}.{count}"},
                "involvedObject": {"kind": "Pod", "name": "p", "uid": "u-1", "namespace": "ses"},
                "reason": reason, "message": f"{reason}!", "type": "Warning", "count": count,
            },
        )  # fmt: skip

    tell("Before")
    followed = Followed(api)
    with running(followed.source):
        wait_until(lambda: len([loop for loop in followed.source._loops if loop.connected]) == 2)
        tell("FailedMount")
        wait_until(lambda: len(followed.events.of(PodEventObserved)) == 1)
        world.wire.pull()
        tell("BackOff")
        world.wire.plug()
        wait_until(lambda: len(followed.events.of(PodEventObserved)) == 2)
        tell("Killing")
        wait_until(lambda: len(followed.events.of(PodEventObserved)) == 3)
    assert followed.events.of(PodEventObserved) == [
        PodEventObserved("p", "u-1", reason, f"{reason}!", warning=True)
        for reason in ("FailedMount", "BackOff", "Killing")
    ]
