"""The state on disk: what a durable decision costs against the least that durability costs, and what costs nothing.

A batch with a launch is what a cron slot makes of a node with 100 plugins: the claim, the run, its plugin, rule and
story, and two events. The baseline appends as many bytes to a plain file and calls fdatasync, in turns with them.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.harness import Harness, percentile
from edgesched.adapters.sqlite import StateFile
from edgesched.core.model import (
    ContainerView,
    Instant,
    Measurement,
    Message,
    Plugin,
    PluginSpec,
    PodView,
    ScienceGoal,
    SubGoal,
)
from edgesched.core.plan import NodeState, PlanSettings, next_deadline, step
from edgesched.core.plan.effects import Effect, LaunchPod
from edgesched.core.plan.events import Booted, Event, GoalsReceived, Measured, PodObserved, PodsListed, Woke
from edgesched.core.plan.records import Recorder
from edgesched.core.windows import WindowStore
from edgesched.node.committer import Committer

PLUGINS = 100
LAUNCHES = 600
START_NS = 1_800_000_000 * 10**9
FOLDER = Path(__file__).resolve().parents[1] / "build"


def run(harness: Harness) -> None:
    """Measure and print all rows."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        _commits(harness, Path(folder))
        _measurements(harness, Path(folder))


class Node:
    """A planner with its store."""

    def __init__(self, path: Path) -> None:
        self.store = StateFile(path, notice=_silent, now_ns=lambda: START_NS)
        self.store.open()
        self.recorder = Recorder()
        self.committer = Committer(self.store, self.recorder, notice=_silent)
        self.state = NodeState(PlanSettings(vsn="W023"), WindowStore())
        self.at_s = 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.committer.run, args=(self.stop, lambda: None))
        self.thread.start()

    def step(self, event: Event) -> list[Effect]:
        """Decide on an event."""
        at_ns = round(self.at_s * 1e9)
        return step(self.state, event, Instant(START_NS + at_ns, 10**12 + at_ns))

    def close(self) -> None:
        """End it."""
        self.stop.set()
        self.committer.nudge()
        self.thread.join()
        self.store.close()


def _commits(harness: Harness, folder: Path) -> None:
    node = Node(folder / "commits.db")
    rules = [f"schedule(p{n}): cronjob('p{n}', '* * * * * {n % 60}')" for n in range(PLUGINS)]
    _begin(node, rules)
    plain = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    commits_ms: list[float] = []
    plain_ms: list[float] = []
    sizes: list[int] = []
    while len(commits_ms) < LAUNCHES:
        next_deadline(node.state)
        node.at_s += 1.0
        effects = node.step(Woke())
        launches = [effect for effect in effects if isinstance(effect, LaunchPod)]
        size = _size(node, effects)
        took_ms = _timed_commit(node, effects)
        if launches:
            commits_ms.append(took_ms)
            sizes.append(size)
            began_s = time.perf_counter()
            os.write(plain, b"x" * size)
            os.fdatasync(plain)
            plain_ms.append((time.perf_counter() - began_s) * 1000)
        _end_runs(node, effects)
    os.close(plain)
    node.close()
    harness.note(f"{LAUNCHES} batches with a launch, {percentile(sizes, 50):,.0f} bytes each, {PLUGINS} plugins")
    for percent, bound in ((50, None), (99, 3.0)):
        floor = percentile(plain_ms, percent)
        harness.row(f"append + fdatasync p{percent}", floor, "ms")
        harness.row(
            f"commit of a batch with a launch p{percent}",
            percentile(commits_ms, percent),
            "ms",
            baseline=("append + fdatasync", floor),
            at_most=bound,
        )


def _size(node: Node, effects: list[Effect]) -> int:
    """Bytes that the batch writes down; the changes are handed back to be found again."""
    recorder = node.recorder
    saved = (dict(recorder._saved), dict(recorder._told))  # noqa: SLF001 - a look without a trace
    fresh, stories = list(node.state.ledger.fresh), list(node.state.fresh_story)
    records: list[Any] = list(recorder.changes(node.state))
    recorder._saved, recorder._told = saved  # noqa: SLF001
    node.state.ledger.fresh[:] = fresh
    node.state.fresh_story.extend(stories)
    records += [effect for effect in effects if isinstance(effect, Message)]
    return sum(len(str(record)) for record in records)


def _timed_commit(node: Node, effects: list[Effect]) -> float:
    began_s = time.perf_counter()
    node.committer.commit(node.state, effects, False)
    return (time.perf_counter() - began_s) * 1000


def _measurements(harness: Harness, folder: Path) -> None:
    node = Node(folder / "measurements.db")
    _begin(node, [f"publish(bench.out{n}): avg(v('bench.in{n}')) > 1e9" for n in range(PLUGINS)])
    node.committer.commit(node.state, node.step(Woke()), False)
    before = node.committer.commits
    count = 20_000
    for number in range(count):
        node.at_s += 0.001
        name = f"bench.in{number % PLUGINS}"
        ts_ns = START_NS + round(node.at_s * 1e9) - 1
        effects = node.step(Measured(Measurement(name, ts_ns, number)))
        node.committer.commit(node.state, effects, True)
    harness.row(f"writes of {count:,} measurements alone", node.committer.commits - before, "writes", at_most=0)
    node.close()


def _begin(node: Node, rules: list[str]) -> None:
    plugins = tuple(Plugin(f"p{n}", PluginSpec(f"bench/p{n}:1.0.0")) for n in range(PLUGINS))
    goal = ScienceGoal("g", "7", "bench", (SubGoal("W023", plugins, tuple(rules)),))
    for event in (Booted("b"), PodsListed(()), GoalsReceived("files", (goal,))):
        effects = node.step(event)
        _timed_commit(node, effects)
        _end_runs(node, effects)


def _end_runs(node: Node, effects: list[Effect]) -> None:
    """Let all runs that were asked for end, and their pods go."""
    for effect in effects:
        if isinstance(effect, LaunchPod):
            ended = _ended(node, effect)
            _timed_commit(node, node.step(PodObserved(ended)))
            _timed_commit(node, node.step(PodObserved(ended, gone=True)))


def _ended(node: Node, launch: LaunchPod) -> PodView:
    order = launch.order
    container = ContainerView(order.plugin.name, "terminated", reason="Completed", exit_code=0)
    return PodView(
        order.pod_name,
        f"uid-{order.run_id}",
        "Succeeded",
        order.run_id,
        node.state.settings.vsn,
        order.job_id,
        order.goal_id,
        order.plugin.name,
        order.instance,
        container=container,
    )


def _silent(event: str, **fields: Any) -> None:
    del event, fields
