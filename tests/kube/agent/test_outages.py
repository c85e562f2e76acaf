"""Peers that go away and come back: everything heals without a restart of the agent, and waiting costs nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.kube.agent.conftest import Place
from tests.kube.node.agents import Agent, Bus, Part, write_job

AWAY_S = 30.0
TICK = Part("tick", "sleep 1", condition="cronjob('tick', '* * * * * */15')")
ALARM = Part("alarm", "sleep 1")


def _away(agent: Agent, what: str, away_s: float = AWAY_S) -> float:
    """Let a peer be away; prints and returns the processor time that this took of the agent."""
    cpu_s, began_s = agent.cpu_s(), time.monotonic()
    threading.Event().wait(away_s)
    used_s = agent.cpu_s() - cpu_s
    print(f"{what} away: {used_s:.2f} CPU s in {time.monotonic() - began_s:.0f} s")
    return used_s


@pytest.mark.apiserver
@pytest.mark.parametrize("away_s", [AWAY_S, pytest.param(60.0, marks=pytest.mark.slow)])
def test_the_real_api_server_is_killed_for_a_while(api_place: Place, bus: Bus, tmp_path: Path, away_s: float) -> None:
    """What came due meanwhile is launched when it is back, once; waiting takes at most 1 CPU s a minute."""
    job = write_job(tmp_path / "outage.yaml", [TICK, ALARM])
    with Agent(job, api_place.kubeconfig, bus) as agent:
        agent.wait_ready()
        bus.wait("tick", "plugin.scheduled")
        api_place.down()
        try:
            bus.fire("alarm")
            waiting = agent.await_event("plugin.waiting", plugin="alarm")
            assert waiting["reason"].startswith("the cluster is away: ")
            used_s = _away(agent, "API server", away_s)
        finally:
            api_place.up()
        bus.wait("alarm", "plugin.scheduled", 40)
        agent.wait_ready(40)
        assert used_s < away_s / 60
        assert bus.names("alarm").count("plugin.scheduled") == 1
        assert not bus.of("alarm", "plugin.failed")
        names = [pod["metadata"]["labels"]["app"] for pod in api_place.pods()]
        assert names.count("alarm") == 1
        agent.assert_unhurt()
        assert agent.end() == 0


def test_the_broker_is_killed_for_half_a_minute(place: Place, bus: Bus, tmp_path: Path) -> None:
    """Launches go on without it, what they had to tell arrives when it is back, and measurements are heard again."""
    job = write_job(tmp_path / "broker.yaml", [TICK, ALARM])
    with Agent(job, place.kubeconfig, bus) as agent:
        agent.wait_ready()
        bus.fire("alarm")
        bus.stop()
        used_s = _away(agent, "broker")
        bus.start()
        count = len(agent.events("plugin.queued"))
        assert count >= 2
        agent.wait_ready(60)
        bus.wait("tick", "plugin.queued", 40)
        told = [each.fields["run_id"] for each in bus.told if each.name == "plugin.queued"]
        done = [each["run"] for each in agent.events("plugin.queued")]
        assert told == [run for run in done if run in told]
        assert len(set(told)) == len(told)
        assert used_s < 1.0
        agent.assert_unhurt()
        assert agent.end() == 0
