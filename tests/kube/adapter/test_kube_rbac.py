"""The agent with the manifests' own roles, and nothing more, against a real API server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesched.adapters.kube import KubeApi, KubeBootstrap, KubeGoalCopy, KubeGoals, KubeLease, KubePods
from edgesched.core.plan.effects import DeletePod, FetchLog
from edgesched.core.plan.events import GoalsReceived, PodEventObserved
from edgesched.errors import KubeRefusedError
from tests.kube.adapter.runs import SES, SETTINGS, TUNING, Followed, launch
from tests.kube.adapter.test_kube_bootstrap import make_edge_stack
from tests.kube.adapter.test_kube_lease import FixedClock
from tests.kube.adapter.worlds import Collector, World
from tests.unit.kube.script import Notices, running
from tests.waiting import wait_until

# roles are a matter of the real API server; the embedded cluster has none
pytestmark = [pytest.mark.apiserver, pytest.mark.parametrize("shared_world", ["api"], indirect=True)]

MANIFESTS = Path(__file__).resolve().parents[3] / "deploy/kubernetes/rbac"
KUBECTL = Path(sys.executable).with_name("kubectl")
ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/edgesched"


@pytest.fixture
def agent(world: World) -> Iterator[KubeApi]:
    """Apply the manifests with kubectl and connect with a token of the agent's service account."""
    subprocess.run(
        [str(KUBECTL), "--kubeconfig", str(world.admin_kubeconfig()), "apply", "-k", str(MANIFESTS)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    token = world.call("POST", f"{ACCOUNT}/token", request)["status"]["token"]
    api = KubeApi.connect(world.target(token), (2.0, 2.0))
    wait_until(lambda: _allowed(api), what="the roles to be known to the API server")
    yield api
    api.close()


def _allowed(api: KubeApi) -> bool:
    try:
        api.get(f"{SES}/pods")
        api.get("/api/v1/nodes")
    except KubeRefusedError:
        return False
    return True


def test_everything_the_agent_does_is_allowed(world: World, agent: KubeApi) -> None:
    """Bootstrap, lease, goals, pods, logs, events and nodes work with the roles of the manifests."""
    make_edge_stack(world)
    notices = Notices()
    bootstrap = KubeBootstrap(agent, SETTINGS, notice=notices)
    bootstrap.look()
    assert bootstrap.missing == (), notices.lines
    bootstrap.look()
    lease = KubeLease(agent, namespace="ses", vsn="W023", identity="pod-a", clock=FixedClock(), notice=notices)
    assert lease.attempt().held
    assert lease.attempt().held
    lease.release()

    goals = Collector()
    source = KubeGoals(agent, namespace="ses", emit=goals, notice=notices, tuning=TUNING)
    followed = Followed(agent)
    pods = KubePods(agent, SETTINGS)
    with running(source), running(followed.source):
        wait_until(lambda: goals.of(GoalsReceived) and followed.source.connected)
        copy = KubeGoalCopy(agent, namespace="ses", notice=notices)
        copy.write("[]")
        copy.write("[ ]")
        view = pods.launch(launch("a"))
        assert pods.launch(launch("a")).uid == view.uid
        assert pods.log(FetchLog("l", view.name, "sampler")) == ()
        pods.nodes()
        body = {
            "metadata": {"name": "p.1"}, "reason": "Pulled", "message": "m", "type": "Normal",
            "involvedObject": {"kind": "Pod", "name": view.name, "uid": view.uid, "namespace": "ses"},
        }  # fmt: skip
        wait_until(lambda: all(loop.connected for loop in followed.source._loops))
        world.call("POST", f"{SES}/events", body)
        wait_until(lambda: followed.events.of(PodEventObserved))
        pods.delete(DeletePod("d", view.name, uid=view.uid))
        wait_until(lambda: followed.phases() == {})
    complaints = [line for line in notices.lines if line[1]["level"] != "info"]
    assert complaints == [], complaints


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{SES}/secrets"),
        ("GET", f"{SES}/secrets/any"),
        ("GET", "/api/v1/namespaces/default/pods"),
        ("GET", "/api/v1/namespaces/default/configmaps/wes-identity"),
        ("GET", "/api/v1/pods"),
        ("POST", f"{SES}/serviceaccounts"),
        ("PUT", "/api/v1/namespaces/default/configmaps/waggle-data-config"),
        ("DELETE", f"{SES}/configmaps/waggle-data-config"),
        ("DELETE", "/api/v1/nodes/any"),
    ],
)
def test_nothing_else_is_allowed(agent: KubeApi, method: str, path: str) -> None:
    """Secrets, other namespaces and anything destructive beyond plugin pods are forbidden."""
    body = {"metadata": {"name": "any"}}
    calls = {
        "GET": lambda: agent.get(path),
        "POST": lambda: agent.create(path, body),
        "PUT": lambda: agent.replace(path, body),
        "DELETE": lambda: agent.delete(path, {}),
    }
    with pytest.raises(KubeRefusedError) as caught:
        calls[method]()
    assert caught.value.status == 403


def test_without_roles_the_remedy_is_told(world: World) -> None:
    """An agent whose roles were not applied says once how to apply them, and its watch goes on trying."""
    account = "/api/v1/namespaces/default/serviceaccounts"
    if not world.exists(f"{account}/nobody"):
        world.call("POST", account, {"metadata": {"name": "nobody"}})
    token = world.call("POST", f"{account}/nobody/token", {"spec": {"audiences": []}})["status"]["token"]
    api = KubeApi.connect(world.target(token), (2.0, 2.0))
    notices = Notices()
    bootstrap = KubeBootstrap(api, SETTINGS, notice=notices, services=())
    bootstrap.look()
    lines = notices.named("kube.missing")
    assert lines
    assert all("kubectl apply -k deploy/kubernetes/rbac" in line["hint"] for line in lines)
    with pytest.raises(KubeRefusedError, match="kubectl apply -k"):
        KubePods(api, SETTINGS, forbidden_s=0).launch(launch("a"))
    followed = Followed(api)
    with running(followed.source):
        wait_until(lambda: followed.notices.named("kube.watch.lost"))
    [lost] = followed.notices.named("kube.watch.lost")
    assert lost["error"].startswith("403 ")
    assert not followed.source.connected
