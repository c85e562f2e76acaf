"""An agent with a state directory: killed, cut off, started again, on good disks and bad ones."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
import pytest

from edgesched.adapters.broker import EmbeddedBroker, free_port
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.e2e.processes import Command
from tests.e2e.test_run import fire
from tests.e2e.world import CRON, HOT, World
from tests.waiting import wait_until

PREFIX = "sys/scheduler/status/"
TWENTY = "- \"schedule(sampler): cronjob('sampler', '* * * * * */20')\"\n"


class Subscriber:
    """A reader of its own that keeps every scheduler event.

    `ids`: message ids as they came, with repeats. `runs`: topics and run ids of the events of runs.
    """

    def __init__(self, port: int) -> None:
        self.events: list[tuple[str, str]] = []
        self.runs: list[tuple[str, str]] = []
        self._ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="witness", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe("sys/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def _hear(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        self.events.append((message.topic, body["id"]))
        if message.topic.startswith(PREFIX + "plugin/"):
            self.runs.append((message.topic, json.loads(body["val"])["run_id"]))

    @property
    def ids(self) -> list[str]:
        return [each for _, each in self.events]

    def numbers(self) -> list[int]:
        """Numbers of the messages in the order of their first arrival."""
        return [int(each.rpartition("-")[2]) for each in dict.fromkeys(self.ids)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def flags(world: World, *jobs: Path) -> list[str]:
    """The command line of an agent with a state directory."""
    return [*world.flags(*jobs), "--state-dir", str(world.folder / "state")]


def killed_after_a_run(world: World, rule: str, within_s: float) -> Path:
    """Let an agent run a job of a folder once and kill it; returns the job's file."""
    jobs = world.folder / "jobs"
    jobs.mkdir()
    job = world.job(rule)
    kept = job.rename(jobs / job.name)
    with Command("run", *flags(world, jobs)) as agent:
        agent.await_event("plugin.complete", within_s)
        agent.end(signal.SIGKILL)
    return kept


def test_the_last_goals_are_in_force_at_boot_without_any_peer(world: World) -> None:
    """Killed, and started where no cluster, no broker and no job file is: the job is in force, and held."""
    kept = killed_after_a_run(world, CRON, 30)
    jobs = kept.parent
    kept.unlink()
    world.cluster.go_down()
    world.broker.stop()
    with Command("run", *flags(world, jobs)) as agent:
        restored = agent.await_event("state.restored")
        assert restored["jobs"] == 1
        wait_until(lambda: world.get("/api/v1/status")[0] == 200)
        assert world.get("/api/v1/status")[1]["jobs"] == 1
        assert world.get("/api/v1/plugins")[1][0]["completed"] == 1
        agent.await_event("goal.missing")
        assert agent.end() == 0


def test_events_of_a_node_that_was_cut_off_and_killed_arrive_in_order(world: World) -> None:
    """The broker is away, the agent is killed, both come back: no event is lost, repeats have the same id."""
    port = world.broker.port
    world.broker.stop()
    job = world.job(CRON)
    with Command("run", *flags(world, job)) as agent:
        agent.await_event("plugin.complete", 60)
        agent.end(signal.SIGKILL)
    world.broker = EmbeddedBroker(port=port)
    world.broker.start()
    witness = Subscriber(port)
    with Command("run", *flags(world, job)) as agent:
        wait_until(lambda: any("plugin/complete" in topic for topic, _ in witness.events), 30)
        agent.await_event("agent.started")
        assert agent.end() == 0
    numbers = witness.numbers()
    assert numbers == list(range(1, len(numbers) + 1))
    assert witness.events[0][0] == PREFIX + "goal/received"
    witness.close()


