"""Random histories through `step`: whatever happens in whatever order, the promises hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgesched.core.model import ContainerView, Message
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.effects import DeletePod, Effect, FetchLog, LaunchPod
from edgesched.core.plan.events import Booted, EffectDone, PodEventObserved, PodObserved, PodsListed
from edgesched.core.plan.invariants import violations
from edgesched.core.plan.lifecycle import RunState
from edgesched.core.plan.records import Recorder
from edgesched.core.plan.restore import restore
from edgesched.core.windows import WindowStore
from tests.property.test_plan_restore import Store
from tests.unit.plan.driver import Driver, goal, plugin

RULES = (
    "schedule(a): cronjob('a', '* * * * *')",
    "schedule(a): cronjob('a', '*/2 * * * *') or cronjob('lock', '* * * * *')",
    "schedule(a, cooldown=30s): any(v('env.x', since='-30s') > 5)",
    "schedule(b): True",
    "schedule(b, hold=20s): last(v('env.x', since='-2m')) > 5",
    "schedule(b, duration=15s): cronjob('b', '@reboot')",
    "schedule(c): after('a', since='c')",
    "schedule(c, grace=10s): cronjob('c', '* * * * * */20')",
    "publish(env.event, every=40s): any(v('env.x', since='-30s') > 5)",
    "set(mode, value=busy): count(v('env.x', since='-30s')) > 2",
    "schedule(a, misfire=latest, retries=2): cronjob('a', '0 * * * *')",
    "schedule(nobody): True",
    "schedule(a): cronjob('a', '* *')",
)
GPU = {"resource.gpu": "true"}
PLUGINS = (plugin("a"), plugin("b", selector=GPU), plugin("c", selector=GPU))

END_EVENTS = ("plugin.complete", "plugin.failed", "plugin.missed")


class PlanMachine(RuleBasedStateMachine):
    """A node, its cloud, its sensors and its cluster, each doing what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: Counter[str] = Counter()
        self.slot_runs: Counter[tuple[str, str, int]] = Counter()
        self.ends: Counter[str] = Counter()
        self.pods: set[str] = set()
        self.doing: dict[str, LaunchPod] = {}
        self.logs: list[str] = []
        self.deleting: dict[str, str] = {}
        self.store = Store()

    @initialize(policy=st.sampled_from(["default", "roundrobin", "gpuaware"]), trusted=st.booleans())
    def boot(self, policy: str, trusted: bool) -> None:
        """Start the node."""
        self.node = Driver(PlanSettings(vsn="W023", policy=policy))
        self.take(self.node.send(Booted("b1", clock_trusted=trusted)))

    def take(self, effects: list[Effect]) -> None:
        """Keep the books on what the planner wants."""
        for effect in effects:
            if isinstance(effect, LaunchPod):
                self._launch(effect)
            elif isinstance(effect, FetchLog):
                self.logs.append(effect.effect_id)
            elif isinstance(effect, DeletePod):
                self.deleting[effect.pod_name] = effect.effect_id
            elif isinstance(effect, Message):
                name = effect.name.removeprefix("sys.scheduler.status.")
                if name in END_EVENTS and "run_id" in effect.value:
                    self.ends[effect.value["run_id"]] += 1

    def _launch(self, effect: LaunchPod) -> None:
        run = self.node.state.runs[effect.order.run_id]
        self.doing[run.run_id] = effect
        if run.attempt > 1:
            return
        self.launched[run.run_id] += 1
        if run.retry:
            return
        for slot in run.slots:
            self.slot_runs[(f"{run.job_id}/{run.plugin.name}", slot.expr, slot.fire_ns)] += 1

    # -- what happens -----------------------------------------------------------------------------------------------

    @rule(
        jobs=st.lists(st.tuples(st.sampled_from(["1", "2"]), st.lists(st.sampled_from(RULES), max_size=5)), max_size=2),
        first=st.booleans(),
        source=st.sampled_from(["stream", "files"]),
    )
    def goals(self, jobs: list[tuple[str, list[str]]], first: bool, source: str) -> None:
        """The cloud or the files speak."""
        goals = {job: goal(*rules, job=job, plugins=PLUGINS) for job, rules in jobs}
        self.take(self.node.goals(*goals.values(), source=source, first=first))  # type: ignore[arg-type]

    @rule(value=st.integers(0, 10), ago_s=st.floats(-400, 400))
    def measure(self, value: int, ago_s: float) -> None:
        """A sensor speaks, perhaps late, perhaps early."""
        self.take(self.node.measure("env.x", value, ago_s=ago_s))

    @rule(seconds=st.sampled_from([0.001, 1.0, 5.0, 11.0, 30.0, 61.0, 700.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.take(self.node.advance(self.node.at + seconds))

    @rule(by_s=st.sampled_from([-7200.0, -90.0, 90.0, 7200.0]))
    def clock_steps(self, by_s: float) -> None:
        """Somebody sets the clock."""
        self.node.clock_offset_s += by_s

    @precondition(lambda self: self.doing)
    @rule(choice=st.integers(0, 10_000), outcome=st.sampled_from(["ok", "refused", "taken", "unavailable"]))
    def create_answered(self, choice: int, outcome: str) -> None:
        """The API answers a create."""
        run_id = list(self.doing)[choice % len(self.doing)]
        effect = self.doing[run_id]
        if outcome == "unavailable":
            self.take(self.node.send(EffectDone(effect.effect_id, "unavailable", "away")))
            return
        del self.doing[run_id]
        if outcome == "ok":
            self.pods.add(run_id)
            self.take(self.node.created(run_id))
        else:
            status = 409 if outcome == "taken" else 422
            self.take(self.node.send(EffectDone(effect.effect_id, "refused", "no", status=status)))

    @precondition(lambda self: self.pods)
    @rule(
        choice=st.integers(0, 10_000),
        what=st.sampled_from(["runs", "ends", "fails", "evicted", "waits", "stuck", "gone", "again", "event"]),
    )
    def pod_changes(self, choice: int, what: str) -> None:
        """The kubelet, or somebody with kubectl, does something to a pod."""
        run_id = sorted(self.pods)[choice % len(self.pods)]
        node = self.node
        if what == "runs":
            self.take(node.runs(run_id))
        elif what in ("ends", "fails"):
            self.take(node.ends(run_id, 0 if what == "ends" else 3))
        elif what == "evicted":
            self.take(node.send(PodObserved(node.pod(run_id, "Failed", reason="Evicted"))))
        elif what == "waits":
            container = ContainerView("x", "waiting", reason="ErrImagePull")
            self.take(node.send(PodObserved(node.pod(run_id, node_name="n", container=container))))
        elif what == "stuck":
            self.take(node.send(PodObserved(node.pod(run_id, unschedulable="no node"))))
        elif what == "gone":
            self.pods.discard(run_id)
            self.take(node.vanishes(run_id))
        elif what == "again":
            self.take(node.send(PodObserved(replace(node.pod(run_id), uid="another"))))
        else:
            pod = node.pod(run_id)
            self.take(node.send(PodEventObserved(pod.name, pod.uid, "FailedMount", "m", warning=True)))

    @precondition(lambda self: self.logs)
    @rule(outcome=st.sampled_from(["ok", "refused", "unavailable"]))
    def log_answered(self, outcome: str) -> None:
        """The API answers a request for a log."""
        self.take(self.node.send(EffectDone(self.logs.pop(0), outcome, log=("x",))))  # type: ignore[arg-type]

    @rule(down_s=st.sampled_from([0.0, 3.0, 70.0, 4000.0]), boot=st.sampled_from(["b1", "b2"]), listed=st.booleans())
    def restart(self, down_s: float, boot: str, listed: bool) -> None:
        """The agent is killed and starts again, perhaps without a word from the cluster for a while."""
        node = self.node
        self.store.save(node)
        records = self.store.load()
        self.store.recorder = Recorder(records)
        pods = [
            run.pod
            for run_id in sorted(self.pods)
            if (run := node.state.runs.get(run_id)) is not None and run.pod is not None
        ]
        node.at += down_s
        asked = {run_id: effect.order for run_id, effect in self.doing.items()}
        node.state, owed = restore(node.settings, WindowStore(), records, node.now, boot)
        assert violations(node.state) == []
        for effect in owed:
            if isinstance(effect, LaunchPod):
                order = effect.order
                assert self.launched[order.run_id] == 1 or node.state.runs[order.run_id].attempt > 1
                assert asked.get(order.run_id, order).pod_name == order.pod_name
                self.doing[order.run_id] = effect
            else:
                self.take([effect])
        self.take(node.send(Booted(boot)))
        if listed:
            self.take(node.send(PodsListed(tuple(pods))))

    @rule()
    def relist(self) -> None:
        """The watch was lost and the pods are listed anew."""
        node = self.node
        views = [
            run.pod
            for run_id in sorted(self.pods)
            if (run := node.state.runs.get(run_id)) is not None and run.pod is not None
        ]
        self.take(node.send(PodsListed(tuple(views))))

    # -- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def no_slot_runs_twice(self) -> None:
        """At most one run a slot, over edits, clock steps and everything else."""
        assert [key for key, count in self.slot_runs.items() if count > 1] == []

    @invariant()
    def no_run_is_launched_twice(self) -> None:
        """A run asks for its pod once, but for a new name."""
        assert [run_id for run_id, count in self.launched.items() if count > 1] == []

    @invariant()
    def an_end_is_told_once(self) -> None:
        """No run ends twice, and none that ended keeps silent for ever."""
        assert [run_id for run_id, count in self.ends.items() if count > 1] == []

    @invariant()
    def occupied_plugins_know_their_run(self) -> None:
        """An active run whose plugin is in force occupies it, unless it is being ended."""
        if not hasattr(self, "node"):
            return
        for run in self.node.state.runs.values():
            known = self.node.state.plugins.get(run.plugin_key)
            if run.is_active and not run.ending and known is not None:
                assert known.active is run, f"{run.run_id} {run.state}"
            if run.state is RunState.QUEUED:
                assert run.why or not self.node.state.pods_known


TestPlanMachine = PlanMachine.TestCase
TestPlanMachine.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)
