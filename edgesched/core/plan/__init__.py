"""The decision: events in, effects out. Read `lifecycle` (the table), then `step`, then `firing`."""

from edgesched.core.plan.settings import PlanSettings
from edgesched.core.plan.state import NodeState
from edgesched.core.plan.step import next_deadline, prepare, step

__all__ = ["NodeState", "PlanSettings", "next_deadline", "prepare", "step"]
