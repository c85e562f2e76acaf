"""From verdicts to actions.

A step evaluates every woken rule first, against the state as it was, and acts afterwards. `schedule` makes a run unless
a gate holds it; one launch serves all rules of the job that are true for that plugin, and claims the open slots of all
their `cronjob()` calls. `publish` and `set` act on the change to true; `publish` again after each `every`.
Unknown never acts, is no edge between two trues, and ends a `hold`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgesched.core.model import HOUR_NS, NS_PER_S
from edgesched.core.plan import criteria
from edgesched.core.plan.announce import log, publish_run, publish_value, say, tell
from edgesched.core.plan.criteria import UNTIL
from edgesched.core.plan.effects import Report, SetState
from edgesched.core.plan.ends import failing_text, held_text
from edgesched.core.plan.ledger import SlotKey
from edgesched.core.plan.passed import account
from edgesched.core.plan.pauses import paused
from edgesched.core.plan.policies import clock_text
from edgesched.core.plan.state import NextRun, NodeState, PluginKey, PluginState, RuleState, Run, Slot, newest
from edgesched.core.plan.turn import Turn
from edgesched.core.pods import run_names
from edgesched.core.rules import parse_duration_ns

SCOPES = {"all": "all", "node": "node", "beehive": "beehive", "cloud": "beehive"}


def evaluate_and_act(turn: Turn) -> None:
    """Evaluate the woken rules, then act on those that are true."""
    state, now_ns = turn.state, turn.now.ts_ns
    woken = [rule for rule in map(state.rules.get, turn.woken) if rule is not None]
    # the order of actions must not depend on who was woken first, or a restart would change it
    woken.sort(key=lambda rule: rule.order)
    verdicts = [rule.bound.evaluate(now_ns) for rule in woken]
    due: dict[PluginKey, list[RuleState]] = {}
    for rule, verdict in zip(woken, verdicts, strict=True):
        state.wakeups.unarmed[rule.rule_id] = None
        was = rule.known
        _remember(turn, rule, verdict)
        if rule.is_cron:
            account(turn, rule)
        if rule.blocked:
            record_missed(turn, rule)
        if verdict.value is not True:
            continue
        if rule.rule.action == "schedule":
            if _held(turn, rule):
                continue
            due.setdefault(rule.plugin_key, []).append(rule)
        elif rule.rule.action == "publish":
            _publish(turn, rule, edge=was is not True)
        elif rule.rule.action == UNTIL:
            criteria.met(turn, rule.job_id, rule.rule.object)
        elif was is not True:
            _set(turn, rule)
    for key, rules in due.items():
        plugin = state.plugins.get(key)
        if plugin is not None and rules[0].rule_id in state.rules:
            _schedule(turn, plugin, rules)


def _remember(turn: Turn, rule: RuleState, verdict: Any) -> None:
    """Keep the verdict; log a change of it."""
    before = rule.verdict
    rule.verdict = verdict
    if verdict.value is True:
        if rule.true_since is None:
            rule.true_since = turn.now
            turn.state.turns += rule.hold_s > 0
    else:
        if rule.hold_s:
            turn.state.turns += rule.true_since is not None
        elif rule.rule.action != "schedule":
            turn.state.turns += rule.known is True and verdict.value is False
        rule.true_since = None
        turn.state.wakeups.boot.clear(("hold", rule.rule_id))
    if verdict.value is not None:
        rule.known = verdict.value
    if verdict.error and (before is None or not before.error):
        # an error repeats at every evaluation; its first appearance is the news
        log(
            turn,
            "rule.error",
            {"job": rule.job_id, "rule": rule.rule.text, "reason": verdict.reason},
            level="warning",
        )
    elif verdict.value is None and not verdict.error and (before is None or before.value is not None):
        _tell_unknown(turn, rule, verdict)


def _tell_unknown(turn: Turn, rule: RuleState, verdict: Any) -> None:
    """Log that a rule became unknown, once an hour at most: a sensor that comes and goes makes it so often."""
    boot_ns = turn.now.boot_ns
    if rule.told_unknown_boot_ns is not None and boot_ns < rule.told_unknown_boot_ns + HOUR_NS:
        return
    rule.told_unknown_boot_ns = boot_ns
    fields = {"job": rule.job_id, "plugin": rule.rule.object, "rule": rule.rule.text, "reason": verdict.reason}
    log(turn, "rule.unknown", fields)


def _held(turn: Turn, rule: RuleState) -> bool:
    """Has the condition not been true for long enough yet?"""
    if not rule.hold_s or rule.true_since is None:
        return False
    until_ns = rule.true_since.boot_ns + round(rule.hold_s * NS_PER_S)
    if until_ns <= turn.now.boot_ns:
        return False
    turn.state.wakeups.boot.set(("hold", rule.rule_id), until_ns)
    return True


# -- schedule ---------------------------------------------------------------------------------------------------------


def _schedule(turn: Turn, plugin: PluginState, rules: Sequence[RuleState]) -> None:
    slots = _true_slots(turn, rules)
    reason = gate(turn, plugin, with_slot=bool(slots))
    if reason:
        for rule in rules:
            for slot in open_slots(turn, [rule]):
                if slot not in rule.blocked:
                    tell(turn, plugin, "slot.held", {"slot": clock_text(slot.fire_ns), "gate": reason})
                rule.blocked[slot] = reason
        return
    _create_run(turn, plugin, rules, slots)


def _true_slots(turn: Turn, rules: Sequence[RuleState]) -> list[Slot]:
    """List the open slots of rules that are true."""
    if len(rules) == 1 and rules[0].is_cron:
        # it is true because its one slot is open, so there is no need to look whether it is
        ready = rules[0].next_run
        if ready is not None and ready.slot is not None and ready.slot.fire_ns == rules[0].looked_at_ns:
            return [ready.slot]
        expr, fire_ns, _ = rules[0].bound.cron_slot(turn.now.ts_ns)
        return [] if fire_ns is None else [Slot(expr, fire_ns)]
    return open_slots(turn, rules)


def open_slots(turn: Turn, rules: Sequence[RuleState]) -> list[Slot]:
    """List the open slots of all `cronjob()` calls of some rules, also of those that the evaluation passed over."""
    now_ns = turn.now.ts_ns
    slots = [Slot(expr, fire_ns) for rule in rules for expr, fire_ns in rule.bound.open_slots(now_ns)]
    return slots if len(slots) < 2 else list(dict.fromkeys(slots))


def gate(turn: Turn, plugin: PluginState, *, with_slot: bool) -> str:
    """Return what forbids a launch now, empty when nothing does. A cron slot is not subject to back-off."""
    state = turn.state
    job = state.jobs.get(plugin.key.job_id)
    if job is None:
        return "the job is not in force"
    if job.completed:
        return f"the job is completed: {job.completed}"
    if job.missing_until_boot_ns is not None:
        return "the job is missing from its source"
    if plugin.refused:
        return f"refused: {plugin.refused}"
    brake = paused(state, plugin.key)
    if brake:
        return brake
    run = plugin.active
    if run is not None:
        return f"still waiting: {run.why}" if run.why and run.pod is None else "still running"
    pause = held_text(turn, plugin)
    if pause:
        return pause
    if not with_slot and plugin.backoff_boot_ns > turn.now.boot_ns:
        return failing_text(turn, plugin)
    for pod in state.foreign.values():
        if pod.job_id == plugin.key.job_id and pod.plugin == plugin.key.name:
            return f"pod {pod.name} of another agent runs"
    return ""


def ready_next_run(state: NodeState, rule: RuleState) -> None:
    """Put together what the run of a cron rule's next slot needs, while there is time."""
    expr, _, fire_ns = rule.bound.cron_slot(state.now.ts_ns)
    if fire_ns is None:
        return
    slot = Slot(expr, fire_ns)
    if rule.next_run is None or rule.next_run.slot != slot:
        rule.next_run = _next_run(rule, _key_of_slot(state, rule.plugin_key, slot), (slot,))


