"""A restart with many running pods: all go on, nothing is told or launched twice."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from tests.kube.agent.conftest import Place
from tests.kube.node.agents import Agent, Bus, Part, write_job
from tests.waiting import wait_until

PODS = 200
PARTS = [Part(f"long-{number}", "sleep 1000", condition="True") for number in range(PODS)]


@pytest.mark.parametrize("kept", [True, False], ids=["state kept", "no state"])
def test_two_hundred_running_pods_are_adopted(sim_place: Place, bus: Bus, tmp_path: Path, kept: bool) -> None:
    """After SIGKILL, within 2 s of the list: none is deleted or launched again, and no event comes a second time."""
    job = write_job(tmp_path / "many.yaml", PARTS)
    flags = [f"--state-dir={tmp_path}/state"] if kept else ["--lease=false"]
    with Agent(job, sim_place.kubeconfig, bus, *flags) as agent:
        _await_all(bus, agent)
        agent.end(signal.SIGKILL)
    pods = {pod["metadata"]["uid"] for pod in sim_place.pods()}
    assert len(pods) == PODS
    before = len(bus.told)
    with Agent(job, sim_place.kubeconfig, bus, *flags) as agent:
        adopted = agent.await_event("pods.adopted", 30)
        assert (adopted["pods"], adopted["running"], adopted["foreign"]) == (PODS, PODS, 0)
        took_s = _seconds(adopted["ts"]) - _seconds(agent.await_event("agent.started")["ts"])
        print(f"{PODS} pods adopted {took_s:.2f} s after the start, the list itself included")
        assert took_s < 2
        wait_until(lambda: [each["state"] for each in agent.get("/api/v1/plugins")[1]] == ["running"] * PODS)
        agent.wait_ready()
        assert {pod["metadata"]["uid"] for pod in sim_place.pods()} == pods
        # what the agent has to tell is out
        wait_until(lambda: agent.get("/api/v1/status")[1]["outbox"]["waiting"] == 0)
        # a message that the killed agent had sent and not noted comes again under its id, for readers to drop
        known = {each.message_id for each in bus.told[:before]}
        again = Counter(each.name for each in bus.told[before:] if each.message_id not in known)
        assert set(again) <= ({"goal.received"} if kept else {"goal.received", "plugin.queued"}), again
        assert not agent.events("plugin.selected")
        assert agent.end() == 0
    assert {pod["metadata"]["uid"] for pod in sim_place.pods()} == pods


def _await_all(bus: Bus, agent: Agent) -> None:
    try:
        wait_until(lambda: len(_told(bus)["plugin.running"]) == PODS, 90)
    except AssertionError as error:
        counts = {name: len(runs) for name, runs in _told(bus).items()}
        raise AssertionError(f"not all run; told: {counts}; the agent said: {agent.text[-3000:]}") from error


def _told(bus: Bus) -> dict[str, set[str]]:
    told: dict[str, set[str]] = {"plugin.running": set()}
    for each in list(bus.told):
        told.setdefault(each.name, set()).add(str(each.fields.get("run_id")))
    return told


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
