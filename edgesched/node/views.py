"""What the agent can say about itself, as plain JSON values.

The functions read the node state and are run by the engine thread (`Engine.ask`), so they see it between two steps and
must be quick. Times are RFC 3339 in UTC; ids and names are as they came, whoever shows them escapes them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from edgesched.core.model import NS_PER_S, Instant
from edgesched.core.plan.state import JobState, NodeState, PluginState, RuleState, Run
from edgesched.core.suggest import did_you_mean
from edgesched.errors import InputError

Json = dict[str, Any]

STORY_SHOWN: Final = 20


class UnknownPluginError(InputError):
    """No plugin of that name is in force here."""

    code = "plugin.unknown"


def status_view(state: NodeState, now: Instant) -> Json:
    """Return counts and the state of the planner's world."""
    states: dict[str, int] = {}
    for run in state.runs.values():
        states[run.state.value] = states.get(run.state.value, 0) + 1
    return {
        "vsn": state.settings.vsn,
        "now": when(now.ts_ns),
        "policy": state.settings.policy,
        "clock_trusted": state.clock_trusted,
        "pods_known": state.pods_known,
        "sources": {source: len(goals) for source, goals in state.sources.items()},
        "jobs": len(state.jobs),
        "plugins": len(state.plugins),
        "rules": len(state.rules),
        "runs": dict(sorted(states.items())),
        "waiting": len(state.waiting),
        "foreign_pods": len(state.foreign),
        "measurements": sorted(state.wakeups.by_name),
    }


def goals_view(state: NodeState, now: Instant) -> list[Json]:
    """Return the jobs in force, in the order in which they came."""
    return [_goal(job, now) for job in state.jobs.values()]


def plugins_view(state: NodeState, now: Instant) -> list[Json]:
    """Return the plugins of all jobs with their state, its reason and their rules."""
    return [_plugin(plugin, now) for plugin in state.plugins.values()]


def runs_view(state: NodeState, now: Instant) -> list[Json]:  # noqa: ARG001 - one shape for all views
    """Return the runs that are known, oldest first."""
    return [_run(run) for run in state.runs.values()]


def explain_view(state: NodeState, now: Instant, plugin_name: str, job_id: str = "") -> list[Json]:
    """Return what is known of a plugin: state, gate, rules with the values of their clauses, and its story.

    One entry for each job that has a plugin of that name. Raises UnknownPluginError with a did-you-mean.
    """
    found = [
        plugin
        for plugin in state.plugins.values()
        if plugin.key.name == plugin_name and job_id in ("", plugin.key.job_id)
    ]
    if not found:
        names = {plugin.key.name for plugin in state.plugins.values()}
        where = f" in job {job_id}" if job_id else ""
        raise UnknownPluginError(f"no plugin {plugin_name}{where} on this node", hint=did_you_mean(plugin_name, names))
    return [_explained(plugin, now) for plugin in found]


def when(ts_ns: int | None) -> str | None:
    """Return a time as RFC 3339 with milliseconds."""
    if ts_ns is None:
        return None
    return datetime.fromtimestamp(ts_ns / NS_PER_S, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _goal(job: JobState, now: Instant) -> Json:
    missing_boot_ns = job.missing_until_boot_ns
    return {
        "job_id": job.job_id,
        "goal_id": job.goal.goal_id,
        "name": job.goal.name,
        "source": job.source,
        "since": when(job.first_seen.ts_ns),
        "plugins": list(job.plugins),
        "rules": len(job.rules),
        "problems": list(job.problems),
        "held_s": None if missing_boot_ns is None else max(0, (missing_boot_ns - now.boot_ns) // NS_PER_S),
    }


def _plugin(plugin: PluginState, now: Instant) -> Json:
    state, why = _plugin_state(plugin, now)
    return {
        "job_id": plugin.key.job_id,
        "plugin": plugin.key.name,
        "image": plugin.plugin.spec.image,
        "state": state,
        "why": why,
        "runs": plugin.runs,
        "completed": plugin.completed_runs,
        "failures_in_a_row": plugin.failures,
        "last_launch": when(plugin.last_launch_ns),
        "last_completed": when(plugin.last_completed_ns),
        "rules": [_rule(rule) for rule in plugin.rules],
    }


def _plugin_state(plugin: PluginState, now: Instant) -> tuple[str, str]:
    if plugin.refused:
        return "refused", plugin.refused
    if plugin.active is not None:
        return plugin.active.state.value, plugin.active.why
    if plugin.backoff_boot_ns > now.boot_ns:
        left_s = (plugin.backoff_boot_ns - now.boot_ns) / NS_PER_S
        return "held", f"failing: {plugin.failures} in a row, next try in {left_s:.0f} s"
    if plugin.gate_boot_ns > now.boot_ns:
        return "held", f"{plugin.gate}, {(plugin.gate_boot_ns - now.boot_ns) / NS_PER_S:.0f} s left"
    return "inactive", ""


def _rule(rule: RuleState) -> Json:
    verdict = rule.verdict
    return {
        "rule": rule.rule.text,
        "verdict": "not evaluated" if verdict is None else verdict.word,
        "reason": verdict.reason if verdict is not None and verdict.value is not True else "",
        "fired": rule.fired,
        "blocked": [f"{slot.expr} at {when(slot.fire_ns)}: {gate}" for slot, gate in rule.blocked.items()],
    }


def _run(run: Run) -> Json:
    return {
        "run_id": run.run_id,
        "job_id": run.job_id,
        "plugin": run.plugin.name,
        "pod": run.pod_name,
        "state": run.state.value,
        "why": run.why,
        "reason": run.reason,
        "exit_code": run.exit_code,
        "cause": run.cause,
        "created": when(run.created.ts_ns),
        "launched": when(run.launched.ts_ns) if run.launched is not None else None,
        "ended": when(run.ended.ts_ns) if run.ended is not None else None,
        "log": list(run.log),
    }


def _explained(plugin: PluginState, now: Instant) -> Json:
    explained = _plugin(plugin, now)
    for shown_rule, rule in zip(explained["rules"], plugin.rules, strict=True):
        shown_rule["clauses"] = [
            {"text": clause.text, "verdict": clause.verdict.word, "detail": clause.detail}
            for clause in rule.bound.clauses(now.ts_ns)
        ]
        next_ns = rule.bound.next_change(now.ts_ns)
        shown_rule["next_look"] = when(next_ns)
    explained["active"] = _run(plugin.active) if plugin.active is not None else None
    explained["story"] = [{"at": when(line.ts_ns), "text": line.text} for line in list(plugin.story)[-STORY_SHOWN:]]
    return explained
