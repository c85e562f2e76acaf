"""The agent and a cluster: a storm of launches beside a bare client, and what waiting for an API that is away costs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

import psutil

from bench._kubes import Arrivals, Cluster, cluster
from bench.harness import Harness
from edgesched.adapters.clock import SystemClock
from edgesched.core.model import NS_PER_S, Plugin, PluginSpec, PodOrder
from edgesched.core.pods import PodSettings, pod_manifest

LAUNCHES = 500
ROUNDS = 3
WORKERS = 4
AWAY_S = 60
IMAGE = "localhost/edgesched/busybox:1"


def run(harness: Harness) -> None:
    """Measure and print all rows."""
    with cluster() as kube, tempfile.TemporaryDirectory() as folder:
        harness.note(f"{kube.kind}, {WORKERS} requests at a time for the agent as for the bare client")
        bare, ours = [], []
        for _ in range(ROUNDS):
            bare.append(_bare(kube))
            ours.append(_agent(kube, Path(folder)))
        # the least disturbed round of each: other work on the machine only ever adds
        bare_s, agent_s = min(bare), min(ours)
        harness.row(f"kube: bare client, {LAUNCHES} creates", bare_s, "s")
        harness.row(f"kube: {LAUNCHES} launches due at once", agent_s, "s", baseline=("bare", bare_s), at_most=1.5)
        if kube.real is not None:
            used_s = _away(kube, Path(folder))
            harness.row(f"kube: agent's CPU while the API is away for {AWAY_S} s", used_s, "s", at_most=1)


def _bare(kube: Cluster) -> float:
    """Create the pods as fast as threads can; return seconds from the first request to the last pod seen."""
    kube.clear()
    bodies = [json.dumps(_manifest(number)).encode() for number in range(LAUNCHES)]
    arrivals = kube.arrivals()
    began_s = time.monotonic()
    kube.create_pods(bodies, WORKERS)
    arrivals.wait(LAUNCHES, 60)
    return _end(arrivals) - began_s


def _agent(kube: Cluster, folder: Path) -> float:
    """Let so many crons be due at one second; return seconds from then to the last pod seen."""
    kube.clear()
    clock = SystemClock()
    fire_s = clock.now().ts_ns // NS_PER_S + 12
    at = time.gmtime(fire_s)
    cron = f"{at.tm_min} {at.tm_hour} * * * {at.tm_sec}"
    rules = [f"schedule(p{number}): cronjob('p{number}', '{cron}')" for number in range(LAUNCHES)]
    with _Agent(kube, _job(folder, rules)) as agent:
        agent.wait_for("pods.adopted")
        arrivals = kube.arrivals()
        due_s = time.monotonic() + (fire_s * NS_PER_S - clock.now().ts_ns) / NS_PER_S
        arrivals.wait(LAUNCHES, 60)
        return _end(arrivals) - due_s


def _away(kube: Cluster, folder: Path) -> float:
    """Kill the API server while a run is due; return the agent's CPU seconds until it comes back."""
    assert kube.real is not None
    kube.clear()
    with _Agent(kube, _job(folder, ["schedule(p0): cronjob('p0', '* * * * * */10')"])) as agent:
        agent.wait_for("plugin.scheduled")
        kube.real.kill9("apiserver")
        used_s = agent.cpu_s()
        time.sleep(AWAY_S)
        used_s = agent.cpu_s() - used_s
        kube.real.restart("apiserver")
        kube.real.wait_ready()
    return used_s


def _end(arrivals: Arrivals) -> float:
    arrivals.close()
    return max(arrivals.times.values())


def _manifest(number: int) -> dict[str, Any]:
    name = f"p{number}"
    plugin = Plugin(name, PluginSpec(IMAGE))
    order = PodOrder(f"bare-{number}", f"{name}-bare", f"{name}-bare", "1", "g", "bench", plugin)
    return pod_manifest(order, PodSettings(vsn="W023"))


def _job(folder: Path, rules: list[str]) -> Path:
    plugins = [{"name": f"p{number}", "pluginSpec": {"image": IMAGE}} for number in range(len(rules))]
    path = folder / "bench.yaml"
    path.write_text(json.dumps({"name": "bench", "plugins": plugins, "nodes": {"W023": None}, "scienceRules": rules}))
    return path


class _Agent:
    """`edgesched run` in a process of its own."""

    def __init__(self, kube: Cluster, job: Path) -> None:
        command = [sys.executable, "-m", "edgesched.cli.main", "run", "--job", str(job), "--nodename", "W023"]
        command += ["--kubeconfig", str(kube.kubeconfig), "--http-listen", "off", "--log-format", "json"]
        command += ["--wes=false", "--kube-workers", str(WORKERS)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self._seen: list[str] = []
        self._is_ready = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._reader.join(10)

    def wait_for(self, event: str) -> None:
        """Wait for a line of the log; those after it are not looked at, which would take time from the measurement."""
        end_s = time.monotonic() + 60
        while event not in self._seen:
            assert time.monotonic() < end_s, f"no {event}; {self._seen[-5:]}"
            time.sleep(0.01)
        self._is_ready = True

    def cpu_s(self) -> float:
        """Processor time so far."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if not self._is_ready:
                self._seen.append(json.loads(line)["event"] if line.startswith("{") else line)
