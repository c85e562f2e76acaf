"""What must hold after every step, whatever the events were. Tests check all of it after each."""

from __future__ import annotations

from edgesched.core.plan.lifecycle import RunState
from edgesched.core.plan.state import NodeState


def violations(state: NodeState) -> list[str]:
    """List what is wrong with a state; empty when nothing is."""
    return [*_runs(state), *_plugins(state), *_rules(state)]


def _runs(state: NodeState) -> list[str]:
    found: list[str] = []
    pods: dict[str, str] = {}
    active: dict[tuple[str, str], int] = {}
    for run_id, run in state.runs.items():
        if run.run_id != run_id:
            found.append(f"run {run.run_id} is filed under {run_id}")
        if run.pod_name in pods and run.is_active:
            found.append(f"runs {run_id} and {pods[run.pod_name]} share the pod name {run.pod_name}")
        pods[run.pod_name] = run_id
        if run.is_active and not run.ending:
            active[run.plugin_key] = active.get(run.plugin_key, 0) + 1
        if (run.state is RunState.QUEUED) != (run_id in state.waiting):
            found.append(f"run {run_id} is {run.state} but waiting is {run_id in state.waiting}")
        if not run.is_active and run.pod_gone and not run.awaits_log:
            found.append(f"run {run_id} has ended, its pod is gone, and it was not forgotten")
    found.extend(f"plugin {key} has {count} active runs" for key, count in active.items() if count > 1)
    found.extend(f"waiting run {run_id} is unknown" for run_id in state.waiting if run_id not in state.runs)
    return found


def _plugins(state: NodeState) -> list[str]:
    found: list[str] = []
    for key, plugin in state.plugins.items():
        run = plugin.active
        if run is not None and not run.is_active:
            found.append(f"plugin {key} is occupied by ended run {run.run_id}")
        if run is not None and state.runs.get(run.run_id) is not run:
            found.append(f"plugin {key} is occupied by unknown run {run.run_id}")
    return found


def _rules(state: NodeState) -> list[str]:
    found: list[str] = []
    of_jobs = {rule.rule_id for job in state.jobs.values() for rule in job.rules}
    if of_jobs != set(state.rules):
        found.append(f"rules of jobs {sorted(of_jobs)} are not the rules {sorted(state.rules)}")
    for name, rules in state.wakeups.by_name.items():
        found.extend(f"{name} wakes unknown rule {rule_id}" for rule_id in rules if rule_id not in state.rules)
    for rule in state.rules.values():
        found.extend(
            f"rule {rule.rule_id} is not woken by {name}"
            for name in rule.names
            if rule.rule_id not in state.wakeups.by_name.get(name, {})
        )
    return found
