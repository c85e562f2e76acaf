"""Which jobs are in force on this node.

Every source owns its goals; the set in force is their union, the stream before the ConfigMap before the files. Only the
*first* list after a (re)connect is suspect: jobs that it lacks are held for a while, their running pods go on; a later
list on the same connection is taken at its word. A rule or plugin that is wrong is refused with its place; the rest of
the job is in force.
"""

from __future__ import annotations

from typing import Final

from edgesched.core.model import Plugin, ScienceGoal, SubGoal
from edgesched.core.plan import criteria
from edgesched.core.plan.announce import log, plugin_fields, say, tell
from edgesched.core.plan.ends import GOAL_REMOVED, fail, forget, miss, remove_pod
from edgesched.core.plan.events import GoalsReceived, SourceKind
from edgesched.core.plan.pods import attach
from edgesched.core.plan.rulebook import install_rule, uninstall_rules
from edgesched.core.plan.state import JobState, PluginKey, PluginState, Run
from edgesched.core.plan.turn import Turn
from edgesched.core.pods import admit, run_names

PRECEDENCE: Final[tuple[SourceKind, ...]] = ("stream", "configmap", "files")


def receive(turn: Turn, event: GoalsReceived) -> None:
    """Take the complete list of one source."""
    state = turn.state
    before = state.sources.get(event.source, {})
    goals = {goal.job_id: goal for goal in event.goals}
    if event.first:
        for job_id, goal in before.items():
            if job_id not in goals:
                goals[job_id] = goal
                _hold(turn, event.source, job_id)
    for goal in event.goals:
        job = state.jobs.get(goal.job_id)
        if job is not None and job.source == event.source:
            job.missing_until_boot_ns = None
        state.wakeups.boot.clear(("missing", event.source, goal.job_id))
    state.sources[event.source] = goals
    state.ledger.forget_old(turn.now.ts_ns)
    apply(turn)


def missing_for_good(turn: Turn, source: SourceKind, job_id: str) -> None:
    """A job stayed missing from its source for the whole hold."""
    turn.state.sources.get(source, {}).pop(job_id, None)
    apply(turn)


def apply(turn: Turn) -> None:
    """Bring the jobs in force in line with the sources."""
    state = turn.state
    in_force: dict[str, tuple[SourceKind, ScienceGoal, SubGoal]] = {}
    for source in PRECEDENCE:
        for job_id, goal in state.sources.get(source, {}).items():
            part = sub_goal(goal, state.settings.vsn)
            if part is None:
                continue
            if job_id in in_force:
                if in_force[job_id][0] != source:
                    log(turn, "goal.shadowed", {"job": job_id, "source": source, "by": in_force[job_id][0]})
                continue
            in_force[job_id] = (source, goal, part)
    for job_id in [job_id for job_id in state.jobs if job_id not in in_force]:
        _remove(turn, state.jobs[job_id])
    for job_id, (source, goal, part) in in_force.items():
        job = state.jobs.get(job_id)
        if job is None:
            _add(turn, source, goal, part)
        elif job.goal != goal:
            _update(turn, job, source, goal, part)
        else:
            job.source = source


def sub_goal(goal: ScienceGoal, vsn: str) -> SubGoal | None:
    """Return the node's part of a goal; node names are compared without regard to case."""
    for part in goal.sub_goals:
        if part.node.lower() == vsn.lower():
            return part
    return None


def open_boot_slots(turn: Turn) -> None:
    """Open the `@reboot` slots of the jobs that are in force from before this boot."""
    state = turn.state
    state.seen_boots = {
        job_id: boot_id
        for job_id, boot_id in state.seen_boots.items()
        if job_id in state.jobs or boot_id == state.boot_id
    }
    for job in state.jobs.values():
        if state.boot_id and state.seen_boots.get(job.job_id) != state.boot_id:
            _open_boot_slot(turn, job)
            for rule in job.rules:
                turn.woken[rule.rule_id] = None


def _hold(turn: Turn, source: SourceKind, job_id: str) -> None:
    until_ns = turn.boot_deadline(turn.state.settings.hold_missing_s)
    turn.state.wakeups.boot.set(("missing", source, job_id), until_ns)
    job = turn.state.jobs.get(job_id)
    if job is not None and job.source == source and job.missing_until_boot_ns is None:
        job.missing_until_boot_ns = until_ns
        log(turn, "goal.missing", {"job": job_id, "source": source}, level="warning")


