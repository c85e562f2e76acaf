"""Pods and Kubernetes Events followed, on the embedded cluster and a real API server, over a wire that can be cut."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from edgesched.adapters.kube import KubeApi, KubePods, WatchTuning
from edgesched.core.plan.effects import DeletePod
from edgesched.core.plan.events import PodEventObserved, PodObserved
from edgesched.errors import KubeUnavailableError
from tests.kube.adapter.runs import SES, SETTINGS, TUNING, Followed, launch
from tests.kube.adapter.worlds import World
from tests.unit.kube.script import running
from tests.waiting import wait_until


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
    away_s = 4.0
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
