"""How runs end: completed, failed, missed; and what follows for the plugin.

A failure is told with the exit code, the reason and the last lines of the log, so its event waits for the log, at most
`LOG_PATIENCE_S`. Ended pods stay for a while so that people can read their logs, then they are removed.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from edgesched.core.model import NS_PER_S
from edgesched.core.plan.announce import last_execution, log, say_run
from edgesched.core.plan.effects import DeletePod, FetchLog
from edgesched.core.plan.lifecycle import RunState, may_follow
from edgesched.core.plan.policies import clock_text
from edgesched.core.plan.state import TOLD_LENGTH, PluginState, Run, newest
from edgesched.core.plan.turn import Turn
from edgesched.core.rules import next_fire, parse_duration_ns

LOG_PATIENCE_S: Final = 10.0
LOG_BYTES: Final = 1024
DURATION_REACHED: Final = "duration reached"
GOAL_REMOVED: Final = "Cleaning up the plugin due to deletion of the goal"


def complete(turn: Turn, run: Run, *, reason: str = "") -> None:
    """End a run as completed."""
    if not _enter(turn, run, RunState.COMPLETED, reason):
        return
    plugin = turn.state.plugins.get(run.plugin_key)
    if plugin is not None:
        plugin.failures = 0
        plugin.backoff_boot_ns = 0
        plugin.completed_runs += 1
        plugin.last_completed_ns = _launch_ns(turn, run)
    last_execution(turn, run)
    extra: dict[str, Any] = {}
    if reason:
        extra["reason"] = reason
    container = run.pod.container if run.pod is not None else None
    if container is not None and container.started_ns is not None and container.finished_ns is not None:
        extra["ran_s"] = round((container.finished_ns - container.started_ns) / NS_PER_S, 1)
    say_run(turn, run, "plugin.complete", extra)
    turn.completed.append(run)
    _wake_followers(turn, run)


def _launch_ns(turn: Turn, run: Run) -> int:
    """Return when a run was launched; by the present clock when that was set back meanwhile."""
    launched, now = run.launched or run.created, turn.now
    return launched.ts_ns if launched.ts_ns <= now.ts_ns else now.ts_ns - (now.boot_ns - launched.boot_ns)


def fail(turn: Turn, run: Run, reason: str, *, message: str = "", exit_code: int | None = None) -> None:
    """End a run as failed. Its event follows at once, or when the last lines of its log have been read."""
    if not _enter(turn, run, RunState.FAILED, reason):
        return
    run.message = message
    run.exit_code = exit_code
    plugin = turn.state.plugins.get(run.plugin_key)
    if plugin is not None and not run.ending:
        plugin.failures += 1
        plugin.backoff_boot_ns = turn.boot_deadline(backoff_s(turn, plugin, run))
        turn.failed.append(run)
        if plugin.failures == turn.state.settings.breaker_after:
            fields = {"job": run.job_id, "plugin": run.plugin.name, "reason": failing_text(turn, plugin)}
            log(turn, "plugin.failing", fields, level="warning")
    if run.pod is not None and not run.pod_gone and run.pod.container.state == "terminated":
        run.awaits_log = True
        settings = turn.state.settings
        turn.effects.append(FetchLog(f"log:{run.run_id}", run.pod_name, run.pod.container.name, settings.log_lines))
        turn.state.wakeups.boot.set(("log", run.run_id), turn.boot_deadline(LOG_PATIENCE_S))
    else:
        tell_failure(turn, run)


def miss(turn: Turn, run: Run, reason: str) -> None:
    """End a run that never reached the cluster."""
    if not _enter(turn, run, RunState.MISSED, reason):
        return
    say_run(turn, run, "plugin.missed", {"reason": reason}, level="warning")
    forget(turn, run)


def tell_failure(turn: Turn, run: Run) -> None:
    """Publish a failure, once."""
    run.awaits_log = False
    turn.state.wakeups.boot.clear(("log", run.run_id))
    extra: dict[str, Any] = {"reason": run.reason}
    if run.message:
        extra["message"] = run.message
    if run.exit_code is not None:
        extra["return_code"] = run.exit_code
    if run.log:
        extra["error_log"] = "\n".join(run.log)[-LOG_BYTES:]
    say_run(turn, run, "plugin.failed", extra, level="warning")
    if run.pod is None or run.pod_gone:
        forget(turn, run)


def remove_pod(turn: Turn, run: Run, *, grace_s: int) -> None:
    """Ask for the end of a run's pod. Asking again is harmless."""
    uid = "" if run.pod is None else run.pod.uid
    turn.effects.append(DeletePod(f"delete:{run.run_id}", run.pod_name, uid, grace_s))


def forget(turn: Turn, run: Run) -> None:
    """Drop an ended run whose pod is gone and whose end has been told."""
    if run.is_active or run.awaits_log:
        return
    state = turn.state
    state.runs.pop(run.run_id, None)
    state.told[run.run_id] = run.number
    if len(state.told) > TOLD_LENGTH:
        del state.told[next(iter(state.told))]
    state.run_of_pod.pop(run.pod_name, None)
    for kind in ("queue", "patience", "duration", "remove", "orphan"):
        state.wakeups.boot.clear((kind, run.run_id))
    plugin = state.plugins.get(run.plugin_key)
    if plugin is not None and plugin.key.job_id not in state.jobs and plugin.active is None:
        del state.plugins[plugin.key]


