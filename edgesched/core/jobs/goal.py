"""Science goals: made from jobs, written for the wire, compared, merged.

A goal's id changes with every change of content; the job's id stays. Goals made from files get both from hashes, so
that an agent that starts again finds the goals that it had. Sources own their goals: the set in force is the union of
all sources, and when two bring the same job the nearer to its author wins: stream, then ConfigMap, then files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edgesched.core.model import Job, Plugin, PluginSpec, ScienceGoal, SubGoal

PRECEDENCE: Final = ("stream", "configmap", "files")


def file_job_id(path: str) -> str:
    """Return the job id of a job file: `f-` and 8 hex digits of its full path; edits of the file keep it."""
    return "f-" + hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def job_to_goal(
    job: Job, *, job_id: str, goal_id: str | None = None, nodes: Iterable[str] | None = None
) -> ScienceGoal:
    """Make the goal of a job: one sub-goal a node, each with all plugins and rules.

    `goal_id`: a hash of job id and content when None. `nodes`: the nodes of the goal, those of the job when None (who
    knows the manifests adds the nodes that `nodeTags` selects). Success criteria become the conditions.
    """
    names = job.nodes if nodes is None else tuple(dict.fromkeys(nodes))
    sub_goals = tuple(SubGoal(name, job.plugins, job.science_rules) for name in names)
    goal = ScienceGoal("", job_id, job.name, sub_goals, job.success_criteria)
    return ScienceGoal(goal_id or content_id(goal), job_id, job.name, sub_goals, job.success_criteria)


def goal_to_json(goal: ScienceGoal) -> str:
    """Write a goal as one line of ASCII JSON, keys and their order as on the Waggle wire."""
    return json.dumps(goal_to_dict(goal), separators=(",", ":"))


def goals_to_json(goals: Iterable[ScienceGoal]) -> str:
    """Write a list of goals as one line of ASCII JSON; no goals are `[]`."""
    return "[" + ",".join(goal_to_json(goal) for goal in goals) + "]"


def goal_to_dict(goal: ScienceGoal) -> dict[str, object]:
    """Return a goal as JSON values; what the wire leaves out when empty is left out."""
    wire: dict[str, object] = {"id": goal.goal_id, "job_id": goal.job_id}
    if goal.name:
        wire["name"] = goal.name
    if goal.sub_goals:
        wire["sub_goals"] = [
            {
                "name": sub_goal.node,
                "plugins": [plugin_to_dict(plugin, goal.goal_id) for plugin in sub_goal.plugins] or None,
                "science_rules": [{"rule": rule} for rule in sub_goal.rules] or None,
            }
            for sub_goal in goal.sub_goals
        ]
    if goal.conditions:
        wire["conditions"] = list(goal.conditions)
    return wire


def plugin_to_dict(plugin: Plugin, goal_id: str = "") -> dict[str, object]:
    """Return a plugin as JSON values in the wire's form."""
    wire: dict[str, object] = {"name": plugin.name, "plugin_spec": spec_to_dict(plugin.spec)}
    if goal_id:
        wire["goal_id"] = goal_id
    return wire


def spec_to_dict(spec: PluginSpec) -> dict[str, object]:
    """Return a plugin's spec as JSON values in the wire's form: empty fields are left out, the image never."""
    fields: dict[str, object] = {
        "args": list(spec.args),
        "privileged": spec.privileged,
        "node": spec.node,
        "job": spec.job,
        "selector": dict(spec.selector),
        "entrypoint": spec.entrypoint,
        "env": dict(spec.env),
        "develop": spec.develop,
        "resource": dict(spec.resource),
        "volume": dict(spec.volume),
    }
    return {"image": spec.image, **{name: value for name, value in fields.items() if value}}


@dataclass(frozen=True, slots=True)
class GoalDiff:
    """What changed between two sets of goals, in the order of the new set (`removed`: of the old)."""

    added: tuple[ScienceGoal, ...] = ()
    updated: tuple[tuple[ScienceGoal, ScienceGoal], ...] = ()
    removed: tuple[ScienceGoal, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.removed)


def diff_goals(old: Iterable[ScienceGoal], new: Iterable[ScienceGoal]) -> GoalDiff:
    """Compare two sets of goals by job id; a job is updated when anything in its goal differs, ids included."""
    before = {goal.job_id: goal for goal in old}
    after = {goal.job_id: goal for goal in new}
    return GoalDiff(
        added=tuple(goal for job_id, goal in after.items() if job_id not in before),
        updated=tuple(
            (before[job_id], goal) for job_id, goal in after.items() if job_id in before and before[job_id] != goal
        ),
        removed=tuple(goal for job_id, goal in before.items() if job_id not in after),
    )


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two sources have the same job; `kept` is in force."""

    job_id: str
    kept: str
    dropped: str


@dataclass(frozen=True, slots=True)
class MergedGoals:
    """The goals in force, where each comes from (job id to source), and the jobs that two sources have."""

    goals: tuple[ScienceGoal, ...]
    sources: Mapping[str, str]
    conflicts: tuple[Conflict, ...]


def merge_goals(by_source: Mapping[str, Iterable[ScienceGoal]]) -> MergedGoals:
    """Unite the goals of the sources `stream`, `configmap` and `files`, in this precedence."""
    goals: dict[str, ScienceGoal] = {}
    sources: dict[str, str] = {}
    conflicts = []
    for source in PRECEDENCE:
        for goal in by_source.get(source, ()):
            owner = sources.setdefault(goal.job_id, source)
            if owner == source:
                goals[goal.job_id] = goal
            else:
                conflicts.append(Conflict(goal.job_id, owner, source))
    return MergedGoals(tuple(goals.values()), sources, tuple(conflicts))


def content_id(goal: ScienceGoal) -> str:
    """Return a goal id, in the form of a UUID, that follows from everything else in the goal."""
    digest = hashlib.sha256(goal_to_json(goal).encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
