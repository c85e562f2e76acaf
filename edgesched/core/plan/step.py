"""`step(state, event, now) -> effects`: the only door of the planner.

Same state, same event, same time: same effects, on every machine. A step goes through four phases:

1. the event and the deadlines that have come change the state and wake rules;
2. every woken rule is evaluated against that state;
3. the true ones act;
4. the policy sends waiting runs to the cluster.
"""

from __future__ import annotations

from typing import cast

from edgesched.core.model import Instant
from edgesched.core.plan import clock, criteria, goals, pauses, pods, retries, selection
from edgesched.core.plan.announce import log
from edgesched.core.plan.effects import Effect
from edgesched.core.plan.ends import DURATION_REACHED, fail, remove_pod, tell_failure
from edgesched.core.plan.events import (
    Booted,
    ClockTrusted,
    EffectDone,
    Event,
    GoalsReceived,
    Measured,
    NodesObserved,
    Paused,
    PodEventObserved,
    PodObserved,
    PodsListed,
    Resumed,
    SourceKind,
)
from edgesched.core.plan.firing import evaluate_and_act, ready_next_run
from edgesched.core.plan.state import NodeState, PauseKey, PluginKey
from edgesched.core.plan.turn import Turn
from edgesched.core.plan.wakeups import Key


def step(state: NodeState, event: Event, now: Instant) -> list[Effect]:
    """Take one event at time `now`; change the state and return what is to be done, in order."""
    turn = Turn(state, now)
    clock.watch(turn)
    state.now = now
    if isinstance(event, Measured):
        # the most frequent event by far
        _measure(turn, event)
    else:
        _hear(turn, event)
    for key in state.wakeups.due(now):
        if key[0] in ("rule", "hold", "every"):
            turn.woken[cast("int", key[1])] = None
        else:
            _deadline(turn, key)
    if turn.completed:
        criteria.count_runs(turn)
    if turn.failed:
        retries.consider(turn)
    if turn.woken:
        state.evaluations += len(turn.woken)
        evaluate_and_act(turn)
    if state.waiting:
        selection.select(turn)
    for bound in turn.dropped:
        bound.release()
    return turn.effects


def next_deadline(state: NodeState) -> int | None:
    """Return when `step` must be called next although nothing arrives: ns UTC by the clock of the last step.

    Deadlines of rules are computed here and not in `step`: what is due at once goes out first.
    """
    wakeups = state.wakeups
    if wakeups.unarmed:
        now_ns = state.now.ts_ns
        for rule_id in wakeups.unarmed:
            rule = state.rules.get(rule_id)
            if rule is None:
                continue
            deadline_ns = rule.bound.next_change(now_ns)
            if deadline_ns is None:
                wakeups.wall.clear(("rule", rule_id))
            else:
                wakeups.wall.set(("rule", rule_id), max(deadline_ns, now_ns + 1))
        wakeups.unarmed.clear()
    return wakeups.earliest(state.now)


def prepare(state: NodeState, deadline_ns: int) -> int:
    """Do ahead what a deadline allows to be done ahead; returns how many runs it may make.

    Called shortly before the deadline, or never: it changes nothing that anybody can see.
    """
    keys = state.wakeups.wall.at.get(deadline_ns, ())
    rules = [state.rules.get(cast("int", key[1])) for key in keys if key[0] == "rule"]
    crons = [rule for rule in rules if rule is not None and rule.is_cron]
    for rule in crons:
        ready_next_run(state, rule)
    # after all of them: rules share the triggers of equal expressions, which remember one slot
    for rule in crons:
        rule.bound.evaluate(deadline_ns)
    return len(crons)


def _measure(turn: Turn, event: Measured) -> None:
    state = turn.state
    measurement = event.measurement
    rules = state.wakeups.by_name.get(measurement.name)
    if rules is None:
        return
    if state.windows.append(measurement, turn.now.ts_ns):
        turn.woken.update(rules)
    for eviction in state.windows.take_evictions():
        fields = {"name": eviction.name, "limit": eviction.limit, "bound": eviction.bound}
        log(turn, "windows.evicted", fields, level="warning")


