"""Fifteen broken situations: `status`, `explain` and one log line name the cause and what to do about it."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgesched.adapters.broker import free_port
from edgesched.cli.main import main
from edgesched.core.model import NS_PER_S
from edgesched.node.config import load_config
from edgesched.node.main import Parts, build
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.e2e.processes import Command
from tests.unit.node.fakes import ManualClock, Notices
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
WAIT_S = 90.0

JOB = """\
name: myjob
plugins:
- name: sampler
  pluginSpec: {image: "registry.sagecontinuum.org/theone/imagesampler:0.3.0", selector: {SELECTOR}}
- name: counter
  pluginSpec: {image: "registry.sagecontinuum.org/theone/counter:0.3.0", selector: {SELECTOR}}
nodes: {W023: true}
scienceRules:
RULES
"""
ALWAYS = ("schedule(sampler): True",)
CRON = ("schedule(sampler): cronjob('sampler', '0 0 1 1 *')",)


class Node:
    """A job file, a cluster and an agent to be asked by the commands that an operator types."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], cluster: SimCluster) -> None:
        self.folder = folder
        self.cluster = cluster
        self.port = free_port()
        self._capsys = capsys
        self.kube = ["--kube-server", cluster.url]

    def flags(self, *more: str, rules: tuple[str, ...] = CRON, selector: str = "", kube: bool = True) -> list[str]:
        """The command line of the agent; the job file is written anew."""
        job = self.folder / "job.yaml"
        rules_text = "\n".join(f"- {json.dumps(rule)}" for rule in rules)
        job.write_text(JOB.replace("RULES", rules_text).replace("SELECTOR", selector))
        flags = ["--node", "W023", f"--job={job}", "--http-listen", f"127.0.0.1:{self.port}", "--log-format", "json"]
        return [*flags, "--wes=false", *(self.kube if kube else []), *more]

    def asked(self, *words: str) -> str:
        """What a command prints, folds of lines undone; empty while nobody answers."""
        main([*words, "--url", f"http://127.0.0.1:{self.port}"])
        told = self._capsys.readouterr()
        return " ".join((told.out + told.err).split())

    def shows(self, words: str, *sentences: str) -> None:
        """Wait until a command shows all of these sentences."""
        last = ""

        def found() -> bool:
            nonlocal last
            last = self.asked(*words.split())
            return all(sentence in last for sentence in sentences)

        try:
            wait_until(found, WAIT_S)
        except AssertionError as error:
            raise AssertionError(f"{words} does not show {sentences}:\n{last}") from error


@pytest.fixture
def node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Node]:
    """A node whose pods run for a minute; `cluster` may be replaced."""
    with SimCluster(Scenario((Outcome(run_s=60.0),))) as cluster:
        yield Node(tmp_path, capsys, cluster)


@contextmanager
def cluster_of(node: Node, *outcomes: Outcome) -> Iterator[None]:
    """Another cluster in its place."""
    with SimCluster(Scenario(outcomes)) as cluster:
        node.cluster, node.kube = cluster, ["--kube-server", cluster.url]
        yield


def line_of(agent: Command, event: str, **fields: Any) -> dict[str, Any]:
    """The one log line: it has a remedy."""
    line = agent.await_event(event, WAIT_S, **fields)
    assert line["hint"], line
    return line


def test_the_cloud_is_away(node: Node) -> None:
    """1. The jobs in force go on, and it is said that they are not news."""
    away = f"http://127.0.0.1:{free_port()}"
    with Command("run", *node.flags("--goalstream-url", away)) as agent:
        line = line_of(agent, "cloud.unavailable")
        assert "Connection refused" in line["message"]
        assert "the jobs in force go on" in line["hint"]
        node.shows("status", "the cloud is away", "Connection refused", "check the network and --goalstream-url")
        node.shows(
            "explain sampler", "the node has an alarm: the cloud is away", "check the network and --goalstream-url"
        )


def test_the_broker_is_away(node: Node) -> None:
    """2. Rules on measurements are unknown, and why."""
    rules = ("schedule(sampler): any(v('env.t') > 3)",)
    with Command("run", *node.flags("--mqtt-uri", f"mqtt://127.0.0.1:{free_port()}", rules=rules)) as agent:
        line = line_of(agent, "mqtt.unreachable")
        assert "refused" in line["reason"]
        assert "--mqtt-uri names it" in line["hint"]
        node.shows(
            "status", "measurements AWAY since", "the MQTT broker cannot be reached", "check that the MQTT broker runs"
        )
        node.shows(
            "explain sampler",
            "unknown: no data for env.t",
            "the MQTT broker cannot be reached: ",
            "check that the MQTT broker runs and that --mqtt-uri names it",
        )


