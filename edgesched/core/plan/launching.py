"""From a run to the order for its pod."""

from __future__ import annotations

from edgesched.core.model import PodOrder
from edgesched.core.plan.effects import LaunchPod
from edgesched.core.plan.state import NodeState, Run
from edgesched.core.plan.turn import Turn


def request_launch(turn: Turn, run: Run) -> None:
    """Ask for the pod of a run."""
    turn.effects.append(LaunchPod(order_of(turn.state, run)))


def order_of(state: NodeState, run: Run) -> PodOrder:
    """Return what the pod of a run is made of."""
    plugin = state.plugins.get(run.plugin_key)
    upload_job = plugin.upload_job if plugin is not None else run.plugin.spec.job
    names = run.run_id, run.pod_name, run.instance
    return PodOrder(*names, run.job_id, run.goal_id, upload_job, run.plugin, run.duration_s, run.priority)