def _hear(turn: Turn, event: Event) -> None:
    if isinstance(event, PodObserved):
        pods.observe(turn, event.pod, gone=event.gone)
    elif isinstance(event, PodsListed):
        pods.observe_list(turn, event)
    elif isinstance(event, PodEventObserved):
        pods.pod_event(turn, event)
    elif isinstance(event, EffectDone):
        _effect_done(turn, event)
    elif isinstance(event, GoalsReceived):
        goals.receive(turn, event)
    elif isinstance(event, NodesObserved):
        turn.state.nodes = {node.name: node for node in event.nodes}
    elif isinstance(event, Booted):
        _boot(turn, event)
    elif isinstance(event, ClockTrusted):
        clock.trust(turn, event.reason)
    elif isinstance(event, Paused):
        pauses.pause(turn, event)
    elif isinstance(event, Resumed):
        pauses.resume(turn, event)


def _boot(turn: Turn, event: Booted) -> None:
    state = turn.state
    state.boot_id = event.boot_id
    state.started = turn.now
    goals.open_boot_slots(turn)
    clock.booted(turn, event)


def _effect_done(turn: Turn, event: EffectDone) -> None:
    kind, _, run_id = event.effect_id.partition(":")
    run = turn.state.runs.get(run_id)
    if run is None:
        return
    if kind == "launch":
        pods.launch_done(turn, run, event)
    elif kind == "log" and run.awaits_log and event.outcome != "unavailable":
        run.log = event.log
        tell_failure(turn, run)


def _deadline(turn: Turn, key: Key) -> None:
    """A deadline other than a rule's has come."""
    state = turn.state
    kind = key[0]
    if kind == "plugin":
        plugin = state.plugins.get(PluginKey(cast("str", key[1]), cast("str", key[2])))
        if plugin is not None:
            turn.wake_plugin(plugin)
            if plugin.backoff_boot_ns > turn.now.boot_ns:
                state.wakeups.boot.set(key, plugin.backoff_boot_ns)
    elif kind == "retry":
        plugin = state.plugins.get(PluginKey(cast("str", key[1]), cast("str", key[2])))
        if plugin is not None:
            retries.due(turn, plugin)
    elif kind == "missing":
        goals.missing_for_good(turn, cast("SourceKind", key[1]), cast("str", key[2]))
    elif kind == "done":
        criteria.met(turn, cast("str", key[1]), cast("str", key[2]))
    elif kind == "clock":
        clock.trust(turn, "patience is over")
    elif kind == "pause":
        pauses.over(turn, PauseKey(cast("str", key[1]), cast("str", key[2])))
    else:
        _run_deadline(turn, str(kind), cast("str", key[1]))


def _run_deadline(turn: Turn, kind: str, run_id: str) -> None:
    run = turn.state.runs.get(run_id)
    if run is None:
        return
    settings = turn.state.settings
    if kind == "queue":
        selection.give_up(turn, run)
    elif kind == "duration" and run.is_active:
        run.ending = DURATION_REACHED
        remove_pod(turn, run, grace_s=settings.delete_grace_s)
    elif kind == "patience" and run.is_active:
        reason, _, message = run.why.partition(": ")
        fail(turn, run, reason, message=message)
        remove_pod(turn, run, grace_s=0)
    elif kind == "log" and run.awaits_log:
        tell_failure(turn, run)
    elif kind == "remove" and not run.pod_gone:
        if run.awaits_log:
            turn.state.wakeups.boot.set(("remove", run_id), turn.boot_deadline(1.0))
        else:
            remove_pod(turn, run, grace_s=0)
    elif kind == "orphan":
        pods.orphaned(turn, run)