def _key_of_slot(state: NodeState, plugin: PluginKey, slot: Slot) -> str:
    return f"{state.settings.vsn}/{plugin.job_id}/{plugin.name}/{slot.expr}/{slot.fire_ns}"


def _next_run(cause: RuleState, key: str, slots: Sequence[Slot], *, retry: int = 0, values: str = "") -> NextRun:
    job_id, plugin = cause.plugin_key
    names = run_names(plugin, key)
    slot = newest(slots) if slots else None
    extra: dict[str, Any] = {"reason": f"triggered by {cause.rule.condition}"}
    if slot is not None:
        extra["slot"] = clock_text(slot.fire_ns)
    if retry:
        extra["retry"] = retry
    if values:
        extra["values"] = values
    line = Report("plugin.queued", {"job": job_id, "plugin": plugin, "run": names.run_id, **extra})
    return NextRun(slot, key, names, line, extra)


def _create_run(turn: Turn, plugin: PluginState, rules: Sequence[RuleState], slots: list[Slot]) -> None:
    state, (job_id, name), cause = turn.state, plugin.key, rules[0]
    for rule in rules:
        rule.fired += 1
    if not slots:
        # two lives may count alike when the first could not write what it did: the key says which one it was
        key = f"{state.settings.vsn}/{job_id}/{name}/{state.settings.life}#{state.run_counter + 1}"
        enqueue(turn, plugin, cause, key, ())
        return
    slot = newest(slots)
    _claim(turn, plugin, slots, slot.fire_ns)
    plugin.retry = None
    if cause.next_run is not None and cause.next_run.slot == slot:
        _enqueue(turn, plugin, cause, cause.next_run, tuple(slots))
    else:
        enqueue(turn, plugin, cause, _key_of_slot(state, plugin.key, slot), tuple(slots))


