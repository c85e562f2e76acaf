"""What the agent can say about itself, as plain JSON values.

The functions read the node state and are run by the engine thread (`Engine.ask`), so they see it between two steps and
must be quick. Times are RFC 3339 in UTC; ids and names are as they came, whoever shows them escapes them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any

from edgesched.core.model import NS_PER_S, Instant
from edgesched.core.plan.ends import failing_text, held_text
from edgesched.core.plan.pauses import paused
from edgesched.core.plan.selection import CLUSTER_UNKNOWN
from edgesched.core.plan.state import JobState, NodeState, Pause, PauseKey, PluginState, RuleState, Run
from edgesched.core.plan.turn import Turn
from edgesched.core.rules import next_fire
from edgesched.node.remedies import remedy_for
from edgesched.node.sentences import moment_text, sentence

Json = dict[str, Any]


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
        "nodes": len(state.nodes),
        "measurements": sorted(state.wakeups.by_name),
        "pauses": [_pause(key, pause, now) for key, pause in state.pauses.items()],
    }


def _pause(key: PauseKey, pause: Pause, now: Instant) -> Json:
    until_boot_ns = pause.until_boot_ns
    until_ns = None if until_boot_ns is None else now.ts_ns + until_boot_ns - now.boot_ns
    return {"job_id": key.job_id, "plugin": key.plugin, "since": when(pause.since_ns), "until": when(until_ns)}


def other_rules_view(state: NodeState, now: Instant, start: int = 0, count: int | None = None) -> list[Json]:  # noqa: ARG001 - one shape for all lists
    """Return the rules that launch nothing; or `count` of them from `start`, as in the lists below."""
    rules = (rule for rule in state.rules.values() if rule.rule.action in ("publish", "set"))
    return [rule_view(rule) for rule in islice(rules, start, _end(start, count))]


def goals_view(state: NodeState, now: Instant, start: int = 0, count: int | None = None) -> list[Json]:
    """Return the jobs in force, in the order in which they came."""
    return [_goal(job, now) for job in islice(state.jobs.values(), start, _end(start, count))]


def plugins_view(state: NodeState, now: Instant, start: int = 0, count: int | None = None) -> list[Json]:
    """Return the plugins of all jobs with their state, its reason and their rules."""
    return [plugin_view(state, plugin, now) for plugin in islice(state.plugins.values(), start, _end(start, count))]


def runs_view(state: NodeState, now: Instant, start: int = 0, count: int | None = None) -> list[Json]:  # noqa: ARG001 - one shape for all lists
    """Return the runs that are known, oldest first."""
    return [run_view(run) for run in islice(state.runs.values(), start, _end(start, count))]


def _end(start: int, count: int | None) -> int | None:
    return None if count is None else start + count


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


def plugin_view(state: NodeState, plugin: PluginState, now: Instant) -> Json:
    """Return a plugin with its state, why it is so, what can be done about it, and its rules."""
    word, why, remedy = plugin_state(state, plugin, now)
    return {
        "job_id": plugin.key.job_id,
        "plugin": plugin.key.name,
        "image": plugin.plugin.spec.image,
        "state": word,
        "why": why,
        "remedy": remedy,
        "runs": plugin.runs,
        "completed": plugin.completed_runs,
        "failures_in_a_row": plugin.failures,
        "last_launch": when(plugin.last_launch_ns),
        "last_completed": when(plugin.last_completed_ns),
        "next_slot": when(_next_slot(plugin, now)),
        "rules": [rule_view(rule) for rule in plugin.rules],
    }


def plugin_state(state: NodeState, plugin: PluginState, now: Instant) -> tuple[str, str, str]:
    """Return the state of a plugin as a word, the reason and the remedy; the latter two may be empty."""
    if plugin.refused:
        return "refused", plugin.refused, remedy_for("plugin.failed", "refused")
    run = plugin.active
    if run is not None and run.pod is not None:
        return run.state.value, run.why, remedy_for("plugin.waiting", run.why) if run.why else ""
    brake = paused(state, plugin.key)
    if brake:
        return "held", brake, remedy_for("plugin.waiting", brake)
    if run is not None:
        why = run.why or ("" if state.pods_known else CLUSTER_UNKNOWN)
        return run.state.value, why, remedy_for("plugin.waiting", why) if why else ""
    turn = Turn(state, now)
    if plugin.failures >= state.settings.breaker_after or plugin.backoff_boot_ns > now.boot_ns:
        why = f"{failing_text(turn, plugin)}; {_last_failure(plugin)}"
        return "held", why, remedy_for("plugin.failed", why)
    pause = held_text(turn, plugin)
    if pause:
        return "held", pause, ""
    if plugin.failures:
        why = f"{_last_failure(plugin)} ({plugin.failures} in a row)"
        return "failing", why, remedy_for("plugin.failed", why)
    return "inactive", *_idle(plugin)


def _idle(plugin: PluginState) -> tuple[str, str]:
    """Return why an idle plugin does not run, and the remedy: what its rules say that is not plainly false."""
    if not plugin.rules:
        return "no rule in force schedules it", remedy_for("rule.refused", "")
    for rule in plugin.rules:
        verdict = rule.verdict
        if verdict is not None and verdict.value is None:
            return f"{verdict.word}: {verdict.reason}", remedy_for(f"rule.{verdict.word}", "")
    return "", ""


def _last_failure(plugin: PluginState) -> str:
    for line in reversed(plugin.story):
        if line.what == "plugin.failed":
            return sentence(line)
    return "failed"


def _next_slot(plugin: PluginState, now: Instant) -> int | None:
    """Return the next fire time of the plugin's `cronjob()` calls."""
    fires = [
        fire_ns
        for rule in plugin.rules
        for need in rule.condition.needs.crons
        if (fire_ns := next_fire(need.key, now.ts_ns)) is not None
    ]
    return min(fires, default=None)


def rule_view(rule: RuleState) -> Json:
    """Return a rule with its last verdict."""
    verdict = rule.verdict
    return {
        "rule": rule.rule.text,
        "verdict": "not evaluated" if verdict is None else verdict.word,
        "reason": verdict.reason if verdict is not None and verdict.value is not True else "",
        "fired": rule.fired,
        "blocked": [
            f"slot {moment_text(slot.fire_ns, slot.fire_ns)} of {slot.expr}: {gate}"
            for slot, gate in rule.blocked.items()
        ],
    }


def run_view(run: Run) -> Json:
    """Return a run."""
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
