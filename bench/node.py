"""The agent on a real node, under the loads that the reference scheduler was measured with on the same machine.

Root, cgroup v1 and 25 minutes; `SHORT=1 make bench-node` takes 8. The figures of the reference are those of one run of
its own code on this kind of node: real kubelet and containerd 1.20, 2 cores, its clients' limits as shipped.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench._kubes import PODS, Cluster
from bench._node import Watcher, until
from bench.harness import Harness, percentile
from edgesched.adapters.clock import SystemClock
from edgesched.core.model import MINUTE_NS, NS_PER_S, Plugin, PluginSpec, PodOrder
from edgesched.core.pods import PodSettings, pod_manifest
from tests.kube.node.agents import IMAGE, Agent, Bus, Part, write_job
from tests.kube.realkube import RealKube

SHORT = bool(os.environ.get("SHORT"))
SLOTS = 4 if SHORT else 12
CROWD_SLOTS = 2 if SHORT else 8
CROWD = 50
BARE_ROUNDS = 1 if SHORT else 3
"""Before the crowd, and as many after it: a machine that is shared is not the same at both times."""
PUSHES = 2 * SLOTS
MINUTELY = "cronjob('{}', '* * * * *')"

MIXED = [
    Part("c02", "sleep 0.2", condition=MINUTELY.format("c02")),
    Part("c5", "sleep 5", condition=MINUTELY.format("c5")),
    Part("c70", "sleep 70", condition=MINUTELY.format("c70")),
    Part("fail1", "sleep 0.2; exit 1", condition=MINUTELY.format("fail1")),
    Part("meas", "sleep 3", condition="any(v('env.test', since='-12s') > 10)"),
    *[Part(f"long{number}", "sleep 3000") for number in range(5)],
]
TWIN = [Part("twin", "sleep 15", condition=MINUTELY.format("twin"))]
TWIN_QUICK = [Part("twin", "sleep 3", condition=MINUTELY.format("twin"))]
CROWDED = [Part(f"y{number:02}", "sleep 3", condition=MINUTELY.format(f"y{number:02}")) for number in range(CROWD)]


@dataclass
class World:
    """The node, who watches it, the broker and the jobs of the agent."""

    real: RealKube
    kube: Cluster
    watcher: Watcher
    bus: Bus
    jobs: Path
    folder: Path
    clock: SystemClock

    def agent(self) -> Agent:
        """Start the agent with a state directory, as on a node.

        Slots stay open for 50 s: a job that comes in the last seconds of a minute begins with a whole one.
        """
        flags = [f"--state-dir={self.folder}/state", f"--pods-upload-root={self.folder}/uploads", "--pods-grace-s=5"]
        return Agent(self.jobs, self.real.kubeconfig, self.bus, "--grace=50s", *flags)

    def before_minute(self) -> int:
        """Wait until 6 s before a minute; return its start, ns."""
        minute_ns = (self.clock.now().ts_ns + 6 * NS_PER_S) // MINUTE_NS * MINUTE_NS + MINUTE_NS
        until(minute_ns - 6 * NS_PER_S)
        return minute_ns

    def told(self, name: str, since_ns: int) -> Counter[str]:
        """How often an event was told of each plugin since a time."""
        return Counter(
            str(each.fields.get("plugin_name") or each.fields.get("plugin"))
            for each in list(self.bus.told)
            if each.name == name and each.at_ns >= since_ns
        )


def run(harness: Harness) -> None:
    """Measure and print all rows."""
    with tempfile.TemporaryDirectory() as name, RealKube("node", Path(name) / "k") as real:
        real.prepare_wes()
        folder = Path(name)
        (folder / "jobs").mkdir()
        kube = Cluster("real node", real.kubeconfig, real)
        watcher, bus = Watcher(kube), Bus()
        world = World(real, kube, watcher, bus, folder / "jobs", folder, SystemClock())
        try:
            _mixed(harness, world)
            _crowd(harness, world)
        finally:
            watcher.close()
            bus.close()


# -- a few plugins, restart, outage -----------------------------------------------------------------------------------


def _mixed(harness: Harness, world: World) -> None:
    with world.agent() as agent:
        agent.wait_ready()
        begin_ns = world.before_minute()
        write_job(world.jobs / "mixed.yaml", MIXED)
        write_job(world.jobs / "first.yaml", TWIN)
        write_job(world.jobs / "second.yaml", TWIN_QUICK)
        agent.await_event("goal.received", 5, goal_name="mixed")
        until(begin_ns - NS_PER_S)
        pushes = _push(world)
        end_ns = begin_ns + SLOTS * MINUTE_NS
        cpu_s = agent.cpu_s()
        until(end_ns - NS_PER_S)
        harness.row("node: agent's CPU, a few plugins", (agent.cpu_s() - cpu_s) / (SLOTS * 60) * 100, "%")
        harness.row("node: agent's RSS, a few plugins", agent.rss_mib(), "MiB", baseline=("scheduler + checker", 131))
        pushes.join()
        until(end_ns + 5 * NS_PER_S)  # slots that were not served are told when the next ones open
        _cron_rows(harness, world, begin_ns, end_ns)
        _measured_rows(harness, world)
        world.bus.fire(*[f"long{number}" for number in range(5)])
        for number in range(5):
            world.bus.wait(f"long{number}", "plugin.running", 120)
        agent.end(signal.SIGTERM)
    stopped_ns = world.clock.now().ts_ns
    with world.agent() as agent:
        _restart_rows(harness, world, agent, stopped_ns)
        _outage_rows(harness, world, agent)
        for job in world.jobs.iterdir():
            job.unlink()
        agent.await_event("goal.removed", 60, goal_name="mixed")
        assert agent.end() == 0
    world.kube.clear()


_PUSHED: dict[int, int] = {}


def _push(world: World) -> threading.Thread:
    """Publish a hot measurement now and then; note when."""

    def push() -> None:
        period_s = SLOTS * 60 / PUSHES
        for number in range(PUSHES):
            time.sleep(period_s - 0.37 * (number % 3))  # at any phase of the minute
            _PUSHED[number] = world.clock.now().ts_ns
            world.bus.publish("env/test", b"20")

    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    return thread


def _cron_rows(harness: Harness, world: World, begin_ns: int, end_ns: int) -> None:
    late_ms: list[float] = []
    missed = _missed_slots(world, begin_ns, end_ns)
    for plugin, theirs in (("c02", 6), ("c5", 10), ("c70", 5), ("fail1", 68)):
        served = _served_slots(world, plugin, begin_ns, end_ns)
        pods = [pod for pod in world.watcher.of(plugin, begin_ns - NS_PER_S) if pod.created_ns < end_ns - NS_PER_S]
        harness.note(f"{plugin}: {len(served)} of {SLOTS} slots served, {missed[plugin]} recorded as missed")
        reference = ("reference", theirs * SLOTS / 12)
        if plugin == "c70":
            whole = len(served) + missed[plugin]
            harness.row(f"node: {plugin}, slots served", len(served), "runs", baseline=reference)
            harness.row(f"node: {plugin}, slots served or recorded", whole, "slots", at_least=SLOTS)
            continue
        bound = SLOTS / reference[1]
        harness.row(
            f"node: {plugin}, launches in {SLOTS} slots", len(pods), "runs", baseline=reference,
            at_most=bound if plugin == "fail1" else None, at_least=None if plugin == "fail1" else bound,
        )  # fmt: skip
        assert len(set(served)) == len(served), f"{plugin} was run twice in a slot"
        late_ms += [(pod.created_ns % MINUTE_NS) / 1e6 for pod in pods]
    harness.row("node: cron to created pod p50", percentile(late_ms, 50), "ms", baseline=("reference", 7400))
    harness.row("node: cron to created pod max", max(late_ms), "ms", baseline=("reference", 7780))
    failed = world.told("plugin.failed", begin_ns - NS_PER_S)
    false = sum(count for plugin, count in failed.items() if plugin != "fail1")
    harness.row("node: runs falsely told as failed", false, "runs", at_most=0)
    twins = Counter(pod.job for pod in world.watcher.of("twin", begin_ns - NS_PER_S) if pod.created_ns < end_ns)
    harness.note(f"two jobs with one plugin name: {dict(twins)} launches")
    harness.row("node: the rarer of two twins, launches", min(twins.values()), "runs", at_least=SLOTS)


def _served_slots(world: World, prefix: str, begin_ns: int, end_ns: int) -> list[int]:
    """The slots that runs of plugins with such names were made for; the event names the time of day."""
    day_ns = 86_400 * NS_PER_S
    slots = []
    for each in list(world.bus.told):
        if each.name == "plugin.queued" and str(each.fields["plugin_name"]).startswith(prefix):
            hour, minute, second = map(int, str(each.fields.get("slot", "0:0:0")).split(":"))
            slots.append(each.at_ns // day_ns * day_ns + (hour * 3600 + minute * 60 + second) * NS_PER_S)
    return [slot_ns for slot_ns in slots if begin_ns <= slot_ns < end_ns]


def _missed_slots(world: World, begin_ns: int, end_ns: int) -> Counter[str]:
    return Counter(
        str(each.fields["plugin"])
        for each in list(world.bus.told)
        if each.name == "slot.missed" and begin_ns <= each.fields["slot_ns"] < end_ns
    )


def _measured_rows(harness: Harness, world: World) -> None:
    pods = [pod.created_ns for pod in world.watcher.of("meas")]
    delays_ms = []
    for pushed_ns in _PUSHED.values():
        first = next((created_ns for created_ns in pods if pushed_ns <= created_ns < pushed_ns + 10 * NS_PER_S), None)
        if first is not None:
            delays_ms.append((first - pushed_ns) / 1e6)
    harness.row("node: measurement to created pod p50", percentile(delays_ms, 50), "ms", baseline=("reference", 5140))
    harness.row("node: measurement to created pod p99", percentile(delays_ms, 99), "ms", at_most=50)
    harness.row(f"node: measurements lost of {PUSHES}", PUSHES - len(delays_ms), "runs",
                baseline=("reference", 0.38 * PUSHES), at_most=0)  # fmt: skip


def _restart_rows(harness: Harness, world: World, agent: Agent, stopped_ns: int) -> None:
    agent.await_event("pods.adopted", 60)
    agent.wait_ready()
    time.sleep(10)
    killed = [pod for pod in world.watcher.seen.values() if pod.plugin.startswith("long") and pod.deleted_ns]
    again = [pod for pod in world.watcher.seen.values() if pod.plugin.startswith("long")]
    harness.row("node: restart with 5 long plugins, pods killed", len(killed), "pods", baseline=("reference", 5),
                at_most=0)  # fmt: skip
    assert len(again) == 5
    told = world.told("plugin.failed", stopped_ns)
    harness.row("node: restart, runs told as failed", sum(told.values()) - told["fail1"], "runs", at_most=0)


def _outage_rows(harness: Harness, world: World, agent: Agent) -> None:
    """Kill the API server from 15 s before a minute to 15 s after it."""
    slot_ns = (world.clock.now().ts_ns + 20 * NS_PER_S) // MINUTE_NS * MINUTE_NS + MINUTE_NS
    until(slot_ns - 15 * NS_PER_S)
    cpu_s = agent.cpu_s()
    world.real.kill9("apiserver")
    until(slot_ns + 15 * NS_PER_S)
    cpu_s = agent.cpu_s() - cpu_s
    world.real.restart("apiserver")
    world.real.wait_ready()
    until(slot_ns + 58 * NS_PER_S)
    lost = []
    for plugin in ("c02", "c5", "fail1"):
        launched = [pod for pod in world.watcher.of(plugin, slot_ns) if pod.created_ns < slot_ns + MINUTE_NS]
        if not launched:
            lost.append(plugin)
    harness.row("node: API away 30 s, due plugins lost", len(lost), "runs", baseline=("reference", 2), at_most=0)
    harness.row("node: API away 30 s, agent's CPU", cpu_s, "s", at_most=0.5)
    killed = [pod for pod in world.watcher.seen.values() if pod.plugin.startswith("long") and pod.deleted_ns]
    harness.row("node: API away 30 s, running pods killed", len(killed), "pods", at_most=0)


# -- fifty at once ----------------------------------------------------------------------------------------------------


def _crowd(harness: Harness, world: World) -> None:
    rounds_s = [_bare(world, number) for number in range(BARE_ROUNDS)]
    time.sleep(45)
    world.kube.clear()
    with world.agent() as agent:
        agent.wait_ready()
        begin_ns = world.before_minute()
        end_ns = begin_ns + CROWD_SLOTS * MINUTE_NS
        job = write_job(world.jobs / "crowd.yaml", CROWDED)
        agent.await_event("goal.received", 5, goal_name="crowd")
        until(begin_ns - NS_PER_S)
        cpu_s = agent.cpu_s()
        until(end_ns - NS_PER_S)
        harness.row(f"node: agent's CPU, {CROWD} plugins", (agent.cpu_s() - cpu_s) / (CROWD_SLOTS * 60) * 100, "%")
        harness.row(f"node: agent's RSS, {CROWD} plugins", agent.rss_mib(), "MiB",
                    baseline=("scheduler + checker", 145))  # fmt: skip
        until(end_ns + 5 * NS_PER_S)
        last_s = _crowd_rows(harness, world, begin_ns, end_ns)
        job.unlink()
        agent.await_event("goal.removed", 60)
        assert agent.end() == 0
    time.sleep(45)
    world.kube.clear()
    rounds_s += [_bare(world, number) for number in range(BARE_ROUNDS, 2 * BARE_ROUNDS)]
    bare_s = median(rounds_s)
    harness.note(f"bare client, {CROWD} creates a minute: {', '.join(f'{each:.2f}' for each in rounds_s)} s")
    harness.row(f"node: bare client, {CROWD} creates", bare_s, "s")
    harness.row(f"node: crowd, last of {CROWD} pods", last_s, "s", baseline=("bare", bare_s), at_most=1.5)


def _crowd_rows(harness: Harness, world: World, begin_ns: int, end_ns: int) -> float:
    """Print what became of the slots; return the median of the seconds to a slot's last pod."""
    served = _served_slots(world, "y", begin_ns, end_ns)
    missed = sum(count for name, count in _missed_slots(world, begin_ns, end_ns).items() if name.startswith("y"))
    due = CROWD * CROWD_SLOTS
    harness.note(f"{CROWD} plugins a minute, {CROWD_SLOTS} slots: {len(served)} runs, {missed} recorded as missed")
    harness.row("node: crowd, slots served", len(served), "runs", baseline=("reference", 228 / 400 * due))
    harness.row("node: crowd, slots served or recorded", len(served) + missed, "slots", at_least=due)
    failed = world.told("plugin.failed", begin_ns)
    false = sum(count for name, count in failed.items() if name.startswith("y"))
    harness.row("node: crowd, runs falsely told as failed", false, "runs", baseline=("reference", 125 / 400 * due),
                at_most=0)  # fmt: skip
    last_s = []
    for slot in range(CROWD_SLOTS):
        slot_ns = begin_ns + slot * MINUTE_NS
        free = _free_at(world, slot_ns)
        at_once = [
            (pod.created_ns - slot_ns) / NS_PER_S
            for pod in list(world.watcher.seen.values())
            if pod.plugin in free and 0 <= pod.created_ns - slot_ns < MINUTE_NS
        ]
        harness.note(f"slot {slot + 1}: {len(free)} plugins free, {len(at_once)} launched, last {max(at_once):.2f} s")
        if len(at_once) > CROWD // 2:
            last_s.append(max(at_once) * CROWD / len(at_once))
    return median(last_s)