def enqueue(
    turn: Turn, plugin: PluginState, cause: RuleState, key: str, slots: tuple[Slot, ...], *, retry: int = 0
) -> None:
    """Make a run of a plugin that waits to be selected. `key`: what its names are derived from."""
    values = cause.bound.explain(turn.now.ts_ns) if cause.condition.needs.windows else ""
    _enqueue(turn, plugin, cause, _next_run(cause, key, slots, retry=retry, values=values), slots, retry)


def _enqueue(
    turn: Turn, plugin: PluginState, cause: RuleState, ready: NextRun, slots: tuple[Slot, ...], retry: int = 0
) -> None:
    state = turn.state
    state.run_counter += 1
    parameters = cause.rule.parameters
    duration = parameters.get("duration")
    names = ready.names
    run = Run(
        names.run_id,
        state.run_counter,
        ready.key,
        plugin.key,
        plugin.goal_id,
        plugin.plugin,
        names.pod_name,
        names.instance,
        turn.now,
        cause.rule.condition,
        slots,
        duration_s=None if duration is None else parse_duration_ns(duration) / NS_PER_S,
        priority=int(parameters.get("priority", 0)),
        retry=retry,
        grace_s=cause.grace_s if slots else 0.0,
    )
    state.runs[run.run_id] = run
    state.waiting[run.run_id] = None
    plugin.active = run
    plugin.runs += 1
    turn.effects.append(ready.line)
    publish_run(turn, run, ready.line.event, ready.extra)
    tell(turn, plugin, ready.line.event, ready.extra)