@contextmanager
def refusing_broker() -> Iterator[int]:
    """A broker that answers every login with `not authorized`; its port."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                with connection, contextlib.suppress(OSError):
                    connection.recv(1024)
                    connection.sendall(b"\x20\x02\x00\x05")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stop.set()
            thread.join(10)


def test_the_password_is_wrong(node: Node) -> None:
    """3. A refused login is told apart from a broker that is away."""
    with refusing_broker() as port, Command("run", *node.flags("--mqtt-uri", f"mqtt://me@127.0.0.1:{port}")) as agent:
        remedy = "check the MQTT user, its password and the broker's access list"
        line = line_of(agent, "mqtt.login_refused")
        assert line["level"] == "error"
        assert "refused the password of user 'me'" in line["reason"]
        assert line["hint"] == remedy
        node.shows("status", "the MQTT broker refuses the login", line["reason"], f"-> {remedy}")
        node.shows("explain sampler", "the node has an alarm: the MQTT broker refuses the login", f"-> {remedy}")


def test_the_cluster_is_away(node: Node) -> None:
    """4. Nothing can be launched; what the rules say is still shown."""
    node.kube = ["--kube-server", f"http://127.0.0.1:{free_port()}"]
    with Command("run", *node.flags(rules=ALWAYS)) as agent:
        line = line_of(agent, "kube.watch.lost")
        assert "connection refused" in line["error"]
        assert "check the API server" in line["hint"]
        node.shows("status", "not ready: waits for cluster", "the cluster is away", "kubectl get nodes")
        node.shows(
            "explain sampler",
            "the cluster is away",
            "the cluster must answer with its list of pods",
            "kubectl get nodes",
        )


def test_the_roles_are_missing(node: Node) -> None:
    """5. Forbidden is not away: the remedy is a command."""
    told = 'pods is forbidden: User "edgesched" cannot list resource "pods"'
    node.cluster.faults.fail(10_000, code=403, match="* /api/v1/namespaces/ses/pods*", message=told)
    with Command("run", *node.flags(rules=ALWAYS)) as agent:
        line = line_of(agent, "kube.watch.lost")
        assert "cannot list" in line["error"]
        assert "kubectl apply -k deploy/kubernetes/rbac" in line["hint"]
        node.shows("status", "the cluster forbids", "cannot list", "kubectl apply -k deploy/kubernetes/rbac")
        node.shows("explain sampler", "the cluster forbids", "kubectl apply -k deploy/kubernetes/rbac")


def test_the_image_is_missing(node: Node) -> None:
    """6. The pull error of the pod, and where to look."""
    with cluster_of(node, Outcome(pull_error="not found")), Command("run", *node.flags(rules=ALWAYS)) as agent:
        line = line_of(agent, "plugin.waiting", plugin="sampler")
        assert "ErrImagePull" in line["reason"]
        assert "check the image's name and tag" in line["hint"]
        node.shows("status", "ImagePullBackOff", "check the image's name and tag, the registry and the pull secret")
        node.shows("explain sampler", "ErrImagePull", "check the image's name and tag", "must start and end")


def test_the_gpu_is_held(node: Node) -> None:
    """7. Who holds it, and since when."""
    rules = ("schedule(counter): True", "schedule(sampler): after('counter') or True")
    flags = node.flags("--policy", "gpuaware", rules=rules, selector='resource.gpu: "true"')
    with Command("run", *flags) as agent:
        line = line_of(agent, "plugin.waiting")
        held, holder = line["plugin"], {"sampler": "counter", "counter": "sampler"}[line["plugin"]]
        assert f"waiting for GPU: held by {holder} of job" in line["reason"]
        node.shows("status", f"held by {holder} of job", "it starts when the holder ends")
        assert "it starts when the holder ends" in line["hint"]
        node.shows(
            f"explain {held}",
            f"waiting for GPU: held by {holder} of job",
            "it starts when the holder ends",
            "its waiting run must go first",
        )


def test_a_rule_is_unknown(node: Node) -> None:
    """8. Which measurement is missing, and for how long the window has been watched."""
    rules = ("schedule(sampler): avg(v('env.pressure', since='-5m')) > 3",)
    with Command("run", *node.flags(rules=rules)) as agent:
        line = line_of(agent, "rule.unknown", plugin="sampler")
        assert line["reason"] == "no data for env.pressure in the last 5m"
        node.shows(
            "status", "unknown: no data for env.pressure in the last 5m", "check that what it reads is published"
        )
        node.shows(
            "explain sampler",
            "is unknown",
            "no data for env.pressure in the last 5m",
            "of 5m)",
            "must become true",
            "check that what it reads is published",
        )


def test_a_plugin_fails_again_and_again(node: Node) -> None:
    """9. Its last words, how often, and when it is tried again."""
    outcome = Outcome(exit_code=(7,), run_s=0.1, log=("opening the camera", "no camera found"))
    with cluster_of(node, outcome), Command("run", *node.flags("--breaker-after", "1", rules=ALWAYS)) as agent:
        assert "read its last words" in line_of(agent, "plugin.failing", plugin="sampler")["hint"]
        assert line_of(agent, "plugin.failed", plugin="sampler")["return_code"] == 7
        node.shows(
            "status", "held: failing (1 in a row, next try ", "exit code 7", "read its last words in edgesched explain"
        )
        node.shows(
            "explain sampler", "failed: Error, exit code 7", "no camera found", "next try", "what holds it must end"
        )


def test_the_clock_is_wrong(tmp_path: Path, node: Node) -> None:
    """10. No slot opens before the clock is set, and that is said."""
    job = node.flags()[2]
    config = load_config([job, "--node", "W023", "--wes=false", *node.kube, "--http-listen", f"127.0.0.1:{node.port}"])
    notices = Notices()
    agent = build(config, notice=notices, parts=Parts(clock=ManualClock(1_577_836_800 * NS_PER_S)))
    agent.start()
    try:
        wait_until(lambda: notices.named("clock.untrusted"), WAIT_S)
        assert "timedatectl" in notices.named("clock.untrusted")[0]["hint"]
        node.shows("status", "the clock is not set", "check the time service: timedatectl")
        node.shows(
            "explain sampler",
            "the clock is not set",
            "check the time service",
            "the clock must be set before cron slots",
        )
    finally:
        agent.stop()


def test_the_disk_is_full(node: Node) -> None:
    """11. The state cannot be written."""
    flags = node.flags("--state-dir", str(node.folder / "state"), rules=ALWAYS)
    with Command("run", *flags) as agent:
        agent.await_event("plugin.running", WAIT_S)
        _, hard = resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        main(["pause", "--all", "--state-dir", str(node.folder / "state")])
        assert "free some space" in line_of(agent, "state.unavailable")["hint"]
        node.shows("status", "the state cannot be written", "df -h")
        node.shows("explain sampler", "the node has an alarm: the state cannot be written", "free some space")
        resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_no_jobs_are_in_force(node: Node) -> None:
    """12. Nobody asks for anything, or nobody asks for anything here."""
    flags = [flag for flag in node.flags() if not flag.startswith("--job=")]
    with Command("run", *flags) as agent:
        assert "--goalstream-url" in line_of(agent, "goals.no_source")["hint"]
        node.shows("status", "no jobs in force", "no jobs are asked for", "name a job with --job")
        node.shows("explain sampler", "no plugin sampler on this node (no job is in force: see edgesched status)")


def test_the_job_is_for_another_node(node: Node) -> None:
    """12b. The source told of a job, and none is for this node."""
    flags = [flag.replace("W023", "W099") for flag in node.flags()]
    with Command("run", *flags) as agent:
        assert "add W099 under nodes" in line_of(agent, "goals.not_for_this_node")["hint"]
        node.shows("status", "files told of 1 jobs, none for W099", "submit a job with W099 under nodes")
        node.shows("explain sampler", "no plugin sampler on this node", "no job is in force: see edgesched status")


def refused(node: Node, monkeypatch: pytest.MonkeyPatch, flags: list[str], *words: str) -> None:
    """The agent does not start: its line, `status` and `explain` name the cause, and systemd is told (elsewhere)."""
    last_words = node.folder / "words"
    last_words.mkdir()
    monkeypatch.setenv("EDGESCHED_STATE_DIR", str(last_words))
    with Command("run", *flags) as agent:
        assert agent.ended(WAIT_S) in {1, 2}
        line = agent.lines[-1]
    for text in (line, node.asked("status"), node.asked("explain", "sampler")):
        assert all(word in text for word in words), text
    assert "when it last tried to start it said" in node.asked("status")


def test_the_configuration_has_a_typing_error(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """13. File, line and the key that was meant."""
    config = node.folder / "agent.yaml"
    config.write_text("nodeName: W023\npolcy: gpuaware\n")
    refused(
        node,
        monkeypatch,
        node.flags("--config", str(config)),
        "agent.yaml:2",
        "unknown key 'polcy'",
        "did you mean policy?",
    )


def test_the_port_is_taken(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """14. Which address, and the flag to change it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        flags = [flag.replace(str(node.port), str(port)) for flag in node.flags()]
        refused(node, monkeypatch, flags, f"cannot listen on 127.0.0.1:{port}: Address already in use", "--http-listen")


def test_the_state_is_of_a_newer_program(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """15. Neither read nor destroyed: which versions, and the two ways out."""
    state = node.folder / "state"
    flags = node.flags("--state-dir", str(state))
    with Command("run", *flags) as agent:
        agent.await_event("goal.received", WAIT_S)
        agent.end()
    (file,) = state.glob("*.db")
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    refused(node, monkeypatch, flags, "written by a newer version", "install that version again, or move the file away")
