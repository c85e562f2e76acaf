"""What is asked: job files and goals.

From text to work in four steps, each usable alone: `parse_job` reads a file and finds faults of form, `check_job` adds
faults of meaning, `job_to_goal` makes the goal, `goals_from_json` reads goals that others made.
"""

from edgesched.core.jobs.check import check_job, check_parsed_job
from edgesched.core.jobs.criteria import (
    Criterion,
    NotEnforced,
    Runs,
    Until,
    UntilTrue,
    WallClock,
    parse_criterion,
)
from edgesched.core.jobs.goal import (
    PRECEDENCE,
    Conflict,
    GoalDiff,
    MergedGoals,
    diff_goals,
    file_job_id,
    goal_to_dict,
    goal_to_json,
    goals_to_json,
    job_to_goal,
    merge_goals,
    plugin_to_dict,
    spec_to_dict,
)
from edgesched.core.jobs.intake import goals_from_json
from edgesched.core.jobs.job import ParsedJob, parse_job

__all__ = [
    "PRECEDENCE",
    "Conflict",
    "Criterion",
    "GoalDiff",
    "MergedGoals",
    "NotEnforced",
    "ParsedJob",
    "Runs",
    "Until",
    "UntilTrue",
    "WallClock",
    "check_job",
    "check_parsed_job",
    "diff_goals",
    "file_job_id",
    "goal_to_dict",
    "goal_to_json",
    "goals_from_json",
    "goals_to_json",
    "job_to_goal",
    "merge_goals",
    "parse_criterion",
    "parse_job",
    "plugin_to_dict",
    "spec_to_dict",
]
