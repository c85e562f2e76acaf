"""One agent acts for a node, however many are started."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.kube.agent.conftest import LEASES, SES, Place
from tests.kube.node.agents import Agent, Bus, Part, write_job
from tests.kube.realkube import VIEWER_TOKEN, RealKube
from tests.waiting import wait_until

LEASE = f"{LEASES}/edgesched-w023"
TICK = Part("tick", "sleep 1", condition="cronjob('tick', '* * * * * */12')")
LONG = Part("long-1", "sleep 1000")


def _waiting(agent: Agent) -> str:
    """What an agent waits for, empty when it is ready."""
    code, answer = agent.get("/readyz")
    return str(answer["waiting_for"]) if code == 503 else ""


def _run_ticks(place: Place, bus: Bus, count: int) -> None:
    """Wait until `count` runs of the cron plugin have begun."""

    def begun() -> bool:
        place.end("tick")
        return len(bus.of("tick", "plugin.queued")) >= count

    wait_until(begun, 60)


def test_two_agents_started_together(place: Place, bus: Bus, tmp_path: Path) -> None:
    """One acts, the other waits and names it; when the first ends the other goes on with its pods; slots run once."""
    job = write_job(tmp_path / "together.yaml", [TICK, LONG])
    with Agent(job, place.kubeconfig, bus) as one, Agent(job, place.kubeconfig, bus) as two:
        wait_until(lambda: one.events("lease.held") or two.events("lease.held"), 30)
        first, second = (one, two) if one.events("lease.held") else (two, one)
        identity = first.await_event("lease.held")["identity"]
        second.await_event("lease.waiting", holder=identity)
        wait_until(lambda: identity in _waiting(second))
        assert "the lease of this node, held by" in _waiting(second)
        assert second.get("/healthz")[0] == 200
        assert second.get("/api/v1/status")[1]["ready"] is False
        first.wait_ready()
        bus.fire("long-1")
        bus.wait("long-1", "plugin.scheduled")
        _run_ticks(place, bus, 2)
        assert not second.events("plugin.queued")
        assert not second.events("agent.started")

        assert first.end() == 0
        second.await_event("agent.started", 10)
        second.wait_ready()
        _run_ticks(place, bus, 3)
        assert second.end() == 0
    slots = [each.fields["slot"] for each in bus.of("tick", "plugin.queued")]
    assert len(set(slots)) == len(slots)
    long = [pod for pod in place.pods() if pod["metadata"]["labels"]["app"] == "long-1"]
    assert len(long) == 1
    assert "deletionTimestamp" not in long[0]["metadata"]
    assert not bus.of("long-1", "plugin.failed")


def test_an_agent_that_is_superseded_ends(place: Place, bus: Bus, tmp_path: Path) -> None:
    """Whoever finds another holder while it acts stops acting and ends with a reason; started again it waits."""
    job = write_job(tmp_path / "superseded.yaml", [TICK])
    with Agent(job, place.kubeconfig, bus) as agent:
        agent.wait_ready()
        lease = place.raw.get(LEASE).body
        lease["spec"]["holderIdentity"] = "somebody"
        assert place.raw.put(LEASE, lease).status == 200
        assert agent.ended(30) == 75
        assert agent.events("agent.superseded")[0]["holder"] == "somebody"
    assert place.raw.get(LEASE).body["spec"]["holderIdentity"] == "somebody"
    with Agent(job, place.kubeconfig, bus) as agent:
        wait_until(lambda: "somebody" in _waiting(agent))
        assert agent.end() == 0


def test_an_agent_that_was_killed_goes_on_at_once(place: Place, bus: Bus, tmp_path: Path) -> None:
    """The identity is kept with the state, so the lease need not run out first."""
    job = write_job(tmp_path / "killed.yaml", [LONG])
    flags = ["--state-dir", str(tmp_path / "state")]
    with Agent(job, place.kubeconfig, bus, *flags) as agent:
        identity = agent.await_event("lease.held")["identity"]
        agent.end(signal.SIGKILL)
    with Agent(job, place.kubeconfig, bus, *flags) as agent:
        assert agent.await_event("lease.held", 10)["identity"] == identity
        assert not agent.events("lease.waiting")
        assert agent.end() == 0


@pytest.mark.apiserver
def test_without_the_right_to_leases(api_place: Place, api_server: RealKube, bus: Bus, tmp_path: Path) -> None:
    """The role lacks leases: a warning with the remedy, and after half a minute the agent acts all the same."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": [""], "resources": ["*"], "verbs": ["*"]}]
    subjects = [{"kind": "User", "name": "viewer", "apiGroup": "rbac.authorization.k8s.io"}]
    reference = {"kind": "ClusterRole", "name": "no-leases", "apiGroup": "rbac.authorization.k8s.io"}
    api_place.raw.post(f"{rbac}/clusterroles", {"metadata": {"name": "no-leases"}, "rules": rules})
    api_place.raw.post(
        f"{rbac}/clusterrolebindings", {"metadata": {"name": "no-leases"}, "subjects": subjects, "roleRef": reference}
    )
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(api_place.kubeconfig.read_text().replace(api_server.token, VIEWER_TOKEN))
    job = write_job(tmp_path / "bare.yaml", [LONG])
    with Agent(job, kubeconfig, bus) as agent:
        assert "leases" in agent.await_event("lease.unknown")["error"]
        agent.wait_ready()
        bus.fire("long-1")
        waiting = agent.await_event("plugin.waiting", plugin="long-1")
        assert "waiting for the lease edgesched-w023" in waiting["reason"]
        bus.wait("long-1", "plugin.scheduled", 90)
        assert "kubectl apply -k deploy/kubernetes/rbac" in agent.events("lease.off")[0]["hint"]
        assert agent.end() == 0
    for kind in ("clusterrolebindings", "clusterroles"):
        api_place.raw.delete(f"{rbac}/{kind}/no-leases")


def test_a_lease_can_be_declined(sim_place: Place, bus: Bus, tmp_path: Path) -> None:
    """`--lease=false` acts without one, and writes none."""
    job = write_job(tmp_path / "declined.yaml", [LONG])
    with Agent(job, sim_place.kubeconfig, bus, "--lease=false") as agent:
        agent.wait_ready()
        bus.fire("long-1")
        bus.wait("long-1", "plugin.scheduled")
        assert sim_place.raw.get(LEASES).body["items"] == []
        assert sim_place.raw.get(f"{SES}/pods").body["items"]
        assert agent.end() == 0
