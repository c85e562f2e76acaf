"""From a run to the order for its pod."""

from __future__ import annotations

from edgesched.core.model import PodOrder
from edgesched.core.plan.effects import LaunchPod
from edgesched.core.plan.state import NodeState, Run
from edgesched.core.plan.turn import Turn


def request_launch(turn: Turn, run: Run) -> None:
    """Ask for the pod of a run."""
    turn.effects.append(LaunchPod(f"launch:{run.run_id}", order_of(turn.state, run)))


def order_of(state: NodeState, run: Run) -> PodOrder:
    """Return what the pod of a run is made of."""
    plugin = state.plugins.get(run.plugin_key)
    return PodOrder(
        run_id=run.run_id,
        pod_name=run.pod_name,
        instance=run.instance,
        job_id=run.job_id,
        goal_id=run.goal_id,
        upload_job=plugin.upload_job if plugin is not None else run.plugin.spec.job,
        plugin=run.plugin,
        duration_s=run.duration_s,
        priority=run.priority,
    )
