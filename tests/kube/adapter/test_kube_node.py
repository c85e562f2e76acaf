"""Pods of ours on a real node: what the manifest promises is there, and every end is seen as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from edgesched.adapters.kube import KubeApi, KubePods, KubeTarget
from edgesched.core.model import Plugin, PluginSpec, PodView
from edgesched.core.plan.effects import DeletePod, FetchLog
from edgesched.core.plan.events import PodEventObserved, PodObserved
from edgesched.core.pods import PodSettings
from tests.kube.adapter.runs import Followed, launch
from tests.kube.realkube import RealKube
from tests.unit.kube.script import running
from tests.waiting import wait_until

pytestmark = pytest.mark.node

IMAGE = "localhost/edgesched/busybox:1"


class Node:
    """A real node, followed."""

    def __init__(self, server: RealKube, folder: str) -> None:
        self.server = server
        api = KubeApi.connect(KubeTarget(kubeconfig=str(server.kubeconfig)))
        self.pods = KubePods(api, PodSettings(vsn="W023", upload_root=folder, grace_s=3))
        self.followed = Followed(api)

    def run(self, key: str, script: str, *, duration_s: float | None = None, **spec: object) -> PodView:
        """Launch a shell script as a plugin."""
        plugin = Plugin("p", PluginSpec(IMAGE, args=("-c", script), entrypoint="/bin/sh", **spec))  # type: ignore[arg-type]
        return self.pods.launch(launch(key, "p", plugin=plugin, duration_s=duration_s))

    def seen(self, pod: PodView, condition: Callable[[PodView], bool]) -> PodView:
        """Wait for a view of a pod."""

        def found() -> PodView | None:
            views = [event.pod for event in self.followed.events.of(PodObserved) if event.pod.uid == pod.uid]
            return next((view for view in views if condition(view)), None)

        return wait_until(found, 60, what=f"a view of {pod.name}")


@pytest.fixture(scope="module")
def node(real_node: RealKube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Follow the real node for all tests of this file."""
    followed = Node(real_node, str(tmp_path_factory.mktemp("uploads")))
    with running(followed.followed.source):
        wait_until(lambda: followed.followed.source.connected, 30)
        yield followed
    for pod in followed.followed.phases():
        followed.pods.delete(DeletePod("clean", pod, grace_s=0))


def _ended(view: PodView) -> bool:
    return view.phase in {"Succeeded", "Failed"}


def test_a_plugin_finds_what_the_edge_stack_promises(node: Node) -> None:
    """Environment, uploads folder and configuration files are inside the container, and its log can be read."""
    script = (
        "echo $WAGGLE_PLUGIN_HOST $WAGGLE_PLUGIN_PORT $HOST $MODE; echo id=$WAGGLE_APP_ID; "
        "cat /run/waggle/data-config.json; test -f /etc/asound.conf && touch /run/waggle/uploads/x && echo fine"
    )
    pod = node.run("env", script, env={"MODE": "fast", "HOST": "mine"})
    view = node.seen(pod, _ended)
    assert (view.phase, view.container.exit_code, view.init and view.init.exit_code) == ("Succeeded", 0, 0)
    lines = node.pods.log(FetchLog("l", pod.name, "p", lines=10))
    assert lines[0] == "wes-rabbitmq.default.svc.cluster.local 5672 localhost fast"
    assert lines[1] == f"id={pod.uid}"
    assert lines[-1].endswith("fine")


def test_the_last_lines_of_a_long_log_are_bounded(node: Node) -> None:
    """Of a failed run with long lines the end is read, never more than 1,024 bytes."""
    script = "for i in 1 2 3 4 5; do printf '%s-' $i; head -c 900 /dev/zero | tr '\\0' x; echo; done; echo last; exit 7"
    pod = node.run("log", script)
    view = node.seen(pod, _ended)
    assert (view.phase, view.container.exit_code, view.container.reason) == ("Failed", 7, "Error")
    lines = node.pods.log(FetchLog("l", pod.name, "p", lines=3))
    assert lines[-1] == "last"
    assert lines[-2].endswith("xxx")
    assert sum(len(line) + 1 for line in lines) <= 1025


def test_a_missing_secret_is_told_in_the_kubelets_words(node: Node) -> None:
    """A Secret that does not exist keeps the pod waiting with a reason that names it."""
    pod = node.run("secret", "true", env={"A": "{secret.no-such.KEY}"})
    view = node.seen(pod, lambda view: view.container.reason == "CreateContainerConfigError")
    assert "no-such" in view.container.message


def test_a_secret_reaches_the_plugin(node: Node) -> None:
    """A Secret's value is in the environment of the container and not in the pod."""
    node.server.raw().post(
        "/api/v1/namespaces/ses/secrets", {"metadata": {"name": "cam"}, "stringData": {"KEY_1": "s3"}}
    )
    pod = node.run("secret-ok", "echo got $A", env={"A": "{secret.cam.KEY_1}"})
    node.seen(pod, _ended)
    assert node.pods.log(FetchLog("l", pod.name, "p")) == ("got s3",)


def test_memory_limits_hold(node: Node) -> None:
    """A plugin above its limit is ended as out of memory."""
    pod = node.run("oom", "exec dd if=/dev/zero of=/dev/null bs=200M", resource={"limit.memory": "20Mi"})
    view = node.seen(pod, _ended)
    assert view.container.reason == "OOMKilled"


def test_an_image_that_cannot_be_pulled_waits(node: Node) -> None:
    """A missing image is a waiting container with the kubelet's reason, and an Event."""
    plugin = Plugin("p", PluginSpec("localhost/edgesched/missing:1"))
    pod = node.pods.launch(launch("pull", "p", plugin=plugin))
    view = node.seen(pod, lambda view: view.container.reason in {"ErrImagePull", "ImagePullBackOff"})
    assert view.phase == "Pending"
    wait_until(
        lambda: any(
            event.pod_uid == pod.uid and event.reason == "Failed" and event.warning
            for event in node.followed.events.of(PodEventObserved)
        ),
        30,
    )


def test_a_pod_that_no_node_takes_has_the_schedulers_message(node: Node) -> None:
    """A selector that fits no node is told by the scheduler itself."""
    pod = node.run("nowhere", "true", selector={"zone": "moon"})
    assert "node" in node.seen(pod, lambda view: bool(view.unschedulable)).unschedulable


def test_a_privileged_plugin_sees_the_devices(node: Node) -> None:
    """`privileged` mounts the node's devices."""
    pod = node.run("dev", "test -c /host/dev/null && echo devices", privileged=True)
    node.seen(pod, _ended)
    assert node.pods.log(FetchLog("l", pod.name, "p")) == ("devices",)


def test_a_deleted_plugin_may_clean_up(node: Node) -> None:
    """A delete sends SIGTERM first, and the pod is gone when the plugin has ended."""
    pod = node.run("term", "trap 'exit 0' TERM; echo up; while true; do sleep 0.1; done")
    node.seen(pod, lambda view: view.container.state == "running")
    node.pods.delete(DeletePod("d", pod.name, uid=pod.uid, grace_s=20))
    view = node.seen(pod, lambda view: view.deleting)
    assert view.phase == "Running"
    wait_until(lambda: pod.name not in node.followed.phases(), 19, what="the pod to go before its grace is over")
