"""`edgesched run` as a process: its life, its log, and what it does when its peers go away."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from edgesched.adapters.broker import EmbeddedBroker
from edgesched.errors import BrokerUnavailableError
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.e2e.processes import Command
from tests.e2e.world import CRON, HOT, World
from tests.unit.node.promlint import complaints
from tests.waiting import wait_until


def fire(world: World, fired: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Publish a measurement again and again until something came of it."""

    def tried() -> object:
        try:
            world.measure(31.5)
        except BrokerUnavailableError:
            return None
        return fired()

    wait_until(tried, timeout_s)


def test_a_cron_job_becomes_a_pod_and_sigterm_ends_cleanly(world: World) -> None:
    """From the job file to the completed run; the agent leaves at SIGTERM with exit code 0, the pod stays."""
    with Command("run", *world.flags(world.job(CRON))) as agent:
        agent.await_event("goal.received", goal_name="myjob")
        launched = agent.await_event("plugin.scheduled", plugin="sampler")
        assert launched["pod"] in world.pods()
        agent.await_event("plugin.complete", plugin="sampler")
        assert agent.end() == 0
        assert agent.events("agent.stopped")
        for line in agent.lines:
            assert json.loads(line)["level"] in {"info", "warning"}, line
    assert launched["pod"] in world.pods()