def _add(turn: Turn, source: SourceKind, goal: ScienceGoal, part: SubGoal) -> None:
    job = JobState(goal.job_id, goal, source, turn.now)
    turn.state.jobs[goal.job_id] = job
    _open_boot_slot(turn, job)
    _install(turn, job, part)
    say(turn, "goal.received", _fields(job))


def _update(turn: Turn, job: JobState, source: SourceKind, goal: ScienceGoal, part: SubGoal) -> None:
    uninstall_rules(turn, job)
    job.goal, job.source = goal, source
    if job.completed:
        # a job that was done and is submitted again starts anew; an edit of a job that goes on does not
        criteria.start_anew(turn, job)
    _install(turn, job, part)
    say(turn, "goal.updated", _fields(job))


def _remove(turn: Turn, job: JobState) -> None:
    state = turn.state
    uninstall_rules(turn, job)
    criteria.uninstall(turn, job)
    plugins = list(job.plugins.values())
    job.plugins = {}
    del state.jobs[job.job_id]
    for plugin in plugins:
        if job.completed and plugin.active is not None:
            # the cloud drops a job that is done; what it started may end by itself
            continue
        _end_plugin(turn, plugin)
    say(turn, "goal.removed", _fields(job))


def _fields(job: JobState) -> dict[str, str]:
    return {"goal_id": job.goal.goal_id, "goal_name": job.goal.name, "job_id": job.job_id}


def _open_boot_slot(turn: Turn, job: JobState) -> None:
    state = turn.state
    if state.boot_id and state.seen_boots.get(job.job_id) != state.boot_id:
        state.seen_boots[job.job_id] = state.boot_id
        job.boot_slot_ns = turn.now.ts_ns


# -- plugins and rules ------------------------------------------------------------------------------------------------


def _install(turn: Turn, job: JobState, part: SubGoal) -> None:
    problems: list[str] = []
    old = job.plugins
    job.plugins = {}
    for plugin in part.plugins:
        job.plugins[plugin.name] = _install_plugin(turn, job, plugin)
    for name, gone in old.items():
        if name not in job.plugins:
            _end_plugin(turn, gone)
    for text in part.rules:
        problem = install_rule(turn, job, text)
        if problem:
            problems.append(problem)
            log(turn, "rule.refused", {"job": job.job_id, "rule": text, "reason": problem}, level="error")
    problems += criteria.install(turn, job)
    job.problems = tuple(problems)
    for run in list(turn.state.runs.values()):
        if run.job_id == job.job_id and run.key.startswith("adopted/") and run.plugin_key in turn.state.plugins:
            attach(turn, run)


def _install_plugin(turn: Turn, job: JobState, plugin: Plugin) -> PluginState:
    state = turn.state
    key = PluginKey(job.job_id, plugin.name)
    upload_job = plugin.spec.job or job.goal.name or job.job_id
    fields = plugin_fields(plugin, job.job_id, job.goal.goal_id, upload_job)
    known = state.plugins.get(key)
    # what is derived from the plugin's name is remembered; a full minute must not wait for it
    run_names(plugin.name, "")
    if known is None:
        known = PluginState(key, plugin, job.goal.goal_id, upload_job, fields)
        state.plugins[key] = known
    else:
        known.plugin, known.goal_id, known.fields = plugin, job.goal.goal_id, fields
    refused = admit(plugin, state.settings.admission) or ""
    if refused and refused != known.refused:
        say(turn, "plugin.failed", {**fields, "reason": f"refused: {refused}"}, level="error")
        tell(turn, known, "plugin.refused", {"reason": refused})
    known.refused = refused
    return known


def _end_plugin(turn: Turn, plugin: PluginState) -> None:
    """End what runs of a plugin that is not asked for any more."""
    state = turn.state
    run = plugin.active
    if run is not None:
        if run.pod is None and run.run_id in state.waiting:
            miss(turn, run, GOAL_REMOVED)
        else:
            run.ending = GOAL_REMOVED
            fail(turn, run, GOAL_REMOVED)
            remove_pod(turn, run, grace_s=state.settings.delete_grace_s)
    state.wakeups.boot.clear(("plugin", *plugin.key))
    if not any(_belongs(run, plugin) for run in state.runs.values()):
        state.plugins.pop(plugin.key, None)
    for ended in [run for run in state.runs.values() if _belongs(run, plugin) and run.pod_gone]:
        forget(turn, ended)


def _belongs(run: Run, plugin: PluginState) -> bool:
    return run.plugin_key == plugin.key
