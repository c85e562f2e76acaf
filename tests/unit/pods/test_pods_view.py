"""Views of the cluster's objects: complete, half-written and foreign ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgesched.core.model import ContainerView, PodView
from edgesched.core.pods import NodeView, view_node, view_pod

RUNNING = {
    "metadata": {
        "name": "sampler-0a1b2c3d4e",
        "uid": "u-1",
        "resourceVersion": "17",
        "creationTimestamp": "2026-11-22T12:41:14Z",
        "labels": {
            "sagecontinuum.org/plugin-task": "sampler",
            "sagecontinuum.org/plugin-job-id": "56",
            "sagecontinuum.org/plugin-goal-id": "g-1",
            "sagecontinuum.org/plugin-instance": "sampler-abcdef",
            "edgesched.io/agent": "W023",
            "edgesched.io/run": "r-1",
        },
    },
    "spec": {
        "nodeName": "sb-core",
        "initContainers": [
            {"name": "init-app-meta-cache", "resources": {"requests": {"cpu": "100m", "memory": "50Mi"}}}
        ],
        "containers": [
            {"name": "plugin-controller", "resources": {"requests": {"cpu": "50m"}}},
            {"name": "sampler", "resources": {"limits": {"cpu": "1", "memory": "20Mi"}}},
        ],
    },
    "status": {
        "phase": "Running",
        "initContainerStatuses": [
            {
                "name": "init-app-meta-cache",
                "state": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-11-22T12:41:16Z"}},
            }
        ],
        "containerStatuses": [
            {"name": "plugin-controller", "state": {"running": {}}},
            {"name": "sampler", "state": {"running": {"startedAt": "2026-11-22T12:41:17Z"}}},
        ],
    },
}
SECOND_NS = 1_000_000_000
CREATED_NS = 1_795_351_274 * SECOND_NS


def test_view_of_a_running_pod() -> None:
    """Every fact that the planner uses is read from its place."""
    assert view_pod(RUNNING) == PodView(
        name="sampler-0a1b2c3d4e",
        uid="u-1",
        phase="Running",
        run_id="r-1",
        agent="W023",
        job_id="56",
        goal_id="g-1",
        plugin="sampler",
        instance="sampler-abcdef",
        node_name="sb-core",
        requests={"cpu": 1050, "memory": 50 * 2**20},
        created_ns=CREATED_NS,
        version=17,
        container=ContainerView("sampler", "running", started_ns=CREATED_NS + 3 * SECOND_NS),
        init=ContainerView(
            "init-app-meta-cache", "terminated", "Completed", exit_code=0, finished_ns=CREATED_NS + 2 * SECOND_NS
        ),
    )


def test_view_of_a_pod_that_just_appeared() -> None:
    """A pod without spec details, status or labels is a pending pod of nobody."""
    assert view_pod({"metadata": {"name": "p", "uid": "u"}}) == PodView(name="p", uid="u")


def test_view_of_a_pod_of_the_reference() -> None:
    """A pod of another scheduler shows its plugin and GPU, and no run or agent."""
    view = view_pod(
        {
            "metadata": {
                "name": "object-counter-56",
                "labels": {"sagecontinuum.org/plugin-task": "object-counter", "sagecontinuum.org/plugin-job-id": "56"},
            },
            "spec": {"nodeSelector": {"resource.gpu": "true"}, "containers": [{"name": "object-counter"}]},
        }
    )
    assert (view.plugin, view.job_id, view.run_id, view.agent, view.gpu) == ("object-counter", "56", "", "", True)


def test_gpu_is_seen_in_the_limit_too() -> None:
    """A pod with a limit of nvidia.com/gpu wants the GPU even without the selector, and counts as a request of it."""
    view = view_pod({"spec": {"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}})
    assert view.gpu
    assert view.requests == {"nvidia.com/gpu": 1}


def test_view_of_an_unschedulable_pod() -> None:
    """The scheduler's own message is kept while the pod waits, and forgotten when it runs."""
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]
    assert view_pod({"status": {"phase": "Pending", "conditions": conditions}}).unschedulable == "0/1 nodes"
    assert view_pod({"status": {"phase": "Running", "conditions": conditions}}).unschedulable == ""


def test_view_of_ends() -> None:
    """Exit code, reasons of container and pod, and deletion are read as they stand."""
    pod = {
        "metadata": {"deletionTimestamp": "2026-11-22T12:41:14Z"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {
            "phase": "Succeeded",
            "reason": "Evicted",
            "message": "low on memory",
            "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}],
        },
    }
    view = view_pod(pod)
    assert view.container == ContainerView("c", "terminated", "OOMKilled", exit_code=137)
    assert (view.phase, view.reason, view.message, view.deleting) == ("Succeeded", "Evicted", "low on memory", True)


def test_a_waiting_container_keeps_the_kubelets_message() -> None:
    """Image and configuration errors reach the planner in the kubelet's words."""
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "cam" not found'}}
    view = view_pod(
        {
            "spec": {"containers": [{"name": "c"}]},
            "status": {"containerStatuses": [{"name": "c", "state": waiting}]},
        }
    )
    assert view.container == ContainerView("c", "waiting", "CreateContainerConfigError", 'secret "cam" not found')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("labels", "containers", "containerStatuses", "nodeSelector", "phase", "creationTimestamp", "conditions", "name")


@given(
    st.dictionaries(
        st.sampled_from(("metadata", "spec", "status", "kind")),
        JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4),
    )
)
def test_no_object_breaks_the_reader(raw: dict[str, object]) -> None:
    """Whatever the API sends, the reader makes a view of it instead of an exception."""
    assert isinstance(view_pod(raw), PodView)
    assert isinstance(view_node(raw), NodeView)


def test_view_of_nodes() -> None:
    """A node shows what it can hold; one that is cordoned or not ready is not usable."""
    node = {
        "metadata": {"name": "sb-core", "labels": {"zone": "core"}},
        "status": {
            "allocatable": {"cpu": "6", "memory": "8000Mi", "nvidia.com/gpu": "1", "odd": "x"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    view = view_node(node)
    assert view == NodeView(
        "sb-core", {"zone": "core"}, {"cpu": 6000, "memory": 8000 * 2**20, "nvidia.com/gpu": 1}, usable=True
    )
    assert not view_node(node | {"spec": {"unschedulable": True}}).usable
    assert not view_node({"metadata": {"name": "n"}}).usable
