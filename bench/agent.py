"""The agent as a whole: from a measurement to the request for a pod, crons on time, memory, start.

The agent runs in a process of its own, against a real broker and the embedded cluster, each in theirs; a bare paho
subscriber beside it, in a process of its own as well, gives the baseline of the same run. Times are CLOCK_MONOTONIC,
which all processes of a machine share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench._timing import bare_loop_s
from bench.harness import Harness, percentile
from edgesched.core.plan.effects import LaunchPod
from edgesched.core.plan.events import Measured
from edgesched.node.config import load_config
from edgesched.node.main import Agent, Parts, build

RATE = 1000
SECONDS = 12
OTHERS = 1000
FIRES = 60
CRONS = 1000


def run(harness: Harness) -> None:
    """Measure and print all rows."""
    _latency(harness)
    _crons(harness)
    _footprint(harness)


# -- what the parent does ---------------------------------------------------------------------------------------------


class Child:
    """A part of the experiment in a process of its own; talks by lines of JSON."""

    def __init__(self, role: str, *words: str, module: str = "bench.agent") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, role, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def answer(self) -> Any:
        """Return the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self, word: str) -> Any:
        """Say a word and return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        return self.answer()

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


def _latency(harness: Harness) -> None:
    from edgesched.adapters.broker import EmbeddedBroker

    broker = EmbeddedBroker()
    _, port = broker.start()
    cluster = Child("cluster")
    url = cluster.answer()["url"]
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.yaml"
        job.write_text(_latency_job())
        agent = Child("agent", str(job), url, f"mqtt://127.0.0.1:{port}")
        bare = Child("bare", str(port))
        agent.answer()
        bare.answer()
        publisher = Child("publish", str(port))
        publisher.answer()
        report = agent.ask("report")
        received, decided, sent = report["received"], report["decided"], report["sent"]
        plain = bare.ask("report")["received"]
        for child in (publisher, agent, bare, cluster):
            child.end()
    broker.stop()
    harness.note(
        f"{RATE} measurements/s for {SECONDS} s, {OTHERS} other rules, {len(decided)} decided, {len(sent)} launched"
    )
    floor = percentile(plain, 99)
    harness.row("bare paho subscriber: published -> received p50", percentile(plain, 50), "ms")
    harness.row("bare paho subscriber: published -> received p99", floor, "ms")
    harness.row("agent: published -> received p99", percentile(received, 99), "ms", baseline=("bare", floor))
    harness.row("agent: received -> decided p50", percentile(decided, 50), "ms")
    harness.row("agent: received -> decided p99", percentile(decided, 99), "ms", baseline=("bare", floor), at_most=4)
    harness.row("agent: decided -> create request sent p50", percentile(sent, 50), "ms")
    harness.row("agent: decided -> create request sent p99", percentile(sent, 99), "ms", at_most=5)


def _latency_job() -> str:
    lines = ["name: latency", "nodes:", "  W023:", "plugins:"]
    for number in range(FIRES):
        lines += [f"- name: p{number}", "  pluginSpec:", f"    image: bench/p{number}:1.0.0"]
    lines.append("scienceRules:")
    lines += [f"- \"schedule(p{n}): any(v('bench.fire.n{n}', since='-5s') > 10)\"" for n in range(FIRES)]
    lines += [f"- \"publish(bench.out.n{n}): avg(v('bench.other.n{n}')) > 1e9\"" for n in range(OTHERS)]
    return "\n".join(lines) + "\n"


def _crons(harness: Harness) -> None:
    cluster = Child("cluster")
    url = cluster.answer()["url"]
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.yaml"
        lines = ["name: crons", "nodes:", "  W023:", "plugins:"]
        for number in range(CRONS):
            lines += [f"- name: c{number}", "  pluginSpec:", f"    image: bench/c{number}:1.0.0"]
        lines.append("scienceRules:")
        # begin in the middle of a minute, so that the slot finds a quiet agent
        minute = _next_minute()
        lines += [f"- \"schedule(c{n}): cronjob('c{n}', '{minute} * * * *')\"" for n in range(CRONS)]
        job.write_text("\n".join(lines) + "\n")
        agent = Child("crons", str(job), url)
        agent.answer()
        report = agent.answer()
        late, loop_ms = report["late"], report["loop_ms"]
        agent.end()
        cluster.end()
    harness.note(f"{len(late)} of {CRONS} cron rules due at one minute")
    harness.row(f"cron lateness p50, {CRONS} due at once", percentile(late, 50), "ms")
    harness.row(f"cron lateness p99, {CRONS} due at once", percentile(late, 99), "ms", at_most=20)
    harness.row(f"{CRONS} crons decided: processor time", report["used_ms"], "ms", baseline=("a bare loop", loop_ms))


def _next_minute() -> int:
    """Wait for the first 40 s of a minute; return the number of the next one."""
    from edgesched.adapters.clock import SystemClock

    second = (SystemClock().now().ts_ns // 10**9) % 60
    if second > 40:
        time.sleep(62 - second)
    return (SystemClock().now().ts_ns // (60 * 10**9) + 1) % 60


def _footprint(harness: Harness) -> None:
    from edgesched.adapters.broker import EmbeddedBroker

    broker = EmbeddedBroker()
    _, port = broker.start()
    cluster = Child("cluster")
    url = cluster.answer()["url"]
    rss, starts = [], []
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.yaml"
        job.write_text(_footprint_job())
        for _ in range(3):
            memory_mib, start_s = _start_once(job, url, port)
            rss.append(memory_mib)
            starts.append(start_s)
    cluster.end()
    broker.stop()
    harness.row("agent: RSS idle, MQTT and Kubernetes, 100 rules", percentile(rss, 50), "MiB", at_most=85)
    harness.row("agent: start to first evaluation", percentile(starts, 50), "s", at_most=1.5)


def _footprint_job() -> str:
    lines = ["name: idle", "nodes:", "  W023:", "plugins:", "- name: p", "  pluginSpec:", "    image: bench/p:1.0.0"]
    lines.append("scienceRules:")
    lines += ["- \"schedule(p): any(v('bench.fire') > 10)\""]
    lines += [f"- \"publish(bench.out.n{n}): avg(v('bench.other.n{n}', since='-1h')) > 1e9\"" for n in range(99)]
    return "\n".join(lines) + "\n"


def _start_once(job: Path, url: str, port: int) -> tuple[float, float]:
    """Start `edgesched run` as a user does; return its RSS when idle and the time to its first launch."""
    marker = b'"event":"plugin.queued"'
    text = job.read_text().replace("any(v('bench.fire') > 10)", "True")
    job.write_text(text)
    before = time.monotonic()
    command = [sys.executable, "-m", "edgesched.cli.main", "run", "--job", str(job), "--kube-server", url]
    command += ["--mqtt-uri", f"mqtt://127.0.0.1:{port}", "--nodename", "W023", "--http-listen", "127.0.0.1:0"]
    process = subprocess.Popen([*command, "--log-format", "json"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    for line in process.stderr:
        if marker in line.replace(b'": "', b'":"'):
            break
    took_s = time.monotonic() - before
    time.sleep(3)
    memory_kib = 0
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            memory_kib = int(line.split()[1])
    process.terminate()
    process.stderr.close()
    process.wait(20)
    return memory_kib / 1024, took_s


# -- what the children do ---------------------------------------------------------------------------------------------


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


def _cluster() -> None:
    from edgesched.simcluster import SimCluster

    cluster = SimCluster()
    _say({"url": cluster.start()})
    sys.stdin.read()
    cluster.stop()


def _build(job: str, url: str, parts: Parts, mqtt: str = "") -> Agent:
    words = ["--job", job, "--kube-server", url, "--nodename", "W023", "--http-listen", "off", "--events", "log"]
    if mqtt:
        words += ["--mqtt-uri", mqtt]
    return build(load_config(words), notice=lambda *_, **__: None, parts=parts)


def _agent_child(job: str, url: str, mqtt: str) -> None:
    arrived: dict[int, int] = {}
    travel: list[float] = []
    waited: list[float] = []
    asked: dict[str, int] = {}
    passed: list[float] = []

    def received(event: Any) -> None:
        if isinstance(event, Measured):
            now_ns = time.monotonic_ns()
            arrived[id(event)] = now_ns
            travel.append((now_ns - int(event.measurement.meta["sent"])) / 1e6)

    def decided(event: Any, effects: list[Any]) -> None:
        now_ns = time.monotonic_ns()
        began_ns = arrived.pop(id(event), None)
        if began_ns is not None:
            waited.append((now_ns - began_ns) / 1e6)
        for effect in effects:
            if isinstance(effect, LaunchPod):
                asked[effect.order.run_id] = now_ns

    def sent(effect: Any) -> None:
        if isinstance(effect, LaunchPod):
            passed.append((time.monotonic_ns() - asked[effect.order.run_id]) / 1e6)

    agent = _build(job, url, Parts(received=received, decided=decided, sent=sent), mqtt)
    agent.start()
    deadline = time.monotonic() + 30
    while len(agent.state.rules) < OTHERS or not agent.connections()["measurements"]:
        assert time.monotonic() < deadline, "the agent did not get ready"
        time.sleep(0.05)
    time.sleep(1)
    _say("ready")
    sys.stdin.readline()
    time.sleep(1)
    _say({"received": travel[RATE:], "decided": waited[RATE:], "sent": passed})
    sys.stdin.read()
    agent.stop()


def _crons_child(job: str, url: str) -> None:
    from edgesched.adapters.clock import SystemClock

    clock = SystemClock()
    late: list[float] = []
    used_ms = loop_ms = 0.0
    done = threading.Event()

    def decided(_event: Any, effects: list[Any]) -> None:
        nonlocal used_ms, loop_ms
        after_ms, after_used_ms = (clock.now().ts_ns % (60 * 10**9)) / 1e6, time.thread_time() * 1000
        late.extend(after_ms for effect in effects if isinstance(effect, LaunchPod))
        if len(late) >= CRONS:
            used_ms = after_used_ms - before_ms
            loop_ms = bare_loop_s() * 1000
            done.set()

    def wait_until_second(second: float) -> None:
        time.sleep(second - clock.now().ts_ns / 1e9 % 60)

    agent = _build(job, url, Parts(decided=decided))
    agent.start()
    _say("ready")
    (engine,) = [thread.ident for thread in threading.enumerate() if thread.name == "engine"]
    assert engine is not None
    # all that can be done ahead is done by then
    wait_until_second(59.9)
    before_ms = time.clock_gettime(time.pthread_getcpuclockid(engine)) * 1000
    done.wait(100)
    _say({"late": late, "used_ms": used_ms, "loop_ms": loop_ms})
    sys.stdin.read()
    agent.stop()


def _bare(port: str) -> None:
    import paho.mqtt.client as mqtt

    travel: list[float] = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)

    def on_message(_client: Any, _userdata: Any, message: Any) -> None:
        wire = json.loads(message.payload)
        travel.append((time.monotonic_ns() - int(wire["meta"]["sent"])) / 1e6)

    client.on_message = on_message
    client.on_connect = lambda *_: client.subscribe("bench/#")
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    while not client.is_connected():
        time.sleep(0.02)
    time.sleep(0.3)
    _say("ready")
    sys.stdin.readline()
    _say({"received": travel[RATE:]})
    sys.stdin.read()
    client.loop_stop()


def _publish(port: str) -> None:
    import paho.mqtt.client as mqtt

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    while not client.is_connected():
        time.sleep(0.02)
    total = RATE * SECONDS
    every = (total - 2 * RATE) // FIRES
    began = time.monotonic()
    for number in range(total):
        due = began + number / RATE
        pause_s = due - time.monotonic()
        if pause_s > 0:
            time.sleep(pause_s)
        if number >= RATE and (number - RATE) % every == 0 and (number - RATE) // every < FIRES:
            name, value = f"bench.fire.n{(number - RATE) // every}", 20
        else:
            name, value = f"bench.other.n{number % OTHERS}", 1
        wire = {"name": name, "ts": time.time_ns(), "val": value, "meta": {"sent": str(time.monotonic_ns())}}
        client.publish(name.replace(".", "/"), json.dumps(wire))
    time.sleep(0.5)
    _say("done")
    sys.stdin.read()
    client.loop_stop()


ROLES = {"cluster": _cluster, "agent": _agent_child, "crons": _crons_child, "bare": _bare, "publish": _publish}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
