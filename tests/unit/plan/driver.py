"""A node without a shell: events go into `step`, effects come out, time is a number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from edgesched.core.model import (
    NS_PER_S,
    ContainerView,
    Instant,
    Measurement,
    Message,
    Plugin,
    PluginSpec,
    PodOrder,
    PodView,
    ScienceGoal,
    SubGoal,
)
from edgesched.core.plan import NodeState, PlanSettings, next_deadline, step
from edgesched.core.plan.effects import DeletePod, Effect, LaunchPod, Report
from edgesched.core.plan.events import (
    Booted,
    EffectDone,
    Event,
    GoalsReceived,
    Measured,
    PodObserved,
    PodsListed,
    SourceKind,
    Woke,
)
from edgesched.core.plan.invariants import violations
from edgesched.core.windows import WindowStore

START_NS = 1_700_000_000 * NS_PER_S - (1_700_000_000 % 3600) * NS_PER_S
"""The full hour from which tests reckon: 2023-11-14 22:00:00 UTC."""

E = TypeVar("E")


def plugin(name: str, **spec: Any) -> Plugin:
    """Return a plugin with an image of its own name."""
    return Plugin(name, PluginSpec(image=f"registry.example/{name}:1.0.0", **spec))


def goal(
    *rules: str, job: str = "7", goal_id: str = "", plugins: Iterable[Plugin] = (), node: str = "W023", name: str = "j"
) -> ScienceGoal:
    """Return a goal; without plugins it has those that its `schedule` rules name."""
    if not plugins:
        names = dict.fromkeys(
            rule[9 : min(rule.index(mark) for mark in ",)" if mark in rule)]
            for rule in rules
            if rule.startswith("schedule(")
        )
        plugins = [plugin(each) for each in names]
    part = SubGoal(node, tuple(plugins), tuple(rules))
    return ScienceGoal(goal_id or f"goal-{hash_text(rules)}", job, name, (part,))


def hash_text(rules: Iterable[str]) -> str:
    """Return a short text that differs when the rules do."""
    return str(sum(ord(letter) * place for place, letter in enumerate("".join(rules), 1)))


@dataclass
class Driver:
    """Drives one node state; `at` is seconds since `START_NS`."""

    settings: PlanSettings = field(default_factory=lambda: PlanSettings(vsn="W023"))
    at: float = 0.0
    clock_offset_s: float = 0.0
    state: NodeState = field(init=False)
    log: list[tuple[float, Effect]] = field(default_factory=list)
    orders: dict[str, PodOrder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = NodeState(self.settings, WindowStore())

    @property
    def now(self) -> Instant:
        """Both clocks."""
        boot_ns = round(self.at * NS_PER_S)
        return Instant(START_NS + boot_ns + round(self.clock_offset_s * NS_PER_S), boot_ns + 10**12)

    def send(self, event: Event) -> list[Effect]:
        """Put one event through `step` and check the invariants."""
        effects = step(self.state, event, self.now)
        assert violations(self.state) == []
        for effect in effects:
            self.log.append((self.at, effect))
            if isinstance(effect, LaunchPod):
                self.orders[effect.order.run_id] = effect.order
        return effects

    def start(self, *goals: ScienceGoal, source: SourceKind = "stream", boot_id: str = "b1") -> list[Effect]:
        """Boot, list an empty cluster, hear the goals."""
        effects = self.send(Booted(boot_id))
        effects += self.send(PodsListed(()))
        return effects + self.goals(*goals, source=source)

    def goals(self, *goals: ScienceGoal, source: SourceKind = "stream", first: bool = False) -> list[Effect]:
        """Hear a list of goals."""
        return self.send(GoalsReceived(source, goals, first))

    def measure(self, name: str, value: Any, *, ago_s: float = 0.0, **meta: str) -> list[Effect]:
        """Hear a measurement made `ago_s` seconds ago, a hair before now at least."""
        ts_ns = self.now.ts_ns - max(1, round(ago_s * NS_PER_S))
        return self.send(Measured(Measurement(name, ts_ns, value, meta)))

    def advance(self, to_s: float) -> list[Effect]:
        """Let time pass to `to_s`, waking at every deadline on the way as the engine does."""
        effects: list[Effect] = []
        for _ in range(10_000):
            deadline_ns = next_deadline(self.state)
            if deadline_ns is None:
                break
            deadline_s = (deadline_ns - START_NS) / NS_PER_S - self.clock_offset_s
            if deadline_s > to_s:
                break
            self.at = max(self.at, deadline_s)
            effects += self.send(Woke())
        else:
            raise AssertionError("deadlines that never end")
        self.at = to_s
        return effects + self.send(Woke())

    # -- the cluster ------------------------------------------------------------------------------------------------

    def pod(self, run_id: str, phase: str = "Pending", **changes: Any) -> PodView:
        """Return the pod of a run as the API would show it."""
        order = self.orders[run_id]
        view = PodView(
            name=order.pod_name,
            uid=f"uid-{order.pod_name}",
            phase=phase,
            run_id=run_id,
            agent="W023",
            job_id=order.job_id,
            goal_id=order.goal_id,
            plugin=order.plugin.name,
            instance=order.instance,
            created_ns=self.now.ts_ns,
            container=ContainerView(order.plugin.name),
        )
        return replace(view, **changes)

    def created(self, run_id: str) -> list[Effect]:
        """Answer the create of a run."""
        return self.send(EffectDone(f"launch:{run_id}", "ok", pod=self.pod(run_id)))

    def runs(self, run_id: str) -> list[Effect]:
        """Show a run's container running."""
        name = self.orders[run_id].plugin.name
        container = ContainerView(name, "running", started_ns=self.now.ts_ns)
        return self.send(PodObserved(self.pod(run_id, "Running", node_name="n", container=container)))

    def ends(self, run_id: str, exit_code: int = 0, **changes: Any) -> list[Effect]:
        """Show a run's container terminated."""
        name = self.orders[run_id].plugin.name
        reason = "Completed" if exit_code == 0 else "Error"
        container = ContainerView(
            name,
            "terminated",
            reason=reason,
            exit_code=exit_code,
            started_ns=self.now.ts_ns - NS_PER_S,
            finished_ns=self.now.ts_ns,
        )
        phase = "Succeeded" if exit_code == 0 else "Failed"
        pod = replace(self.pod(run_id, phase, node_name="n", container=container), **changes)
        return self.send(PodObserved(pod))

    def vanishes(self, run_id: str) -> list[Effect]:
        """Show a run's pod deleted."""
        run = self.state.runs.get(run_id)
        pod = run.pod if run is not None and run.pod is not None else self.pod(run_id)
        return self.send(PodObserved(pod, gone=True))