def backoff_s(turn: Turn, plugin: PluginState, run: Run) -> float:
    """Return the pause after a failure: doubling from the minimum to the maximum, spread by a quarter within them.

    The spread comes from the run's name, not from chance, so that a replay pauses as the node did.
    """
    settings = turn.state.settings
    pause_s = min(settings.backoff_max_s, settings.backoff_min_s * 2.0 ** min(plugin.failures - 1, 16))
    spread = int(hashlib.sha256(run.run_id.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    more_s = 0.25 * spread * pause_s
    return pause_s + more_s if pause_s + more_s <= settings.backoff_max_s else settings.backoff_max_s - more_s


def failing_text(turn: Turn, plugin: PluginState) -> str:
    """Say how a plugin fails: `failing (5 in a row, next try 12:40)`, before that `backing off (1 failure, ...)`."""
    next_ns = _next_try_ns(turn, plugin)
    if plugin.failures >= turn.state.settings.breaker_after:
        until = "" if next_ns is None else f", next try {clock_text(next_ns)[:5]}"
        return f"failing ({plugin.failures} in a row{until})"
    until = "" if next_ns is None else f", next try {clock_text(next_ns)}"
    return f"backing off ({plugin.failures} failure{'' if plugin.failures == 1 else 's'}{until})"


def _next_try_ns(turn: Turn, plugin: PluginState) -> int | None:
    """Return when a failing plugin may run again, ns UTC: at the next slot, after its pause, or as soon as a rule says.

    A cron slot does not wait for the pause.
    """
    found: list[int] = []
    for rule in plugin.rules:
        crons = rule.condition.needs.crons
        if crons:
            fires = (next_fire(need.key, turn.now.ts_ns) for need in crons)
            found += [fire_ns for fire_ns in fires if fire_ns is not None]
        elif plugin.backoff_boot_ns > turn.now.boot_ns:
            found.append(turn.time_after(plugin.backoff_boot_ns))
    if plugin.retry is not None:
        found.append(turn.time_after(plugin.retry.due_boot_ns))
    return min(found, default=None)


def held_text(turn: Turn, plugin: PluginState) -> str:
    """Say what pause keeps a plugin from starting, empty when none does: `cooldown (until 12:40:05)`."""
    if plugin.gate_boot_ns <= turn.now.boot_ns:
        return ""
    return f"{plugin.gate} (until {clock_text(turn.time_after(plugin.gate_boot_ns))})"


def _enter(turn: Turn, run: Run, state: RunState, reason: str) -> bool:
    """Move a run to an end and free its plugin. False when the run has ended before."""
    if not may_follow(run.state, state):
        return False
    run.state = state
    run.reason = reason
    run.why = ""
    run.ended = turn.now
    node = turn.state
    node.waiting.pop(run.run_id, None)
    for kind in ("queue", "patience", "duration"):
        node.wakeups.boot.clear((kind, run.run_id))
    plugin = node.plugins.get(run.plugin_key)
    if plugin is not None and plugin.active is run:
        plugin.active = None
        _close_gate(turn, plugin, state)
    if run.pod is not None and not run.pod_gone:
        _keep_for_a_while(turn, run)
    return True


def _close_gate(turn: Turn, plugin: PluginState, end: RunState) -> None:
    """Keep the plugin from starting again at once."""
    settings = turn.state.settings
    pause_s, why = settings.min_gap_s, "pause after the last run"
    for rule in plugin.rules:
        cooldown = rule.rule.parameters.get("cooldown")
        if cooldown is not None and parse_duration_ns(cooldown) > pause_s * NS_PER_S:
            pause_s, why = parse_duration_ns(cooldown) / NS_PER_S, "cooldown"
    if end is RunState.MISSED:
        pause_s = 0.0
    plugin.gate_boot_ns = turn.boot_deadline(pause_s)
    plugin.gate = why
    turn.state.wakeups.boot.set(("plugin", *plugin.key), plugin.gate_boot_ns)


def _keep_for_a_while(turn: Turn, run: Run) -> None:
    """Keep an ended pod for its log, and until its slot is closed: its name is what keeps the slot from running again
    when the claim could not be written down."""
    state, settings = turn.state, turn.state.settings
    keep_s = max(settings.keep_finished_s, _left_of_slot_s(turn, run))
    state.wakeups.boot.set(("remove", run.run_id), turn.boot_deadline(keep_s))
    state.finished.append(run.run_id)
    while len(state.finished) > settings.keep_finished_pods:
        oldest = state.runs.get(state.finished.popleft())
        if oldest is None or oldest.pod_gone or oldest.awaits_log:
            continue
        left_s = _left_of_slot_s(turn, oldest)
        if left_s:
            state.wakeups.boot.set(("remove", oldest.run_id), turn.boot_deadline(left_s))
        else:
            state.wakeups.boot.clear(("remove", oldest.run_id))
            remove_pod(turn, oldest, grace_s=0)


def _left_of_slot_s(turn: Turn, run: Run) -> float:
    """Return how long the newest slot of a run would still be open if nobody knew of the run, in seconds."""
    if not run.slots:
        return 0.0
    fire_ns = newest(run.slots).fire_ns
    return min(max(0.0, (fire_ns - turn.now.ts_ns) / NS_PER_S + run.grace_s), run.grace_s)


def _wake_followers(turn: Turn, run: Run) -> None:
    """Wake the rules of the job that look at this plugin's history."""
    job = turn.state.jobs.get(run.job_id)
    if job is None:
        return
    name = run.plugin.name
    for rule in job.rules:
        needs = rule.condition.needs
        if name in needs.afters or any(cron.plugin == name for cron in needs.crons):
            turn.woken[rule.rule_id] = None


def report_orphan(turn: Turn, run: Run) -> None:
    """End a run whose job is not known any more."""
    log(turn, "plugin.orphaned", {"job": run.job_id, "plugin": run.plugin.name, "pod": run.pod_name}, level="warning")
    run.ending = GOAL_REMOVED
    fail(turn, run, GOAL_REMOVED)
    remove_pod(turn, run, grace_s=turn.state.settings.delete_grace_s)
