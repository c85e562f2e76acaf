"""Why a plugin did or did not run, as sentences: what holds it, what its rules say, what has to happen next.

Like `views`, these functions read the node state on the engine's thread. Values come from the rules' own evaluation at
the time of the question, so what is explained is what would be decided.
"""

from __future__ import annotations

from typing import Any

from edgesched.core.model import NS_PER_S, Instant
from edgesched.core.plan.firing import gate
from edgesched.core.plan.ledger import SlotKey
from edgesched.core.plan.lifecycle import RunState
from edgesched.core.plan.state import NodeState, PluginKey, PluginState, RuleState, Run
from edgesched.core.plan.turn import Turn
from edgesched.core.rules import CronNeed, next_fire
from edgesched.core.suggest import did_you_mean
from edgesched.errors import InputError
from edgesched.node import views
from edgesched.node.remedies import remedy_for
from edgesched.node.sentences import moment_text, sentence, span_text

Json = dict[str, Any]


class UnknownPluginError(InputError):
    """No plugin of that name is in force here."""

    code = "plugin.unknown"


def named(state: NodeState, plugin_name: str, job_id: str = "") -> list[PluginKey]:
    """Return the plugins of that name, of one job when it is given. Raises UnknownPluginError."""
    jobs = [key.job_id for key in state.plugins if key.name == plugin_name]
    found = [PluginKey(each, plugin_name) for each in jobs if job_id in ("", each)]
    if not found:
        raise _unknown(state, plugin_name, job_id, jobs)
    return found


def explained(state: NodeState, key: PluginKey, now: Instant) -> list[Json]:
    """Return what is known of one plugin, nothing when it is gone."""
    plugin = state.plugins.get(key)
    return [] if plugin is None else [_explained(state, plugin, now)]


def _unknown(state: NodeState, name: str, job_id: str, jobs: list[str]) -> UnknownPluginError:
    if jobs:
        return UnknownPluginError(
            f"no plugin {name} in job {job_id} on this node", hint=f"job {', '.join(jobs)} has it"
        )
    names = {plugin.key.name for plugin in state.plugins.values()}
    hint = did_you_mean(name, names)
    if not hint:
        hint = f"there are {', '.join(sorted(names)[:10])}" if names else "no job is in force: see edgesched status"
    return UnknownPluginError(f"no plugin {name} on this node", hint=hint)


def _explained(state: NodeState, plugin: PluginState, now: Instant) -> Json:
    explained = views.plugin_view(state, plugin, now)
    job = state.jobs.get(plugin.key.job_id)
    explained["job_name"] = job.goal.name if job is not None else ""
    explained["rules"] = [_rule(state, rule, now) for rule in plugin.rules]
    explained["active"] = views.run_view(plugin.active) if plugin.active is not None else None
    explained["next"] = what_next(state, plugin, now)
    explained["story"] = [
        {"at": views.when(line.ts_ns), "event": line.what, "text": sentence(line)} for line in plugin.story
    ]
    return explained


def _rule(state: NodeState, rule: RuleState, now: Instant) -> Json:
    shown_rule = views.rule_view(rule)
    shown_rule["clauses"] = [
        {"text": clause.text, "verdict": clause.verdict.word, "reason": clause.verdict.reason, "detail": clause.detail}
        for clause in rule.bound.clauses(now.ts_ns)
    ]
    shown_rule["joined_by"] = rule.condition.joined_by
    shown_rule["slots"] = [_slot(state, rule, need, now) for need in rule.condition.needs.crons]
    shown_rule["next_look"] = views.when(rule.bound.next_change(now.ts_ns))
    return shown_rule


def _slot(state: NodeState, rule: RuleState, need: CronNeed, now: Instant) -> Json:
    expr = need.key
    latest = dict(rule.bound.latest_slots(now.ts_ns)).get(expr)
    claimed = latest is not None and state.ledger.is_claimed(SlotKey(rule.job_id, rule.rule.object, expr), latest)
    is_open = (expr, latest) in rule.bound.open_slots(now.ts_ns)
    return {
        "cron": expr,
        "latest": views.when(latest),
        "latest_is": "claimed" if claimed else "open" if is_open else "over",
        "next": views.when(next_fire(expr, now.ts_ns)),
    }


# -- what has to happen next ------------------------------------------------------------------------------------------


def what_next(state: NodeState, plugin: PluginState, now: Instant) -> list[str]:
    """Return what would have to happen for the next launch, one sentence each, in order."""
    found: list[str] = []
    if not state.clock_trusted:
        found.append("the clock must be set before cron slots open (or 5 min must pass)")
    if not state.pods_known:
        found.append("the cluster must answer with its list of pods")
    run = plugin.active
    if run is not None:
        found.append(_run_next(run, now))
    held = gate(Turn(state, now), plugin, with_slot=False)
    if held and run is None:
        remedy = remedy_for("plugin.waiting", held)
        found.append(f"what holds it must end: {held}" + (f" ({remedy})" if remedy else ""))
    if plugin.refused:
        return found
    if not plugin.rules:
        found.append("the job must have a rule that schedules it: no rule in force names it")
    for rule in plugin.rules:
        found += _rule_next(state, rule, now, held=bool(found))
    return found


def _run_next(run: Run, now: Instant) -> str:
    if run.state is RunState.QUEUED:
        return f"its waiting run must go first: {run.why or 'it was decided just now'}"
    why = f" ({run.why})" if run.why else ""
    if run.state is RunState.RUNNING:
        if run.duration_s is not None and run.launched is not None:
            end_ns = run.launched.ts_ns + round(run.duration_s * NS_PER_S)
            return f"its run must end: duration= ends it about {moment_text(end_ns, now.ts_ns)}"
        return "its run must end"
    return f"its pod {run.pod_name} must start and end{why}"


def _rule_next(state: NodeState, rule: RuleState, now: Instant, *, held: bool) -> list[str]:
    verdict = rule.bound.evaluate(now.ts_ns)
    if verdict.value is True:
        if rule.hold_s and rule.true_since is not None:
            since_ns = now.boot_ns - rule.true_since.boot_ns
            left_ns = round(rule.hold_s * NS_PER_S) - since_ns
            if left_ns > 0:
                return [f"{rule.rule.condition} must stay true for {span_text(left_ns)} more (hold)"]
        return [f"{rule.rule.condition} is true: " + ("it runs when nothing holds it" if held else "it runs now")]
    missing = [
        _clause_next(state, rule, clause, now)
        for clause in rule.bound.clauses(now.ts_ns)
        if clause.verdict.value is not True
    ]
    if rule.condition.joined_by == "or" and len(missing) > 1:
        return ["one of these must come: " + "; or ".join(missing)]
    return missing


def _clause_next(state: NodeState, rule: RuleState, clause: Any, now: Instant) -> str:
    text = f"{clause.text} must become true"
    crons = [need for need in rule.condition.needs.crons if need.expr in clause.text and "cronjob(" in clause.text]
    if crons:
        fires = [fire_ns for need in crons if (fire_ns := next_fire(need.key, now.ts_ns)) is not None]
        if fires:
            at = moment_text(min(fires), now.ts_ns)
            claimed = any(_slot(state, rule, need, now)["latest_is"] == "claimed" for need in crons)
            done = "; the slot before it is claimed" if claimed else ""
            return f"{text}: its next slot opens at {at} (in {span_text(min(fires) - now.ts_ns)}){done}"
    if clause.verdict.value is None:
        return f"{text}: {clause.verdict.word}, {clause.verdict.reason}"
    return f"{text}: now {clause.detail}" if clause.detail else text