def of(effects: Iterable[Effect], kind: type[E]) -> list[E]:
    """Select the effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def launches(effects: Iterable[Effect]) -> list[str]:
    """Return the plugins that are to be launched."""
    return [effect.order.plugin.name for effect in of(effects, LaunchPod)]


def run_ids(effects: Iterable[Effect]) -> list[str]:
    """Return the runs that are to be launched."""
    return [effect.order.run_id for effect in of(effects, LaunchPod)]


def events(effects: Iterable[Effect]) -> list[str]:
    """Return the short names of the published scheduler events."""
    prefix = "sys.scheduler.status."
    return [effect.name.removeprefix(prefix) for effect in of(effects, Message)]


def payload(effects: Iterable[Effect], name: str) -> dict[str, Any]:
    """Return the payload of the only event of that name."""
    found = [effect.value for effect in of(effects, Message) if effect.name.endswith(name)]
    assert len(found) == 1, f"{len(found)} events {name}"
    return dict(found[0])


def reports(effects: Iterable[Effect], name: str) -> list[dict[str, Any]]:
    """Return the fields of the log lines of that name."""
    return [dict(effect.fields) for effect in of(effects, Report) if effect.event == name]


def deletions(effects: Iterable[Effect]) -> list[str]:
    """Return the names of the pods that are to be deleted."""
    return [effect.pod_name for effect in of(effects, DeletePod)]
