"""A job driven through recorded history by the planner that drives nodes.

Time is a number. The next thing that happens (a pod changes, a measurement arrives, a deadline comes) sets the clock
and goes through `step`; what `step` wants done is done by pods that live by the same clock. A measurement arrives one
nanosecond after its own time, so it lies inside every window that ends at its arrival. Recorded executions of plugins
(`sys.scheduler.plugin.lastexecution`) count as runs, as a node's own would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from edgesched.core.jobs import UntilTrue, parse_criterion
from edgesched.core.model import Instant, Measurement, Plugin, PluginSpec, ScienceGoal
from edgesched.core.plan.announce import LAST_EXECUTION
from edgesched.core.plan.effects import DeletePod, Effect, FetchLog, LaunchPod
from edgesched.core.plan.events import Booted, Event, GoalsReceived, Measured, PodsListed, Woke
from edgesched.core.plan.settings import PlanSettings
from edgesched.core.plan.state import NodeState, PluginKey, PluginState, RuleState
from edgesched.core.plan.step import next_deadline, step
from edgesched.core.rules import compile_condition, parse_rule
from edgesched.core.windows import WindowStore
from edgesched.errors import InputError, RuleError
from edgesched.replay.cluster import PodLives
from edgesched.replay.moments import Span
from edgesched.replay.story import Story

MOST_STEPS: Final = 50_000_000
MOST_IDLE_STEPS: Final = 100_000
"""Steps without any progress of the clock by a millisecond: the planner would be going round in a circle."""


def replay(
    goal: ScienceGoal, settings: PlanSettings, measurements: Sequence[Measurement], span: Span, lives: PodLives,
    *, observed_since_ns: int | None = None,
) -> Story:  # fmt: skip
    """Run one goal through history and tell what happened.

    `measurements`: in the order of their time; those before the span fill the windows. `observed_since_ns`: since when
    the recording is complete, the first measurement by default.
    """
    if observed_since_ns is None:
        observed_since_ns = min([span.from_ns, *(measurement.ts_ns for measurement in measurements[:1])])
    driver = _Driver(settings, span, lives, observed_since_ns)
    driver.start(goal, measurements)
    driver.go_on()
    return driver.story


class _Driver:
    """One replay under way."""

    def __init__(self, settings: PlanSettings, span: Span, lives: PodLives, observed_since_ns: int) -> None:
        self.story = Story()
        self._state = NodeState(settings, WindowStore(observed_since_ns=observed_since_ns))
        self._span = span
        self._lives = lives
        self._now_ns = span.from_ns
        self._coming: Iterator[Measurement] = iter(())
        self._next: Measurement | None = None
        self._job_id = ""

    def start(self, goal: ScienceGoal, measurements: Sequence[Measurement]) -> None:
        """Boot the node, load the goal with windows that know what was measured before."""
        self._job_id = goal.job_id
        self._step(Booted("replay"))
        self._step(PodsListed(()))
        self._step(GoalsReceived("files", (goal,), first=True))
        self._coming = iter(measurements)
        for measurement in self._coming:
            if measurement.ts_ns >= self._span.from_ns:
                self._next = measurement
                break
            self._remember(measurement)
        for rule_id in self._state.rules:
            self._state.wakeups.wall.set(("rule", rule_id), self._now_ns)
        self._step(Woke())

    def go_on(self) -> None:
        """Let time pass to the end of the span."""
        steps = idle = 0
        millisecond = self._now_ns // 1_000_000
        while self._advance():
            steps += 1
            idle = 0 if self._now_ns // 1_000_000 > millisecond else idle + 1
            millisecond = self._now_ns // 1_000_000
            if steps > MOST_STEPS or idle > MOST_IDLE_STEPS:
                raise InputError("the replay does not come to an end", hint="replay a shorter time")
        self._now_ns = self._span.to_ns
        self.story.close(self._now_ns)

    def _advance(self) -> bool:
        """Do what is next; False when nothing is left within the span."""
        deadline_ns = next_deadline(self._state)
        pod_ns = self._lives.next_ns()
        arrival_ns = self._next.ts_ns + 1 if self._next is not None else None
        times = [when_ns for when_ns in (pod_ns, arrival_ns, deadline_ns) if when_ns is not None]
        if not times or min(times) > self._span.to_ns:
            return False
        when_ns = min(times)
        self._now_ns = max(self._now_ns, when_ns)
        if when_ns == pod_ns:
            event = self._lives.take()
            if event is not None:
                self._step(event)
        elif when_ns == arrival_ns and self._next is not None:
            measurement, self._next = self._next, next(self._coming, None)
            self._arrive(measurement)
        else:
            self._step(Woke())
        return True

    def _arrive(self, measurement: Measurement) -> None:
        if measurement.name == LAST_EXECUTION:
            self._remember(measurement)
        self._step(Measured(measurement))

    def _remember(self, measurement: Measurement) -> None:
        """Take a measurement from before the replay, or a recorded execution of a plugin."""
        state = self._state
        state.windows.append(measurement, self._now_ns)
        if measurement.name != LAST_EXECUTION or not isinstance(measurement.value, str):
            return
        key = PluginKey(self._job_id, measurement.value)
        plugin = state.plugins.get(key)
        if plugin is None:
            plugin = PluginState(key, Plugin(measurement.value, PluginSpec("")), "", "", {})
            state.plugins[key] = plugin
        plugin.last_completed_ns = max(measurement.ts_ns, plugin.last_completed_ns or 0)
        for rule in state.rules.values():
            if _looks_at(rule, measurement.value):
                state.wakeups.wall.set(("rule", rule.rule_id), self._now_ns)

    def _step(self, event: Event) -> None:
        now = Instant(self._now_ns, self._now_ns)
        for effect in step(self._state, event, now):
            self._do(effect)
        self.story.watch(self._state.rules.values(), self._now_ns)

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, LaunchPod):
            self.story.launched(effect.order.run_id, self._now_ns)
            self._lives.launch(effect, self._now_ns)
        elif isinstance(effect, DeletePod):
            self._lives.delete(effect, self._now_ns)
        elif isinstance(effect, FetchLog):
            self._lives.fetch_log(effect, self._now_ns)
        else:
            self.story.hear(effect, self._now_ns)


def names_read(goal: ScienceGoal) -> frozenset[str]:
    """Return the names that the rules and criteria of a goal read, and the name of recorded plugin executions."""
    names = {LAST_EXECUTION}
    for part in goal.sub_goals:
        for text in part.rules:
            with suppress(RuleError):
                names.update(window.name for window in compile_condition(parse_rule(text).condition).needs.windows)
    for text in goal.conditions:
        criterion = parse_criterion(text)
        if isinstance(criterion, UntilTrue):
            with suppress(RuleError):
                names.update(window.name for window in compile_condition(criterion.condition).needs.windows)
    return frozenset(names)


def _looks_at(rule: RuleState, plugin: str) -> bool:
    needs = rule.condition.needs
    return plugin in needs.afters or any(cron.plugin == plugin for cron in needs.crons)
