"""Success criteria: when the node's part of a job is done.

Any one criterion met completes it: nothing is launched or published any more, running pods end by themselves, and the
event `goal.completed` says which criterion it was. `WallClock` counts from the goal's first arrival on the boot clock,
so steps of the wall clock neither shorten nor stretch it.
"""

from __future__ import annotations

from typing import Final

from edgesched.core.jobs import NotEnforced, Runs, Until, UntilTrue, WallClock, parse_criterion
from edgesched.core.model import ScienceRule
from edgesched.core.plan.announce import log, say, tell
from edgesched.core.plan.ends import miss
from edgesched.core.plan.rulebook import put_in_force, uninstall_rules
from edgesched.core.plan.state import JobState
from edgesched.core.plan.turn import Turn
from edgesched.core.rules import compile_condition
from edgesched.errors import RuleError

UNTIL: Final = "until"
"""Action of the rule that watches an `Until(condition)`; its object is the criterion as written."""


def install(turn: Turn, job: JobState) -> list[str]:
    """Watch the criteria of a job; returns what cannot be enforced, for people."""
    problems: list[str] = []
    watch_times(turn, job)
    for text in job.goal.conditions:
        criterion = parse_criterion(text)
        if isinstance(criterion, UntilTrue):
            try:
                condition = compile_condition(criterion.condition)
            except RuleError as error:
                problems.append(_not_enforced(turn, job, text, str(error)))
            else:
                put_in_force(turn, job, ScienceRule(UNTIL, text, {}, criterion.condition, text), condition)
        elif isinstance(criterion, NotEnforced):
            problems.append(_not_enforced(turn, job, text, criterion.reason))
    return problems


def watch_times(turn: Turn, job: JobState) -> None:
    """Set the deadlines of the criteria that are times."""
    wakeups = turn.state.wakeups
    for text in job.goal.conditions:
        criterion = parse_criterion(text)
        key = ("done", job.job_id, text)
        if isinstance(criterion, WallClock):
            wakeups.boot.set(key, job.first_seen.boot_ns + criterion.length_ns)
        elif isinstance(criterion, Until):
            wakeups.wall.set(key, criterion.ts_ns)


def uninstall(turn: Turn, job: JobState) -> None:
    """Stop watching."""
    for text in job.goal.conditions:
        turn.state.wakeups.boot.clear(("done", job.job_id, text))
        turn.state.wakeups.wall.clear(("done", job.job_id, text))


def start_anew(turn: Turn, job: JobState) -> None:
    """Count from now, as for a job seen for the first time."""
    job.completed = ""
    job.first_seen = turn.now
    for plugin in job.plugins.values():
        plugin.completed_runs = 0


def count_runs(turn: Turn) -> None:
    """Look at `Runs()` of the jobs whose plugins completed a run in this step."""
    for run in turn.completed:
        job = turn.state.jobs.get(run.job_id)
        plugin = turn.state.plugins.get(run.plugin_key)
        if job is None or plugin is None:
            continue
        for text in job.goal.conditions:
            criterion = parse_criterion(text)
            if not isinstance(criterion, Runs) or criterion.plugin != run.plugin.name:
                continue
            if plugin.completed_runs >= criterion.count:
                met(turn, job.job_id, text)


def met(turn: Turn, job_id: str, text: str) -> None:
    """A criterion is met: the node's part of the job is done."""
    job = turn.state.jobs.get(job_id)
    if job is None or job.completed:
        return
    job.completed = text
    uninstall_rules(turn, job)
    uninstall(turn, job)
    fields = {"goal_id": job.goal.goal_id, "goal_name": job.goal.name, "job_id": job_id, "criterion": text}
    say(turn, "goal.completed", fields)
    for plugin in job.plugins.values():
        tell(turn, plugin, "goal.completed", {"criterion": text})
        run = plugin.active
        if run is not None and run.run_id in turn.state.waiting:
            miss(turn, run, f"the job is completed: {text}")


def _not_enforced(turn: Turn, job: JobState, text: str, reason: str) -> str:
    log(turn, "criterion.not_enforced", {"job": job.job_id, "criterion": text, "reason": reason}, level="warning")
    return f"success criterion {text} is not enforced: {reason}"
