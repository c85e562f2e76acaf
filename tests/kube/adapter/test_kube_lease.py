"""One agent per node: the lease, between two agents, on the embedded cluster and a real API server."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from edgesched.adapters.kube import KubeApi, KubeLease, LeaseState, LeaseTiming
from edgesched.core.model import Instant
from tests.kube.adapter.worlds import World
from tests.unit.kube.script import Notices, running
from tests.waiting import wait_until

LEASE = "/apis/coordination.k8s.io/v1/namespaces/ses/leases/edgesched-w023"
QUICK = LeaseTiming(duration_s=1, renew_s=0.2, retry_s=0.1)


class FixedClock:
    """A wall clock that is far off: the lease must not depend on it."""

    def now(self) -> Instant:
        """Read it."""
        return Instant(1_000_000_123_456_789, 0)


class Agent:
    """One contender."""

    def __init__(self, api: KubeApi, identity: str, timing: LeaseTiming = QUICK) -> None:
        self.states: list[LeaseState] = []
        self.notices = Notices()
        self.lease = KubeLease(
            api, namespace="ses", vsn="W023", identity=identity, clock=FixedClock(), notice=self.notices,
            changed=self.states.append, timing=timing,
        )  # fmt: skip


def test_the_first_agent_holds_and_the_second_names_it(world: World, api: KubeApi) -> None:
    """Two agents for one node: one acts, the other waits and says for whom."""
    first, second = Agent(api, "pod-a"), Agent(api, "pod-b")
    assert first.lease.attempt() == LeaseState(held=True, holder="pod-a")
    assert second.lease.attempt() == LeaseState(held=False, holder="pod-a")
    assert second.lease.state.holder == "pod-a"
    [line] = second.notices.named("lease.waiting")
    assert line["holder"] == "pod-a"
    spec = world.call("GET", LEASE)["spec"]
    assert spec["holderIdentity"] == "pod-a"
    assert spec["renewTime"] == "1970-01-12T13:46:40.123456Z"


def test_two_agents_started_together_never_both_hold(world: World, api: KubeApi) -> None:
    """However their requests interleave, exactly one of several contenders wins."""
    agents = [Agent(KubeApi.connect(world.target()), f"pod-{number}") for number in range(6)]
    barrier = threading.Barrier(len(agents))

    def contend(agent: Agent) -> None:
        barrier.wait()
        agent.lease.attempt()

    threads = [threading.Thread(target=contend, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    holders = [agent for agent in agents if agent.lease.state.held]
    assert len(holders) == 1
    assert world.call("GET", LEASE)["spec"]["holderIdentity"] == holders[0].lease._identity


def test_a_graceful_stop_hands_over_at_once(world: World, api: KubeApi) -> None:
    """A holder that stops gives the lease back, and the waiting agent goes on without waiting out the duration."""
    slow = LeaseTiming(duration_s=60, renew_s=0.2, retry_s=0.1)
    first, second = Agent(api, "pod-a", slow), Agent(api, "pod-b", slow)
    with running(first.lease):
        wait_until(lambda: first.lease.state.held)
        assert second.lease.attempt().holder == "pod-a"
    assert not first.lease.state.held
    assert second.lease.attempt().held
    second.lease.release()
    assert world.call("GET", LEASE)["spec"]["holderIdentity"] == ""


def test_an_abandoned_lease_is_taken_after_its_duration(world: World, api: KubeApi) -> None:
    """A holder that was killed is succeeded when nobody has renewed for the lease's own duration, not before."""
    dead, heir = Agent(api, "pod-dead"), Agent(api, "pod-heir")
    dead.lease.attempt()
    with running(heir.lease):
        wait_until(lambda: heir.states)
        began_s = time.monotonic()
        wait_until(lambda: heir.lease.state.held, 5)
        assert time.monotonic() - began_s >= 0.9
        assert world.call("GET", LEASE)["spec"]["leaseTransitions"] == 1


def test_an_agent_that_starts_again_goes_on_at_once(api: KubeApi) -> None:
    """The same identity holds the lease immediately, however long it lasts."""
    Agent(api, "pod-a", LeaseTiming(duration_s=3600)).lease.attempt()
    assert Agent(api, "pod-a").lease.attempt().held


def test_a_holder_without_an_api_stops_to_hold(world: World, api: KubeApi) -> None:
    """An agent that cannot renew stops acting before another could take over, and goes on when it can renew again."""
    agent = Agent(api, "pod-a")
    with running(agent.lease):
        wait_until(lambda: agent.lease.state.held)
        world.wire.pull()
        wait_until(lambda: not agent.lease.state.held, 5)
        wait_until(lambda: agent.notices.named("lease.expired"), 5)
        assert agent.lease.state.error
        world.wire.plug()
        wait_until(lambda: agent.lease.state.held, 5)
    assert [line["level"] for line in agent.notices.named("lease.expired")] == ["warning"]
    assert not agent.notices.named("lease.lost")


def test_an_agent_that_could_not_watch_counts_anew(world: World, api: KubeApi) -> None:
    """After an outage the waiting agent lets the holder renew first, although the lease looks old."""
    holder, other = Agent(api, "pod-a"), Agent(api, "pod-b")
    holder.lease.attempt()
    other.lease.attempt()
    world.wire.pull()
    until_s = time.monotonic() + 1.2
    while time.monotonic() < until_s:
        other.lease.attempt()
    world.wire.plug()
    assert wait_until(lambda: other.lease.attempt().holder) == "pod-a"


@pytest.mark.parametrize("odd", [{}, {"holderIdentity": None}, {"leaseDurationSeconds": 1}])
def test_a_lease_of_nobody_is_taken(world: World, api: KubeApi, odd: dict[str, Any]) -> None:
    """A lease without a holder, made by hand or given back, is free."""
    body = {"metadata": {"name": "edgesched-w023"}, "spec": odd}
    world.call("POST", LEASE.rpartition("/")[0], body)
    assert Agent(api, "pod-a").lease.attempt().held