def test_a_killed_agent_adopts_its_run_and_tells_its_end(world: World) -> None:
    """The pod goes on, ends while nobody looks, and its end is told once."""
    world.cluster.stop()
    world.cluster = SimCluster(Scenario((Outcome(start_delay_s=0.1, run_s=3.0),)))
    world.cluster.start()
    witness = Subscriber(world.broker.port)
    job = world.job(CRON)
    with Command("run", *flags(world, job)) as agent:
        agent.await_event("plugin.running")
        agent.end(signal.SIGKILL)
    (pod,) = world.pods()
    wait_until(lambda: world.cluster.pods()[0]["status"]["phase"] == "Succeeded")
    with Command("run", *flags(world, job)) as agent:
        agent.await_event("plugin.complete")
        assert world.pods()[0] == pod
        assert agent.end() == 0
    ends = {each for topic, each in witness.events if topic == PREFIX + "plugin/complete"}
    assert len(ends) == 1
    witness.close()


def test_two_agents_never_share_a_state_directory(world: World) -> None:
    """The second one says who has it and ends; the first one goes on."""
    job = world.job(CRON)
    with Command("run", *flags(world, job)) as first:
        first.await_event("agent.started")
        with Command("run", *flags(world, job)) as second:
            assert second.ended(30) == 1
            pattern = (
                rf"edgesched: the state directory .*state is in use by another agent \(process {first.process.pid}\)"
            )
            assert any(re.match(pattern, line) for line in second.lines), second.text
        assert first.end() == 0


