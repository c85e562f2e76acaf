"""From waiting runs to launches: the policy chooses, every run that stays carries its reason."""

from __future__ import annotations

from typing import Final

from edgesched.core.model import NS_PER_S
from edgesched.core.plan.announce import log, publish_run, tell
from edgesched.core.plan.ends import miss
from edgesched.core.plan.launching import request_launch
from edgesched.core.plan.lifecycle import RunState
from edgesched.core.plan.pauses import paused
from edgesched.core.plan.policies import POLICIES, Selection, default
from edgesched.core.plan.room import resourceaware
from edgesched.core.plan.state import NodeState, Run, newest
from edgesched.core.plan.turn import Turn
from edgesched.core.rules import next_fire

FITS: Final = {"reason": "Fit to resource"}
CLUSTER_UNKNOWN = "waiting for the cluster's list of pods"


def select(turn: Turn) -> None:
    """Let the policy choose among the waiting runs and ask for their pods."""
    state = turn.state
    if not state.waiting:
        return
    waiting = [state.runs[run_id] for run_id in state.waiting]
    if not state.pods_known:
        # until the pods are listed a pod of this very run may exist, and so may others that occupy the node
        for run in waiting:
            _stay(turn, run, CLUSTER_UNKNOWN)
        return
    if state.pauses:
        for run in waiting:
            brake = paused(state, run.plugin_key)
            if brake:
                _stay(turn, run, brake)
        waiting = [run for run in waiting if not paused(state, run.plugin_key)]
    if any(run.priority for run in waiting):
        waiting.sort(key=lambda run: -run.priority)
    selection = _chosen(state, waiting)
    for run in selection.go:
        _go(turn, run)
    for run, reason in selection.stay:
        _stay(turn, run, reason)


def _chosen(state: NodeState, waiting: list[Run]) -> Selection:
    name = state.settings.policy
    if name != "resourceaware" and POLICIES.get(name, default) is default:
        # everybody goes: who is there already does not matter
        return default(waiting, (), ())
    active = [run for run in state.runs.values() if run.is_active and run.run_id not in state.waiting]
    if name == "resourceaware":
        return resourceaware(state, waiting, active)
    return POLICIES[name](waiting, active, list(state.foreign.values()))


def _go(turn: Turn, run: Run) -> None:
    state = turn.state
    del state.waiting[run.run_id]
    if run.why:
        state.wakeups.boot.clear(("queue", run.run_id))
        state.wakeups.wall.clear(("queue", run.run_id))
        run.why = ""
    run.state = RunState.SELECTED
    run.launched = turn.now
    # no line in the log: what was decided is told by `plugin.queued`, what became of it by `plugin.scheduled`
    plugin = publish_run(turn, run, "plugin.selected", FITS)
    if plugin is not None:
        plugin.last_launch_ns = turn.now.ts_ns
    request_launch(turn, run)


def _stay(turn: Turn, run: Run, reason: str) -> None:
    if run.why == reason:
        return
    state = turn.state
    if not run.why:
        fields = {"job": run.job_id, "plugin": run.plugin.name, "run": run.run_id, "reason": reason}
        log(turn, "plugin.waiting", fields)
        if run.slots:
            until_ns = next_fire(newest(run.slots).expr, turn.now.ts_ns)
            if until_ns is not None:
                state.wakeups.wall.set(("queue", run.run_id), until_ns)
        else:
            timeout_ns = round(state.settings.queue_timeout_s * NS_PER_S)
            state.wakeups.boot.set(("queue", run.run_id), run.created.boot_ns + timeout_ns)
    run.why = reason
    plugin = state.plugins.get(run.plugin_key)
    if plugin is not None:
        tell(turn, plugin, "plugin.waiting", {"reason": reason})


def give_up(turn: Turn, run: Run) -> None:
    """A run has waited for as long as it may."""
    if run.run_id in turn.state.waiting:
        miss(turn, run, run.why or "no reason known")