def _claim(turn: Turn, plugin: PluginState, slots: list[Slot], fire_ns: int) -> None:
    """Claim the slots of the firing rules and close every other open slot of the plugin up to `fire_ns`."""
    state, job_id = turn.state, plugin.key.job_id
    if len(plugin.rules) > 1:
        slots = [*slots, *(slot for slot in open_slots(turn, plugin.rules) if slot.fire_ns <= fire_ns)]
    for expr, time_ns in slots:
        state.ledger.claim(SlotKey(job_id, plugin.key.name, expr), time_ns)
    for rule in plugin.rules:
        state.wakeups.unarmed[rule.rule_id] = None
        if rule.blocked:
            record_missed(turn, rule)
        if rule.hold_s:
            # the slot is claimed: what was true through it is not any more
            rule.true_since = None if rule.bound.evaluate(turn.now.ts_ns).value is not True else rule.true_since


def record_missed(turn: Turn, rule: RuleState) -> None:
    """Record the held slots of a rule whose grace is over or that a newer slot has replaced; forget claimed ones."""
    still_open = set(open_slots(turn, [rule]))
    for slot, reason in list(rule.blocked.items()):
        if slot in still_open:
            continue
        del rule.blocked[slot]
        if turn.state.ledger.is_claimed(SlotKey(rule.job_id, rule.rule.object, slot.expr), slot.fire_ns):
            continue
        fields = {
            "job": rule.job_id,
            "plugin": rule.rule.object,
            "slot": clock_text(slot.fire_ns),
            "slot_ns": slot.fire_ns,
            "cron": slot.expr,
            "reason": reason,
        }
        say(turn, "slot.missed", fields, level="warning")
        plugin = turn.state.plugins.get(rule.plugin_key)
        if plugin is not None:
            tell(turn, plugin, "slot.missed", {"slot": clock_text(slot.fire_ns), "reason": reason})


# -- publish, set -----------------------------------------------------------------------------------------------------


def _publish(turn: Turn, rule: RuleState, *, edge: bool) -> None:
    parameters = rule.rule.parameters
    every = parameters.get("every")
    every_ns = round(turn.state.settings.publish_every_s * NS_PER_S) if every is None else parse_duration_ns(every)
    boot_ns = turn.now.boot_ns
    if not edge and rule.acted_boot_ns is not None and boot_ns < rule.acted_boot_ns + every_ns:
        turn.state.wakeups.boot.set(("every", rule.rule_id), rule.acted_boot_ns + every_ns)
        return
    value = parameters.get("value", 1)
    scope = SCOPES.get(str(parameters.get("to", "all")), "all")
    fields = {"job": rule.job_id, "name": rule.rule.object, "value": value, "to": scope, "rule": rule.rule.condition}
    fields["values"] = rule.bound.explain(turn.now.ts_ns)
    log(turn, "rule.published", fields)
    publish_value(turn, rule.rule.object, value, scope)
    rule.acted_boot_ns = boot_ns
    rule.fired += 1
    turn.state.wakeups.boot.set(("every", rule.rule_id), boot_ns + every_ns)
    _settle(turn, rule)


def _set(turn: Turn, rule: RuleState) -> None:
    value = rule.rule.parameters.get("value", 1)
    text = value if isinstance(value, str) else str(value)
    fields = {"job": rule.job_id, "key": rule.rule.object, "value": text, "rule": rule.rule.condition}
    fields["values"] = rule.bound.explain(turn.now.ts_ns)
    log(turn, "rule.set", fields)
    turn.effects.append(SetState(turn.state.next_effect_id(), rule.rule.object, text))
    rule.acted_value = text
    rule.fired += 1
    _settle(turn, rule)


def _settle(turn: Turn, rule: RuleState) -> None:
    """Claim the slots that a publish or set rule fired on; the claim itself may turn the condition false again."""
    slots = open_slots(turn, [rule])
    if not slots:
        return
    for expr, fire_ns in slots:
        turn.state.ledger.claim(SlotKey(rule.job_id, rule.rule.object, expr), fire_ns)
    _remember(turn, rule, rule.bound.evaluate(turn.now.ts_ns))
