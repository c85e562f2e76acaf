"""The agent on a real node: what users are told of every way in which a plugin and its cluster can go wrong.

One agent lives through all of it. Plugins are launched by measurements over a real Mosquitto, most of them at once, and
each test waits for what is told about its own.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgesched.core.model import NS_PER_S
from tests.e2e.processes import BIN
from tests.kube.node.agents import Agent, Bus, Part, Told, write_job
from tests.kube.realkube import ROOT, VIEWER_TOKEN, RealKube
from tests.waiting import wait_until

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

EAT = "dd if=/dev/zero of=/dev/null bs=64M count=1"
LIMIT = {"resource": {"limit.memory": "20Mi"}}
LOOP = "while true; do sleep 0.1; done"
TICK_S = 20
STORMY = [f"stormy-{number}" for number in range(6)]

PARTS = [
    Part("good", "echo one; sleep 2; echo two"),
    Part("blink", "true"),
    Part("seven", "for i in 1 2 3 4 5; do echo line $i; done; exit 7"),
    Part("eater", f"exec {EAT}", spec=LIMIT),
    Part("parent", f"{EAT}; echo the child is gone; sleep 1", spec=LIMIT),
    Part("polite", f"trap 'echo bye; exit 0' TERM; {LOOP}", parameters=", duration=4s"),
    Part("stubborn", f"trap '' TERM; {LOOP}", parameters=", duration=4s"),
    Part("absent", "true", image="localhost/edgesched/no-such:1"),
    Part("nowhere", "true", spec={"selector": {"zone": "moon"}}),
    Part("keyless", "true", spec={"env": {"KEY": "{secret.no-such.key}"}}),
    Part("victim", f"trap 'exit 5' TERM; {LOOP}"),
    Part("martyr", f"trap '' TERM; {LOOP}"),
    Part("tick", "sleep 1", condition=f"cronjob('tick', '* * * * * */{TICK_S}')"),
    Part("asleep", "sleep 12"),
    Part("late", "echo late"),
    Part("bridge", "sleep 8"),
    Part("due", "echo due"),
    Part("frozen", "sleep 20"),
    Part("thawed", "echo thawed"),
]
STATES = ["queued", "selected", "scheduled", "launched", "initializing", "running", "complete", "failed"]
AT_ONCE = [part.name for part in PARTS[:12]]


@dataclass
class World:
    """The node, the broker and the agent of all tests."""

    kube: RealKube
    bus: Bus
    agent: Agent

    def pod_of(self, plugin: str) -> str:
        """The pod of the plugin's newest run."""
        return str(self.bus.of(plugin, "plugin.scheduled")[-1].fields["k3s_pod_name"])

    def has_pod(self, name: str) -> bool:
        """Whether there is such a pod."""
        return self.kube.raw().get(f"/api/v1/namespaces/ses/pods/{name}").status == 200

    def kubectl(self, *arguments: str) -> None:
        """Do something as an administrator."""
        command = [str(BIN / "kubectl"), "--kubeconfig", str(self.kube.kubeconfig), "-n", "ses", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for uploads."""
    return str(tmp_path_factory.mktemp("uploads"))


@pytest.fixture(scope="module")
def bus() -> Iterator[Bus]:
    """A broker for all tests."""
    made = Bus()
    yield made
    made.close()


@pytest.fixture(scope="module")
def hello(real_node: RealKube, bus: Bus, uploads: str) -> Iterator[Agent]:
    """A second agent, for another node name, with the example's job."""
    with Agent(ROOT / "examples/node/hello.yaml", real_node.kubeconfig, bus, "--pods-upload-root", uploads) as agent:
        yield agent
        assert agent.end() == 0


@pytest.fixture(scope="module")
def world(
    real_node: RealKube, bus: Bus, hello: Agent, uploads: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Start the agent and launch what can go side by side."""
    job = write_job(tmp_path_factory.mktemp("job") / "faults.yaml", PARTS, "W024")
    flags = ["--pods-upload-root", uploads, "--pods-grace-s", "3", "--keep-finished", "20s"]
    flags += ["--image-wait", "12s", "--unschedulable-wait", "40s"]
    with Agent(job, real_node.kubeconfig, bus, *flags, vsn="W024") as agent:
        agent.wait_ready()
        bus.fire(*AT_ONCE)
        yield World(real_node, bus, agent)
        agent.assert_unhurt()
        assert agent.end() == 0


# -- ends of a plugin -------------------------------------------------------------------------------------------------


def _failed(world: World, plugin: str, timeout_s: float = 60) -> dict[str, Any]:
    fields = world.bus.wait(plugin, "plugin.failed", timeout_s).fields
    assert not world.bus.of(plugin, "plugin.complete")
    return fields


def _complete(world: World, plugin: str, timeout_s: float = 60) -> dict[str, Any]:
    fields = world.bus.wait(plugin, "plugin.complete", timeout_s).fields
    assert not world.bus.of(plugin, "plugin.failed")
    return fields


def test_success(world: World) -> None:
    """Completed, with its run time, once each state, in order; a run too short to be seen running is completed too."""
    fields = _complete(world, "good")
    assert fields["ran_s"] >= 2
    assert fields["k3s_pod_node_name"] == "localhost"
    _complete(world, "blink")
    for plugin in ("good", "blink"):
        names = [STATES.index(name.removeprefix("plugin.")) for name in world.bus.names(plugin)]
        # a kubelet with a dozen new pods may report none of the states on the way
        assert names == sorted(set(names))
        assert {STATES.index(each) for each in ("queued", "selected", "scheduled", "launched", "complete")} <= set(
            names
        )


def test_an_exit_code(world: World) -> None:
    """Exit 7 is a failure with the code and the last three lines, and one failure only."""
    failed = _failed(world, "seven")
    assert (failed["return_code"], failed["reason"]) == (7, "Error")
    assert failed["error_log"] == "line 3\nline 4\nline 5"
    assert world.bus.names("seven").count("plugin.failed") == 1


def test_out_of_memory(world: World) -> None:
    """The main process killed for memory is a failure; a child killed while the plugin goes on is told with the end."""
    failed = _failed(world, "eater")
    assert (failed["return_code"], failed["reason"]) == (137, "OOMKilled")
    complete = _complete(world, "parent")
    # a kubelet under load can miss the kernel's word about the child; what it reports is passed on
    assert complete["k3s_pod_status"] == "Succeeded"
    assert complete.get("reason", "OOMKilled") == "OOMKilled"


def test_a_granted_duration(world: World) -> None:
    """At its end the plugin is asked to stop, then made to: both are completed, with the reason, and the pods go."""
    for plugin in ("polite", "stubborn"):
        assert _complete(world, plugin)["reason"] == "duration reached"
        ran_s = (
            world.bus.of(plugin, "plugin.complete")[0].at_ns - world.bus.of(plugin, "plugin.running")[0].at_ns
        ) / 1e9
        assert 1 <= ran_s <= 20, ran_s
        wait_until(lambda plugin=plugin: not world.has_pod(world.pod_of(plugin)), 60)  # type: ignore[misc]


def test_an_image_that_cannot_be_pulled(world: World) -> None:
    """It waits for as long as was set, told once, then the run fails with the kubelet's words and the pod goes."""
    failed = _failed(world, "absent")
    assert failed["reason"] in {"ErrImagePull", "ImagePullBackOff"}
    assert "localhost/edgesched/no-such:1" in failed["message"]
    told_ns = world.bus.of("absent", "plugin.failed")[0].at_ns - world.bus.of("absent", "plugin.scheduled")[0].at_ns
    assert told_ns >= 12 * NS_PER_S
    wait_until(lambda: any("no-such" in each.fields["message"] for each in world.bus.of("absent", "plugin.event")), 60)
    assert len([each for each in world.agent.events("plugin.waiting") if each["plugin"] == "absent"]) == 1
    wait_until(lambda: not world.has_pod(world.pod_of("absent")), 30)


def test_a_secret_that_does_not_exist(world: World) -> None:
    """The kubelet's message names the secret."""
    failed = _failed(world, "keyless")
    assert failed["reason"] == "CreateContainerConfigError"
    assert "no-such" in failed["message"]


def test_deleted_from_outside(world: World) -> None:
    """kubectl delete: a plugin that handles SIGTERM and one that ignores it are told as deleted from external."""
    for plugin in ("victim", "martyr"):
        world.bus.wait(plugin, "plugin.running")
    world.kubectl("delete", "pod", "--grace-period=2", "--wait=false", world.pod_of("victim"), world.pod_of("martyr"))
    for plugin in ("victim", "martyr"):
        assert _failed(world, plugin)["reason"] == "plugin deleted from external"
        assert world.bus.names(plugin).count("plugin.failed") == 1


# -- mishaps of the cluster -------------------------------------------------------------------------------------------


def _pass(seconds: float) -> None:
    """Let time pass with a fault in place."""
    threading.Event().wait(seconds)


def test_the_kubelet_is_stopped(world: World) -> None:
    """30 s without a kubelet: what ran completes, what was due starts afterwards, nothing fails."""
    world.bus.fire("asleep")
    world.bus.wait("asleep", "plugin.running")
    world.kube.sigstop("kubelet")
    try:
        world.bus.fire("late")
        world.bus.wait("late", "plugin.scheduled")
        _pass(30)
        assert not world.bus.of("late", "plugin.running")
        assert not world.bus.of("asleep", "plugin.complete")
    finally:
        world.kube.sigcont("kubelet")
    _complete(world, "asleep")
    _complete(world, "late")
    assert world.bus.names("asleep") == [f"plugin.{state}" for state in STATES[:-1]]
    world.agent.assert_unhurt()


def test_a_pod_that_no_node_takes(world: World) -> None:
    """It fails after the time that was set, with the scheduler's own message."""
    failed = _failed(world, "nowhere", 90)
    assert failed["reason"] == "unschedulable"
    assert "0/1 nodes are available" in failed["message"]
    wait_until(lambda: not world.has_pod(world.pod_of("nowhere")), 30)


def _during_an_outage(world: World, running: str, due: str) -> None:
    """While the API is away a plugin comes due: it waits, the user is told why."""
    world.bus.fire(due)
    world.bus.wait(due, "plugin.selected")
    waiting = world.agent.await_event("plugin.waiting", 30, plugin=due)
    assert waiting["reason"].startswith("the cluster is away: ")
    assert not world.bus.of(running, "plugin.failed")


def _after_an_outage(world: World, running: str, due: str) -> None:
    """When the API is back, the running pod has ended well and the due one is launched, once."""
    _complete(world, running)
    _complete(world, due)
    assert world.bus.names(due).count("plugin.scheduled") == 1
    assert world.bus.names(running).count("plugin.scheduled") == 1
    world.agent.assert_unhurt()


def test_the_api_server_is_killed(world: World) -> None:
    """SIGKILL and a restart: the running pod is not lost, the due one starts late."""
    world.bus.fire("bridge")
    world.bus.wait("bridge", "plugin.running")
    cpu_s, began_s = world.agent.cpu_s(), time.monotonic()
    world.kube.kill9("apiserver")
    try:
        _during_an_outage(world, "bridge", "due")
        _pass(max(0.0, 12 - (time.monotonic() - began_s)))
        print(f"API server dead: {world.agent.cpu_s() - cpu_s:.2f} CPU s in {time.monotonic() - began_s:.1f} s")
    finally:
        world.kube.restart("apiserver")
        world.kube.wait_ready()
    _after_an_outage(world, "bridge", "due")


def test_the_api_server_hangs(world: World) -> None:
    """SIGSTOP for 45 s: connections are taken and nothing is answered; within 30 s that counts as away."""
    world.bus.fire("frozen")
    world.bus.wait("frozen", "plugin.running")
    began_s, losses = time.monotonic(), len(world.agent.events("kube.watch.lost"))
    world.kube.sigstop("apiserver")
    try:
        _during_an_outage(world, "frozen", "thawed")
        wait_until(lambda: len(world.agent.events("kube.watch.lost")) > losses, 30, what="the silence to be noticed")
        cpu_s, away_s = world.agent.cpu_s(), time.monotonic()
        _pass(max(0.0, 45 - (away_s - began_s)))
        used_s, seconds = world.agent.cpu_s() - cpu_s, time.monotonic() - away_s
        print(f"API server silent: {used_s:.2f} CPU s in {seconds:.1f} s")
        assert used_s < 0.1 * seconds
    finally:
        world.kube.sigcont("apiserver")
    world.kube.wait_ready()
    _after_an_outage(world, "frozen", "thawed")


@contextmanager
def _few_requests_at_a_time(kube: RealKube) -> Iterator[None]:
    """Restart the API server so that it serves one request at a time, save those of administrators."""
    command = kube.directory / "apiserver.sh"
    usual = command.read_text()
    fair = "--feature-gates=APIPriorityAndFairness=false"
    command.write_text(f"{usual.rstrip()} --max-requests-inflight=1 --max-mutating-requests-inflight=1 {fair}\n")
    try:
        kube.raw().restart()
        yield
    finally:
        command.write_text(usual)
        kube.raw().restart()


@contextmanager
def _storm(kube: RealKube) -> Iterator[None]:
    """Ask the API server without a pause, as the user that the agent is."""
    over = threading.Event()

    # large enough to keep the server busy for longer than it takes to ask again
    body = json.dumps({"metadata": {"name": "x"}, "data": {"x": "x" * 900_000}}).encode()

    def ask() -> None:
        raw = kube.raw()
        while not over.is_set():
            raw.post("/api/v1/namespaces/ses/configmaps?dryRun=All", body, token=VIEWER_TOKEN)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(10)


def test_the_api_server_throttles(world: World, uploads: str, tmp_path: Path) -> None:
    """A storm of requests in the agent's own name: it is answered 429, waits as asked, and launches what was due."""
    user = {"kind": "User", "name": "viewer", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "stormy"}, "subjects": [user], "roleRef": role}
    answer = world.kube.raw().post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    assert answer.status in {201, 409}, answer.message
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(world.kube.kubeconfig.read_text().replace(world.kube.token, VIEWER_TOKEN))
    job = write_job(tmp_path / "stormy.yaml", [Part(name, "sleep 1") for name in STORMY], "W025")
    flags = ["--pods-upload-root", uploads]
    with (
        _few_requests_at_a_time(world.kube),
        Agent(job, kubeconfig, world.bus, *flags, vsn="W025") as agent,
    ):
        agent.wait_ready()
        with _storm(world.kube):
            cpu_s, began_s = agent.cpu_s(), time.monotonic()
            world.bus.fire(*STORMY)
            _pass(max(0.0, 10 - (time.monotonic() - began_s)))
            used_s, seconds = agent.cpu_s() - cpu_s, time.monotonic() - began_s
        told = [each for each in agent.events("kube.unavailable") if "answers 429" in each["error"]]
        print(f"API server throttles: {used_s:.2f} CPU s in {seconds:.1f} s, {len(told)} times told")
        assert told
        # the server asks for a second
        assert min(each["retry_in_s"] for each in told) >= 1
        waiting = [each for each in agent.events("plugin.waiting") if "answers 429" in each["reason"]]
        assert waiting
        assert all(each["level"] == "warning" and each["plugin"] in STORMY for each in waiting)
        assert used_s < 0.1 * seconds
        for plugin in STORMY:
            _complete(world, plugin)
            states = [STATES.index(name.removeprefix("plugin.")) for name in world.bus.names(plugin)]
            assert states == sorted(set(states)), world.bus.names(plugin)
        agent.assert_unhurt()
        assert agent.end() == 0
    world.agent.assert_unhurt()


def test_no_slot_was_lost_without_a_word(world: World) -> None:
    """Through all faults each slot of a cron plugin was served once or told as missed with a reason; none failed."""
    count = len(world.bus.of("tick", "plugin.complete"))
    world.bus.wait("tick", "plugin.complete", 60, count=count + 1)
    served = _slots(world.bus.of("tick", "plugin.queued"), world)
    lost = [each.fields for each in world.bus.told if each.name == "slot.missed" and each.fields["plugin"] == "tick"]
    missed = [fields["slot_ns"] for fields in lost]
    reasons = {str(fields["reason"]) for fields in lost}
    expected = list(range(min(served), max(served + missed) + 1, TICK_S * NS_PER_S))
    print(f"{len(served)} of {len(expected)} slots served, {len(missed)} missed: {sorted(reasons)}")
    assert sorted(served + missed) == expected, "\n".join(line for line in world.agent.lines if '"tick"' in line)
    assert not world.bus.of("tick", "plugin.failed")
    assert all(reasons)


def _slots(queued: list[Told], world: World) -> list[int]:
    """The fire times that runs were made for; the event names the time of day, its own time the day."""
    day_ns = 86_400 * NS_PER_S
    slots = []
    for each in queued:
        hour, minute, second = map(int, each.fields["slot"].split(":"))
        slots.append(each.at_ns // day_ns * day_ns + (hour * 3600 + minute * 60 + second) * NS_PER_S)
    return slots


# -- the main job -----------------------------------------------------------------------------------------------------


def test_a_cron_plugin_becomes_a_pod_at_the_minute(world: World, hello: Agent) -> None:
    """The example's job: launched at the minute, completed and failed, with exit code and last lines of the log."""
    bus = world.bus
    bus.wait("hello", "plugin.complete", 130, count=2)
    # the first slot may have been open when the job came
    minutes = [each.at_ns // (60 * NS_PER_S) for each in bus.of("hello", "plugin.queued")]
    late_ns = [each.at_ns % (60 * NS_PER_S) for each in bus.of("hello", "plugin.queued")[1:]]
    assert len(set(minutes)) == len(minutes)
    print(f"late: {', '.join(f'{each / 1e6:.0f} ms' for each in late_ns)}")
    assert min(late_ns) < NS_PER_S
    complete = bus.of("hello", "plugin.complete")[0]
    assert complete.fields["k3s_pod_status"] == "Succeeded"
    failed = bus.wait("broken", "plugin.failed").fields
    assert (failed["return_code"], failed["reason"], failed["k3s_pod_status"]) == (7, "Error", "Failed")
    assert failed["error_log"] == "opening the camera\nno camera found"
    launched = bus.of("broken", "plugin.launched")[0].fields
    assert launched["k3s_pod_instance"] == failed["k3s_pod_instance"]
    line = hello.await_event("plugin.failed", plugin="broken")
    assert (line["level"], line["return_code"], line["reason"]) == ("warning", 7, "Error")
    assert "no camera found" in line["error_log"]
    assert hello.await_event("plugin.complete", plugin="hello")["pod"] == complete.fields["k3s_pod_name"]