def test_a_newer_schema_is_refused_in_one_line(world: World) -> None:
    """A downgrade does not eat the state."""
    (world.folder / "state").mkdir()
    db = sqlite3.connect(world.folder / "state" / "state.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with Command("run", *flags(world, world.job(CRON))) as agent:
        assert agent.ended(30) == 1
        assert agent.lines[-1].startswith("edgesched: ")
        assert "newer version" in agent.lines[-1]


@pytest.mark.parametrize("damage", ["garbage", "records"])
def test_a_corrupt_state_is_set_aside_and_the_node_goes_on(world: World, damage: str) -> None:
    """Not a database, or a database whose content makes no sense: reported, kept, and the job runs."""
    folder = world.folder / "state"
    job = world.job(CRON)
    if damage == "garbage":
        folder.mkdir()
        (folder / "state.db").write_bytes(b"garbage" * 1000)
    else:
        with Command("run", *flags(world, job)) as agent:
            agent.await_event("plugin.complete")
            assert agent.end() == 0
        db = sqlite3.connect(folder / "state.db")
        db.execute("UPDATE records SET value = '{}' WHERE kind = 'job'")
        db.commit()
        db.close()
    with Command("run", *flags(world, job)) as agent:
        corrupt = agent.await_event("state.corrupt")
        assert (folder / corrupt["kept_as"]).exists()
        agent.await_event("goal.received")
        agent.await_event("pods.adopted")
        assert agent.end() == 0


def test_files_are_private_and_hold_no_secret(world: World) -> None:
    """Mode 0600 under any umask; no password of the configuration is in any file."""
    secret = world.folder / "password"
    secret.write_text("hunter2hunter2")
    arguments = [*flags(world, world.job(CRON, HOT.format(since=60))), "--mqtt-password-file", str(secret)]
    environment = {"EDGESCHED_PODS_RABBITMQ_PASSWORD": "correcthorsebattery"}
    with Command("run", *arguments, env=environment) as agent:
        fire(world, lambda: agent.events("plugin.complete"))
        assert agent.end() == 0
    files = list((world.folder / "state").iterdir())
    assert {path.name for path in files} >= {"state.db", "lock", "windows.json.z"}
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
        if path.is_socket():
            continue
        assert b"hunter2" not in path.read_bytes(), path.name
        assert b"correcthorse" not in path.read_bytes(), path.name
    assert stat.S_IMODE((world.folder / "state").stat().st_mode) == 0o700


def test_windows_are_warm_after_a_restart(world: World) -> None:
    """A value measured before the restart still counts after it."""
    rule = "- \"publish(env.hot): count(v('env.temperature', since='-10m')) > 0\"\n"
    job = world.job(rule)
    with Command("run", *flags(world, job)) as agent:
        fire(world, lambda: agent.events("rule.published"))
        assert agent.end() == 0
    world.broker.stop()
    with Command("run", *flags(world, job)) as agent:
        wait_until(lambda: world.get("/api/v1/status")[0] == 200)
        body = json.dumps({"rule": "count(v('env.temperature', since='-10m')) > 0"})
        answer = subprocess.run(
            ["curl", "-s", "-d", body, f"http://127.0.0.1:{world.http_port}/evaluate"],
            check=True,
            capture_output=True,
            timeout=10,
        )
        assert json.loads(answer.stdout) == {"response": "success", "result": True}
        assert agent.end() == 0


def test_a_full_disk_is_told_and_costs_neither_runs_nor_events(world: World) -> None:
    """No file of the agent may grow for a while: slots are launched, events arrive, all is written afterwards."""
    witness = Subscriber(world.broker.port)
    made = creations(world)
    with Command("run", *flags(world, world.job(TWENTY))) as agent:
        agent.await_event("plugin.complete", 60)
        before = len(made)
        may_grow(agent, False)
        agent.await_event("state.unavailable", 60)
        wait_until(lambda: len(made) > before, 60)
        wait_until(lambda: len(agent.events("plugin.complete")) >= 2, 60)
        wait_until(lambda: sum("plugin/complete" in topic for topic, _ in witness.events) >= 2, 30)
        may_grow(agent, True)
        agent.await_event("state.back", 60)
        assert agent.end() == 0
        numbers = witness.numbers()
        assert numbers == list(range(1, len(numbers) + 1))
    db = sqlite3.connect(world.folder / "state" / "state.db")
    slots = db.execute("SELECT count(*) FROM records WHERE kind = 'slot'").fetchone()[0]
    db.close()
    assert slots >= len(made)
    witness.close()


def test_a_slot_claimed_on_a_full_disk_does_not_run_again_after_a_kill(world: World) -> None:
    """The claim could not be written and the agent was killed: the name of the pod is the lock."""
    made = creations(world)
    with Command("run", *flags(world, world.job(TWENTY))) as agent:
        agent.await_event("plugin.complete", 60)
        before = len(made)
        may_grow(agent, False)
        wait_until(lambda: len(made) > before, 60)
        wait_until(lambda: len(agent.events("plugin.complete")) >= 2, 60)
        assert agent.events("state.unavailable")
        agent.end(signal.SIGKILL)
    with Command("run", *flags(world, world.job(TWENTY))) as agent:
        agent.await_event("pods.adopted")
        wait_until(lambda: len(made) > before + 1, 60)
        assert agent.end() == 0
    assert len(made) == len(set(made))


def test_an_agent_that_starts_on_a_full_disk_knows_its_goals(world: World) -> None:
    """What can be read is read: the job is in force without its file, and all is written when there is room."""
    kept = killed_after_a_run(world, TWENTY, 60)
    jobs = kept.parent
    text = kept.read_text()
    kept.unlink()
    with Command("run", *flags(world, jobs)) as agent:
        may_grow(agent, False)
        agent.await_event("state.unavailable", 60)
        assert agent.await_event("state.restored", 60)["jobs"] == 1
        agent.await_event("goal.missing", 60)
        kept.write_text(text)
        agent.await_event("plugin.complete", 90)
        may_grow(agent, True)
        agent.await_event("state.back", 90)
        assert agent.end() == 0


ALWAYS = '- "schedule(sampler): True"\n'


def test_runs_that_no_slot_names_do_not_share_a_pod_after_a_kill_on_a_full_disk(world: World) -> None:
    """How many there were could not be written and their pods are gone: each run has a pod of its own all the same."""
    made = creations(world)
    more = ("--keep-finished", "1s")
    with Command("run", *flags(world, world.job(ALWAYS)), *more) as agent:
        agent.await_event("plugin.complete", 60)
        may_grow(agent, False)
        wait_until(lambda: len(made) >= 3, 60)
        wait_until(lambda: not world.pods(), 60)
        assert agent.events("state.unavailable")
        agent.end(signal.SIGKILL)
    before = len(made)
    with Command("run", *flags(world, world.job(ALWAYS)), *more) as agent:
        wait_until(lambda: len(made) >= before + 2, 60)
        assert agent.end() == 0
    assert len(made) == len(set(made))


def test_what_a_full_disk_did_not_take_was_told_before_the_kill(world: World) -> None:
    """The broker is slow and the agent is killed the moment that it acts: every event of what it did has arrived."""
    witness = Subscriber(world.broker.port)
    created: list[str] = []

    def notice(resource: Any, change: Any) -> None:
        if resource.kind == "Pod" and change.type == "ADDED":
            created.append(change.now.obj["metadata"]["labels"]["edgesched.io/run"])

    world.cluster.store.listen(notice)
    with Late(world.broker.port, 0.3) as wire:
        words = [f"mqtt://127.0.0.1:{wire.port}" if word.startswith("mqtt:") else word for word in flags(world)]
        words.append(f"--job={world.job(TWENTY)}")
        logged: list[tuple[str, str]] = []
        names = ("plugin.queued", "plugin.scheduled", "plugin.running", "plugin.complete")
        for last in ("plugin.queued", "plugin.complete"):
            with Command("run", *words) as agent:
                agent.await_event("plugin.complete", 60)
                may_grow(agent, False)
                agent.await_event("state.unavailable", 60)
                await_another(agent, last)
                agent.end(signal.SIGKILL)
                logged += [(name, each["run"]) for name in names for each in agent.events(name)]
        told = {(topic.removeprefix(PREFIX).replace("/", "."), run) for topic, run in witness.runs}
        assert [each for each in logged if each not in told] == []
        assert [run for run in created if ("plugin.queued", run) not in told] == []
    witness.close()


def await_another(agent: Command, event: str) -> None:
    """Wait for one more log line of that name."""
    before = len(agent.events(event))
    wait_until(lambda: len(agent.events(event)) > before, 60)


class Late:
    """A wire to the broker on which every byte of the agent takes its time."""

    def __init__(self, port: int, delay_s: float) -> None:
        self._far = ("127.0.0.1", port)
        self._delay_s = delay_s
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._far)
                for source, sink, delay_s in ((near, far, self._delay_s), (far, near, 0.0)):
                    threading.Thread(target=self._pump, args=(source, sink, delay_s), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, delay_s: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._stop.wait(delay_s)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def creations(world: World) -> list[str]:
    """Names of all pods that are created from now on, in order, repeats included."""
    made: list[str] = []

    def notice(resource: Any, change: Any) -> None:
        if resource.kind == "Pod" and change.type == "ADDED":
            made.append(change.now.obj["metadata"]["name"])

    world.cluster.store.listen(notice)
    return made


def may_grow(agent: Command, allowed: bool) -> None:
    """Let the kernel refuse, or allow, every write of the agent to a file."""
    _, hard = resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (hard if allowed else 0, hard))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_minutes_without_any_link(world: World) -> None:
    """Broker and cloud are gone for two minutes: jobs go on, and on return every event arrives, in order."""
    port = world.broker.port
    cloud = f"http://127.0.0.1:{free_port()}/api/v1/goals/W023/stream"
    made = creations(world)
    with Command("run", *flags(world, world.job(TWENTY)), "--goalstream-url", cloud) as agent:
        agent.await_event("plugin.complete", 60)
        world.broker.stop()
        before, began_s = len(made), time.monotonic()
        wait_until(lambda: time.monotonic() - began_s > 120, 150)
        assert len(made) - before >= 5
        world.broker = EmbeddedBroker(port=port)
        world.broker.start()
        witness = Subscriber(port)
        wait_until(lambda: len(set(witness.ids)) >= 5 * (len(made) - before), 60)
        assert agent.end() == 0
    numbers = witness.numbers()
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert sum("plugin/complete" in topic for topic, _ in witness.events) >= len(made) - before - 1
    witness.close()
