"""A virtual node with a virtual cluster: runs for days of virtual time, deterministic from its inputs.

Pods are created 0.1 s after they were asked for, run for as long as `run_s` says and end with the code that `exit_code`
says. The cluster lives on while the agent is down.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from edgesched.core.model import NS_PER_S, ContainerView, Instant, Measurement, Message, PodOrder, PodView, ScienceGoal
from edgesched.core.plan import NodeState, PlanSettings, next_deadline, step
from edgesched.core.plan.effects import DeletePod, Effect, FetchLog, LaunchPod, Report, SetState
from edgesched.core.plan.events import (
    Booted,
    EffectDone,
    Event,
    GoalsReceived,
    Measured,
    PodObserved,
    PodsListed,
    Woke,
)
from edgesched.core.plan.invariants import violations
from edgesched.core.plan.records import Record, Recorder
from edgesched.core.plan.restore import restore
from edgesched.core.windows import WindowStore

Told = tuple[int, str]


@dataclass
class World:
    """A node. `start_ns`: wall time at its beginning; `at`: seconds since then on the boot clock.

    `checked`: look at the invariants after every step. `commit`: called with an event and its effects before they are
    carried out. `told`: what the world was asked for, with the time; log lines too with `reports`.
    """

    start_ns: int
    settings: PlanSettings = field(default_factory=lambda: PlanSettings(vsn="W023"))
    run_s: Callable[[PodOrder], float] = lambda order: 3.0
    exit_code: Callable[[PodOrder], int] = lambda order: 0
    checked: bool = True
    commit: Callable[[Event, list[Effect]], None] | None = None
    reports: bool = False
    at: float = 0.0
    offset_s: float = 0.0
    boot_id: str = "b1"
    up: bool = True
    told: list[Told] = field(default_factory=list)
    launched: list[PodOrder] = field(default_factory=list)
    said: list[tuple[str, Any, str]] = field(default_factory=list)
    pods: dict[str, PodView] = field(default_factory=dict)
    state: NodeState = field(init=False)

    def __post_init__(self) -> None:
        self.state = NodeState(self.settings, WindowStore())
        self._agenda: list[tuple[float, int, Callable[[], Event | None]]] = []
        self._number = 0
        self.recorder = Recorder()
        self.rows: dict[tuple[str, str], str] = {}

    @property
    def now(self) -> Instant:
        """Both clocks."""
        boot_ns = round(self.at * NS_PER_S)
        return Instant(self.start_ns + boot_ns + round(self.offset_s * NS_PER_S), boot_ns + 10**12)

    # -- time -------------------------------------------------------------------------------------------------------

    def later(self, delay_s: float, happening: Callable[[], Event | None]) -> None:
        """Let something happen; it returns the event that the agent hears of it, if it is up."""
        self._number += 1
        heapq.heappush(self._agenda, (self.at + delay_s, self._number, happening))

    def run_to(self, to_s: float) -> None:
        """Let time pass: what happens in the cluster, and the agent's deadlines, in the order of their times."""
        while True:
            happens_s = self._agenda[0][0] if self._agenda else float("inf")
            wakes_s = self._deadline_s() if self.up else float("inf")
            if min(happens_s, wakes_s) > to_s:
                break
            if happens_s <= wakes_s:
                self.at = max(self.at, happens_s)
                event = heapq.heappop(self._agenda)[2]()
                if event is not None and self.up:
                    self.send(event)
            else:
                self.at = max(self.at, wakes_s)
                self.send(Woke())
        self.at = to_s
        if self.up:
            self.send(Woke())

    def _deadline_s(self) -> float:
        deadline_ns = next_deadline(self.state)
        if deadline_ns is None:
            return float("inf")
        return max(self.at, (deadline_ns - self.start_ns) / NS_PER_S - self.offset_s)

    # -- the agent --------------------------------------------------------------------------------------------------

    def boot(self, *goals: ScienceGoal) -> None:
        """Start for the first time."""
        self.send(Booted(self.boot_id))
        self.send(PodsListed(()))
        self.send(GoalsReceived("files", goals))

    def send(self, event: Event) -> list[Effect]:
        """Let the agent hear something and carry out what it wants."""
        effects = step(self.state, event, self.now)
        if self.checked:
            assert violations(self.state) == []
        if self.commit is not None:
            self.commit(event, effects)
        self._carry_out(effects)
        return effects

    @staticmethod
    def is_quiet(event: Event) -> bool:
        """Would the engine call this a quiet turn?"""
        return isinstance(event, Measured | Woke)

    def measure(self, name: str, value: Any) -> None:
        """A sensor speaks."""
        if self.up:
            self.send(Measured(Measurement(name, self.now.ts_ns - 1, value)))

    def save(self) -> None:
        """Commit what changed, as text."""
        for kind, key, value in self.recorder.changes(self.state):
            if value is None:
                self.rows.pop((kind, key), None)
            else:
                self.rows[kind, key] = json.dumps(value)

    def records(self) -> list[Record]:
        """Read the store."""
        return [Record(kind, key, json.loads(text)) for (kind, key), text in self.rows.items()]

    def down(self) -> dict[str, Any]:
        """Kill the agent; what it has decided is in the store. Returns the snapshot of its windows."""
        self.save()
        self.up = False
        return self.state.windows.snapshot(self.now.ts_ns)

    def restart(self, snapshot: dict[str, Any] | None = None) -> None:
        """Start the agent from its store, with the snapshot of its windows if there is one."""
        windows = WindowStore()
        if snapshot is not None:
            windows.restore(snapshot, self.now.ts_ns)
        records = self.records()
        self.recorder = Recorder(records)
        self.start(*restore(self.settings, windows, records, self.now, self.boot_id))

    def start(self, state: NodeState, owed: list[Effect]) -> None:
        """Start the agent with a restored state and what it owes."""
        self.state = state
        self.up = True
        known = {text for _, text in self.told[-2000:]}
        for effect in owed:
            # what is owed was asked for before
            text = _text(effect)
            assert text is None or text in known or not self.checked, text
        self._carry_out(owed, again=True)
        self.send(Booted(self.boot_id))
        self.send(PodsListed(tuple(self.pods.values())))

    # -- the cluster ------------------------------------------------------------------------------------------------

    def _carry_out(self, effects: Iterable[Effect], *, again: bool = False) -> None:
        for effect in effects:
            text = _line(effect) if self.reports and isinstance(effect, Report) else _text(effect)
            if text is not None and not again:
                self.told.append((self.now.ts_ns, text))
            if isinstance(effect, LaunchPod):
                if not again:
                    self.launched.append(effect.order)
                self.later(0.1, lambda effect=effect: self._create(effect))  # type: ignore[misc]
            elif isinstance(effect, DeletePod):
                self.later(0.1, lambda effect=effect: self._delete(effect))  # type: ignore[misc]
            elif isinstance(effect, FetchLog):
                self.later(0.1, lambda effect=effect: EffectDone(effect.effect_id, "ok", log=("x",)))  # type: ignore[misc]
            elif isinstance(effect, Message):
                self.said.append((effect.name.removeprefix("sys.scheduler.status."), effect.value, effect.message_id))

    def _create(self, effect: LaunchPod) -> Event:
        order = effect.order
        found = self.pods.get(order.pod_name)
        if found is None:
            found = PodView(
                name=order.pod_name,
                uid=f"uid-{order.pod_name}",
                run_id=order.run_id,
                agent=self.settings.vsn,
                job_id=order.job_id,
                goal_id=order.goal_id,
                plugin=order.plugin.name,
                instance=order.instance,
                created_ns=self.now.ts_ns,
                container=ContainerView(order.plugin.name),
            )
            self.pods[order.pod_name] = found
            self.later(0.1, lambda: self._change(order, "running"))
            self.later(0.1 + self.run_s(order), lambda: self._change(order, "terminated"))
        return EffectDone(effect.effect_id, "ok", pod=found)

    def _change(self, order: PodOrder, what: str) -> Event | None:
        pod = self.pods.get(order.pod_name)
        if pod is None:
            return None
        now_ns = self.now.ts_ns
        if what == "running":
            container = replace(pod.container, state="running", started_ns=now_ns)
            pod = replace(pod, phase="Running", node_name="n", container=container)
        else:
            code = self.exit_code(order)
            container = replace(pod.container, state="terminated", exit_code=code, finished_ns=now_ns, reason="Error")
            if code == 0:
                container = replace(container, reason="Completed")
            pod = replace(pod, phase="Failed" if code else "Succeeded", container=container)
        self.pods[order.pod_name] = pod
        return PodObserved(pod)

    def _delete(self, effect: DeletePod) -> Event | None:
        pod = self.pods.pop(effect.pod_name, None)
        return None if pod is None else PodObserved(pod, gone=True)


def _line(report: Report) -> str | None:
    """Write down a log line; a new process says anew which rules are unknown."""
    return None if report.event in ("rule.unknown", "rule.error") else f"report {report}"


def _text(effect: Effect) -> str | None:
    """Write down an effect; log lines are not told."""
    if isinstance(effect, LaunchPod):
        return f"launch {effect.order}"
    if isinstance(effect, DeletePod):
        return f"delete {effect.pod_name} {effect.uid} {effect.grace_s}"
    if isinstance(effect, Message):
        value = json.dumps(effect.value, default=dict)
        return f"publish {effect.message_id} {effect.name} {effect.ts_ns} {value} {effect.scope}"
    if isinstance(effect, FetchLog):
        return f"log {effect}"
    if isinstance(effect, SetState):
        return f"set {effect}"
    return None
