"""Pods created, deleted and read, on the embedded cluster and a real API server."""

from __future__ import annotations

import dataclasses

import pytest

from edgesched.adapters.kube import KubeApi, KubePods
from edgesched.core.model import Plugin, PluginSpec
from edgesched.core.plan.effects import DeletePod, FetchLog
from edgesched.errors import KubeRefusedError, KubeUnavailableError
from tests.kube.adapter.runs import SES, SETTINGS, launch
from tests.kube.adapter.worlds import World
from tests.waiting import wait_until


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