def test_the_http_api_answers(world: World) -> None:
    """Health, readiness, status, plugins and an evaluated condition."""
    with Command("run", *world.flags(world.job(HOT.format(since=60)))) as agent:
        agent.await_event("agent.started")
        wait_until(lambda: world.get("/readyz")[0] == 200)
        code, health = world.get("/healthz")
        assert (code, health["status"], health["stuck"]) == (200, "ok", [])
        assert health["heartbeats"]["engine"]["age_s"] <= health["heartbeats"]["engine"]["limit_s"]
        with urllib.request.urlopen(f"http://127.0.0.1:{world.http_port}/metrics", timeout=5) as response:
            assert complaints(response.read().decode()) == []
        status = world.get("/api/v1/status")[1]
        assert (status["vsn"], status["jobs"], status["rules"]) == ("W023", 1, 1)
        assert status["measurements"] == ["env.temperature"]
        connected = {"cluster": True, "measurements": True, "events": True}
        wait_until(lambda: world.get("/api/v1/status")[1]["connections"] == connected)
        assert world.get("/api/v1/plugins")[1][0]["plugin"] == "sampler"
        assert world.get("/api/v1/explain?plugin=nobody")[0] == 404
        answers = {}
        for rule in ("1 < 2", "1 > 2", "v('no.such.name') > 3", "1 <"):
            body = json.dumps({"rule": rule}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{world.http_port}/evaluate", body)
            with urllib.request.urlopen(request, timeout=5) as response:
                answers[rule] = json.load(response)
        assert answers["1 < 2"] == {"response": "success", "result": True}
        assert answers["1 > 2"] == {"response": "success", "result": False}
        assert answers["v('no.such.name') > 3"]["response"] == "failed"
        assert answers["1 <"]["response"] == "failed"
        # a question must leave nothing behind: no subscription, no window
        assert world.get("/api/v1/status")[1]["measurements"] == ["env.temperature"]


def test_the_broker_may_restart(world: World) -> None:
    """After a restart of the broker the agent subscribes again and fires, and its events arrive."""
    with Command("run", *world.flags(world.job(HOT.format(since=1)))) as agent:
        fire(world, lambda: agent.events("plugin.complete"))
        port = world.broker.port
        world.broker.stop()
        agent.await_event("mqtt.lost")
        cpu_s = agent.cpu_s()
        lost_s = time.monotonic()
        wait_until(lambda: agent.events("mqtt.unreachable"))
        world.broker = EmbeddedBroker(port=port)
        world.broker.start()
        before = len(agent.events("plugin.scheduled"))
        fire(world, lambda: len(agent.events("plugin.scheduled")) > before, 40)
        away_s = time.monotonic() - lost_s
        print(f"broker away: {agent.cpu_s() - cpu_s:.2f} CPU s in {away_s:.1f} s")
        assert agent.cpu_s() - cpu_s < max(1.0, 0.1 * away_s)
        assert world.get("/healthz")[0] == 200
        assert agent.end() == 0


def test_the_cluster_may_go_away(world: World) -> None:
    """A run that is due while the API is down is launched when it is back; the wait costs no CPU."""
    with Command("run", *world.flags(world.job(HOT.format(since=1)))) as agent:
        wait_until(lambda: world.get("/readyz")[0] == 200)
        world.cluster.go_down()
        wait_until(lambda: world.get("/api/v1/status")[1]["connections"]["cluster"] is False)
        fire(world, lambda: agent.events("plugin.waiting"))
        cpu_s, began_s = agent.cpu_s(), time.monotonic()
        wait_until(lambda: time.monotonic() - began_s > 5)
        away_cpu_s = agent.cpu_s() - cpu_s
        print(f"cluster away: {away_cpu_s:.2f} CPU s in 5 s")
        assert away_cpu_s < 0.5
        assert not world.pods()
        world.cluster.come_up()
        agent.await_event("plugin.complete", 40)
        assert len(world.pods()) == 1
        assert agent.end() == 0


def test_an_agent_that_starts_without_its_peers_waits_for_them(world: World) -> None:
    """Neither broker nor cluster at start: not ready, alive, and it works once they are there."""
    world.cluster.go_down()
    port = world.broker.port
    world.broker.stop()
    with Command("run", *world.flags(world.job(CRON))) as agent:
        agent.await_event("mqtt.unreachable")
        wait_until(lambda: world.get("/healthz")[0] == 200)
        wait_until(lambda: world.get("/readyz") == (503, {"status": "waiting", "waiting_for": ["cluster"]}))
        world.broker = EmbeddedBroker(port=port)
        world.broker.start()
        world.cluster.come_up()
        agent.await_event("plugin.complete", 60)
        wait_until(lambda: world.get("/readyz")[0] == 200)
        assert agent.end() == 0


def test_a_restarted_agent_adopts_the_running_pod(world: World) -> None:
    """A restart kills nothing and launches nothing twice."""
    world.cluster.stop()
    world.cluster = SimCluster(Scenario((Outcome(start_delay_s=0.1, run_s=None),)))
    world.cluster.start()
    job = world.job(CRON)
    with Command("run", *world.flags(job)) as agent:
        agent.await_event("plugin.running")
        assert agent.end() == 0
    (pod,) = world.pods()
    with Command("run", *world.flags(job)) as agent:
        wait_until(lambda: world.get("/readyz")[0] == 200)
        wait_until(lambda: world.get("/api/v1/plugins")[1][0]["state"] == "running")
        assert world.pods() == [pod]
        assert agent.end() == 0


def test_simulate_needs_no_cluster(world: World) -> None:
    """`-simulate` brings an embedded cluster of its own."""
    flags = ["-nodename", "W023", "-simulate", f"--job={world.job(CRON)}", "--http-listen", "off", "--log-format=json"]
    with Command("run", *flags) as agent:
        agent.await_event("plugin.complete", plugin="sampler")
        assert agent.end() == 0


def test_it_is_small_and_starts_fast(world: World) -> None:
    """A hundred rules, MQTT and Kubernetes: at most 85 MiB resident and 1.5 CPU seconds to the first evaluation."""
    rules = [
        f"- \"publish(env.event.e{number}): avg(v('env.name{number % 20}', since='-{number + 1}m')) > 30\"\n"
        for number in range(100)
    ]
    with Command("run", *world.flags(world.job(*rules, CRON))) as agent:
        agent.await_event("plugin.queued", plugin="sampler")
        start_cpu_s = agent.cpu_s()
        agent.await_event("plugin.complete")
        rss_mib = agent.rss_mib()
        print(f"start: {start_cpu_s:.2f} CPU s, resident: {rss_mib:.1f} MiB")
        assert rss_mib <= 85
        assert start_cpu_s <= 1.5
        assert agent.end() == 0


def test_secrets_stay_out_of_arguments_and_log(world: World, tmp_path: Path) -> None:
    """A password file is read; neither the log nor the list of processes shows its content."""
    secret = tmp_path / "password"
    secret.write_text("hunter2hunter2")
    flags = world.flags(world.job(CRON))
    flags += ["--mqtt-password-file", str(secret), "--debug"]
    with Command("run", *flags) as agent:
        agent.await_event("plugin.complete")
        assert agent.end() == 0
        assert "hunter2" not in agent.text
