"""Cloud, broker, cluster and node agent together: a job goes out, runs, and comes back as records and states."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
import urllib3

from edgesched.adapters.broker import EmbeddedBroker
from edgesched.adapters.clock import SystemClock
from edgesched.adapters.mqtt import MqttPublisher, MqttSettings
from edgesched.cli.standalone_cloud import start_cloud
from edgesched.cloud import schema
from edgesched.cloud.embedded import EmbeddedCloud
from edgesched.cloud.store import open_engine
from edgesched.core.model import Message
from edgesched.simcluster import Outcome, Publication, Scenario, SimCluster
from tests.cloud.api import Api, job_text
from tests.e2e import tutorial
from tests.e2e.processes import Command
from tests.waiting import wait_until

SAMPLER = Outcome(
    image="*/imagesampler:*",
    start_delay_s=0.1,
    run_s=0.6,
    log=("taking a picture",),
    publish=(Publication("upload", "https://storage.example.org/a.jpg", {"filename": "a.jpg"}, after_s=0.2),),
)
FAILS = Outcome(image="*:exit-3", start_delay_s=0.1, run_s=0.2, exit_code=(3,), log=("no sensor",))
JOB = """\
name: {name}
plugins:
- name: {plugin}
  pluginSpec: {{image: "registry.sagecontinuum.org/theone/{image}", args: [--secret, hunter2]}}
nodes: {{W023: }}
scienceRules: ["schedule({plugin}): True"]
successCriteria: ["{criterion}"]
"""


class World:
    """All parts but the agent. `publish` takes what pods publish and hands it to the broker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = EmbeddedBroker()
        host, port = self.broker.start()
        self.mqtt_uri = f"mqtt://{host}:{port}"
        self._messages: SimpleQueue[Message | None] = SimpleQueue()
        publisher = MqttPublisher(MqttSettings(host=host, port=port), lambda event, **fields: None)
        self._thread = threading.Thread(target=self._forward, args=(publisher,))
        self._thread.start()
        self.cluster = SimCluster(Scenario((SAMPLER, FAILS)), publish=self._take)
        self.kube_url = self.cluster.start()
        self.cloud = self._cloud()
        self.user = Api(self.cloud.url, self.cloud.user_token("theone", ["W023"]))
        self.node_token = self.cloud.node_token("W023")

    def _cloud(self, port: int = 0) -> EmbeddedCloud:
        flags = ["--uplink", self.mqtt_uri, "--uplink-vsn", "W023", "--keepalive-s", "2"]
        cloud = EmbeddedCloud(self.folder / "cloud", port=port, flags=flags)
        cloud.start()
        return cloud

    def restart_cloud(self) -> None:
        """Kill the cloud and start it at the same address."""
        self.cloud.stop()
        self.cloud = self._cloud(urlsplit(self.cloud.url).port or 0)

    def _take(self, name: str, value: Any, meta: Mapping[str, str], pod: dict[str, Any]) -> None:
        task = pod["metadata"]["labels"]["sagecontinuum.org/plugin-task"]
        self._messages.put(Message(name, SystemClock().now().ts_ns, value, {**meta, "task": task}))

    def _forward(self, publisher: MqttPublisher) -> None:
        while (message := self._messages.get()) is not None:
            publisher.publish([message])

    def agent(self) -> Command:
        """The node agent as a child."""
        flags = ["--node", "W023", "--kube-server", self.kube_url, "--mqtt-uri", self.mqtt_uri, "--wes=false"]
        flags += ["--goalstream-url", self.cloud.url, "--events", "cloud", "--http-listen", "127.0.0.1:0"]
        flags += ["--state-dir", str(self.folder / "agent")]
        return Command("run", *flags, env={"EDGESCHED_GOALSTREAM_TOKEN": self.node_token})

    def close(self) -> None:
        """End all parts."""
        self.cluster.stop()
        self._messages.put(None)
        self._thread.join(10)
        self.cloud.stop()
        self.broker.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world that ends with the test."""
    made = World(tmp_path)
    yield made
    made.close()


def runs(user: Api, job_id: str) -> list[dict[str, Any]]:
    """The runs of a job."""
    found: list[dict[str, Any]] = user.get(f"/jobs/{job_id}/runs").json["runs"]
    return found


def test_a_job_runs_on_the_node_and_its_records_come_back(world: World) -> None:
    """Submitted, running, completed by its criterion; uploads and events are found by the tutorial's query."""
    with world.agent() as agent:
        job = JOB.format(
            name="myjob", plugin="image-sampler", image="imagesampler:0.3.0", criterion="Runs(image-sampler, 1)"
        )
        job_id = world.user.submitted(job)
        wait_until(lambda: world.user.state(job_id) in ("Running", "Completed"), 20, what=agent.text)
        wait_until(lambda: world.user.state(job_id) == "Completed", 30)
        (run,) = wait_until(lambda: [run for run in runs(world.user, job_id) if run["state"] == "completed"])
        assert run["plugin"] == "image-sampler"
        assert run["queued"] < run["started"] < run["ended"]
        assert world.user.goals("W023") == []
        query = {"start": "-5m", "filter": {"task": "image-sampler", "vsn": "W023", "name": "upload"}}
        (upload,) = wait_until(lambda: world.user.query(**query))
        assert upload["value"] == "https://storage.example.org/a.jpg"
        assert upload["meta"] == {"filename": "a.jpg", "task": "image-sampler", "vsn": "W023"}
        names = {record["name"] for record in world.user.query(start="-5m", filter={"name": "sys.scheduler.*"})}
        assert {
            f"sys.scheduler.status.{name}" for name in ("goal.received", "plugin.launched", "plugin.complete")
        } <= names
        assert "sys.scheduler.plugin.lastexecution" not in names
        everything = json.dumps(world.user.query(start="-5m"))
        assert "hunter2" not in everything