def _free_at(world: World, slot_ns: int) -> set[str]:
    """The crowd's plugins whose last run had ended long enough before: the others wait by rule, not for the API."""
    gap_ns = 11 * NS_PER_S
    names = {part.name for part in CROWDED}
    before = [pod for pod in list(world.watcher.seen.values()) if pod.plugin in names and pod.created_ns < slot_ns]
    return names - {pod.plugin for pod in before if not pod.ended_ns or pod.ended_ns > slot_ns - gap_ns}


def _bare(world: World, number: int) -> float:
    """Create the crowd's pods with a bare client at a minute; return seconds to the last pod seen.

    Afterwards it removes those of the minute before, one after the other, as the agent does: a node that is busy
    cleaning up is slower.
    """
    settings = PodSettings(vsn="bare", upload_root=f"{world.folder}/uploads", grace_s=0)
    bodies = []
    for name in [f"bare{number}-{each}" for each in range(CROWD)]:
        plugin = Plugin(name, PluginSpec(IMAGE, ("-c", "sleep 3"), entrypoint="/bin/sh"))
        bodies.append(pod_manifest(PodOrder(name, name, "b", "1", "g", "bench", plugin), settings))
    began_ns = world.before_minute()
    until(began_ns)
    world.kube.create_pods(bodies, workers=4)
    time.sleep(2)
    seen = [pod.created_ns for pod in list(world.watcher.seen.values()) if pod.plugin.startswith(f"bare{number}-")]
    assert len(seen) == CROWD, len(seen)
    for each in range(CROWD if number % BARE_ROUNDS else 0):
        world.kube.call("DELETE", f"{PODS}/bare{number - 1}-{each}", {"gracePeriodSeconds": 0})
        time.sleep(0.5)
    return (max(seen) - began_ns) / NS_PER_S