def test_a_failure_comes_back_with_its_reason_and_log(world: World) -> None:
    """The exit code and the last lines of the plugin are what `sesctl logs` shows."""
    with world.agent():
        job_id = world.user.submitted(JOB.format(name="j", plugin="p", image="x:exit-3", criterion="WallClock(1h)"))
        failed = wait_until(lambda: [run for run in runs(world.user, job_id) if run["state"] == "failed"], 30)
        assert (failed[0]["exit_code"], failed[0]["log"]) == (3, "no sensor")


BUSY = """\
name: busy
plugins:
{plugins}
nodes: {{W023: }}
scienceRules: [{rules}]
successCriteria: ["WallClock(1h)"]
"""


@pytest.mark.parametrize(
    "outage_s", [1, pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])], ids=["short", "10min"]
)
def test_the_cloud_may_go_and_come_back(world: World, outage_s: int) -> None:
    """The agent goes on with the goal that it has; every event of the outage arrives afterwards, in order, once."""
    names = [f"p{number}" for number in range(5)]
    plugins = "".join(f"- {{name: {name}, pluginSpec: {{image: 'x.org/imagesampler:1'}}}}\n" for name in names)
    busy = BUSY.format(plugins=plugins, rules=", ".join(f'"schedule({name}): True"' for name in names))
    with world.agent() as agent:
        job_id = world.user.submitted(busy)
        wait_until(lambda: [run for run in runs(world.user, job_id) if run["state"] == "completed"], 30)
        world.cloud.stop()
        began_s, before = time.monotonic(), len(agent.events("plugin.complete"))
        agent.await_event("outbox.unavailable", 40)
        agent.await_event("cloud.unavailable", 40)
        wait_until(
            lambda: (
                time.monotonic() - began_s >= outage_s
                and len(agent.events("plugin.complete")) >= before + max(len(names) + 1, outage_s // 20 * len(names))
            ),
            outage_s + 60,
        )
        world.restart_cloud()
        agent.await_event("outbox.back", 60)
        second = world.user.submitted(job_text("second"))
        agent.await_event("goal.received", 90, job_id=second)
        assert world.user.get(f"/jobs/{job_id}/rm?force=true").status == 200
        agent.await_event("goal.removed", 30, job_id=job_id)
        assert agent.end() == 0
        # what a pod of the second job does is left out: it may still be under way
        told = [step for step in _steps_logged(agent) if step[1].startswith(tuple(names))]
    assert _steps_stored(world.folder / "cloud", names) == told
    assert len(told) == len(set(told))


STEPS = ("plugin.scheduled", "plugin.running", "plugin.complete")


def _steps_logged(agent: Command) -> list[tuple[str, str]]:
    """(event, pod) as the agent logged them."""
    lines = [json.loads(line) for line in agent.lines if line.startswith("{")]
    return [(line["event"], line["pod"]) for line in lines if line["event"] in STEPS]


def _steps_stored(data_dir: Path, names: list[str]) -> list[tuple[str, str]]:
    """(event, pod) of these plugins as the cloud stored them, in the order of their coming."""
    engine = open_engine(data_dir)
    joined = schema.records.join(schema.series, schema.records.c.series_id == schema.series.c.id)
    query = sa.select(schema.series.c.name, schema.records.c.value).select_from(joined).order_by(schema.records.c.id)
    found = []
    with engine.connect() as connection:
        for name, value in connection.execute(query):
            event = name.removeprefix("sys.scheduler.status.")
            if event in STEPS and (fields := json.loads(json.loads(value)))["plugin_name"] in names:
                found.append((event, fields["k3s_pod_name"]))
    engine.dispose()
    return found


def test_a_removed_job_ends_on_the_node(world: World) -> None:
    """With the stream connected a removal is taken at its word."""
    with world.agent() as agent:
        job_id = world.user.submitted(job_text("j", successCriteria=["WallClock(1h)"]))
        wait_until(lambda: world.user.state(job_id) == "Running", 20)
        assert world.user.get(f"/jobs/{job_id}/rm?force=true").status == 200
        agent.await_event("goal.removed", job_id=job_id)


def test_a_token_that_is_wrong_is_told(world: World) -> None:
    """The agent's log names the remedy."""
    world.node_token = "wrong"
    with world.agent() as agent:
        line = agent.await_event("cloud.unavailable")
        assert "401" in line["message"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_tutorial_word_by_word(world: World) -> None:
    """Every command of the page gives what the page shows, and the query finds a picture."""
    with world.agent():
        done = tutorial.follow(world.cloud.url, world.user.token)
    assert [command.split()[1] for command in done] == ["ping", "create", "stat", "submit", "stat", "rm"]


def test_the_cloud_of_standalone(tmp_path: Path) -> None:
    """It takes the good jobs, says why not of the others, and ends with the rest."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(job_text("good"), encoding="utf-8")
    bad.write_text(job_text("bad", rule="nothing()"), encoding="utf-8")
    with ExitStack() as parts:
        broker = EmbeddedBroker()
        host, port = broker.start()
        parts.callback(broker.stop)
        mqtt_uri = f"mqtt://{host}:{port}"
        cloud = start_cloud(parts, vsn="W023", jobs=[good, bad], mqtt_uri=mqtt_uri, port=0, say=print)
        assert cloud.jobs == {str(good): "1"}
        assert [line.startswith(f"{bad}: [line 1, column ") for line in cloud.refused] == [True]
        assert [goal["name"] for goal in Api(cloud.url, cloud.node_token).goals("W023")] == ["good"]
        assert cloud.lines[0] == f"export SES_HOST={cloud.url}"
        assert cloud.lines[1] == f"export SES_USER_TOKEN={cloud.user_token}"
    with pytest.raises(urllib3.exceptions.HTTPError):
        Api(cloud.url).get("/jobs/list")
