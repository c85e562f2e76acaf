"""Jobs in the database: rows, and the changes that requests and reports make. All functions are units of work.

A change reads the row, asks `lifecycle` whether it may be, and writes the row. A submit was validated outside the
transaction (it may have to ask a registry), so it names the revision of the text that it validated and is refused when
an edit came between.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from edgesched.cloud import lifecycle, schema
from edgesched.cloud.answers import ApiError, time_text
from edgesched.cloud.board import GoalDocument
from edgesched.cloud.lifecycle import JobState, Standing
from edgesched.core.jobs import WallClock, goal_to_dict, job_to_goal, parse_criterion, plugin_to_dict
from edgesched.core.model import DAY_NS, NS_PER_S, Job

PRIVATE_JOB_KEYS: Final = ("email", "notification_on")
PRIVATE_SPEC_KEYS: Final = ("env", "args")
OVERTIME_NS: Final = DAY_NS
"""How long after its WallClock a job may stay without the reports of its nodes."""

# made once: SQLAlchemy takes longer to build a statement than SQLite to run it
_SELECT_JOB: Final = sa.select(schema.jobs).where(schema.jobs.c.id == sa.bindparam("job_id"))
_INSERT_JOB: Final = schema.jobs.insert()
_UPDATE_JOB: Final = schema.jobs.update().where(schema.jobs.c.id == sa.bindparam("job_id"))
_INSERT_GOAL_ID: Final = schema.goal_ids.insert()
_INSERT_NODES: Final = schema.job_nodes.insert()
_DELETE_NODES: Final = schema.job_nodes.delete().where(schema.job_nodes.c.job_id == sa.bindparam("of_job"))


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as stored. `document` has the keys of the API's answers, without those that the server adds."""

    id: int
    owner: str
    name: str
    source: str
    document: dict[str, Any]
    standing: Standing
    goal_id: str | None
    goal: GoalDocument | None
    revision: int


@dataclass(frozen=True, slots=True)
class Submission:
    """A job found good: the nodes it goes to, and the job itself as read from the record's source."""

    job: Job
    nodes: tuple[str, ...]
    goal_id: str


def parse_job_id(text: str) -> int:
    """Read a job id of the wire. Raises ApiError 404: what is no number is no job."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise unknown_job(text)


def unknown_job(text: str) -> ApiError:
    """The error for a job that does not exist."""
    return ApiError(404, f'Job ID "{text[:40]}" does not exist')


def job_document(job: Job) -> dict[str, Any]:
    """Return the part of the API's job object that comes from the job itself, keys in the wire's order."""
    document: dict[str, Any] = {"name": job.name}
    if job.email:
        document["email"] = job.email
    if job.notification_on:
        document["notification_on"] = list(job.notification_on)
    if job.plugins:
        document["plugins"] = [plugin_to_dict(plugin) for plugin in job.plugins]
    document["node_tags"] = list(job.node_tags) or None
    document["nodes"] = dict.fromkeys(job.nodes) or None
    document["science_rules"] = list(job.science_rules) or None
    document["success_criteria"] = list(job.success_criteria) or None
    return document


def job_answer(record: JobRecord, *, private: bool) -> dict[str, Any]:
    """Return the API's job object; without `private` e-mail, notification, env and args are left out."""
    document = record.document
    answer: dict[str, Any] = {"name": document["name"], "job_id": str(record.id), "user": record.owner}
    for key, value in document.items():
        if key == "plugins":
            answer[key] = [_plugin_answer(plugin, record.goal_id, private=private) for plugin in value]
        elif private or key not in PRIVATE_JOB_KEYS:
            answer[key] = value
    if record.goal is not None:
        answer["science_goal"] = record.goal if private else public_goal(record.goal)
    answer["state"] = {
        "last_state": record.standing.state.value,
        "last_updated": time_text(record.standing.updated_ns),
        "last_submitted": time_text(record.standing.submitted_ns),
        "last_started": time_text(record.standing.started_ns),
        "last_completed": time_text(record.standing.completed_ns),
    }
    return answer


def public_goal(goal: GoalDocument) -> GoalDocument:
    """Return a goal without the env and args of its plugins."""
    parts = [
        {**part, "plugins": [_plugin_answer(plugin, None, private=False) for plugin in part["plugins"] or []] or None}
        for part in goal.get("sub_goals", [])
    ]
    return {**goal, "sub_goals": parts} if parts else goal


def _plugin_answer(plugin: dict[str, Any], goal_id: str | None, *, private: bool) -> dict[str, Any]:
    answer = dict(plugin)
    spec = plugin.get("plugin_spec")
    if not private and spec is not None:
        answer["plugin_spec"] = {key: value for key, value in spec.items() if key not in PRIVATE_SPEC_KEYS}
    if goal_id is not None:
        answer["goal_id"] = goal_id
    return answer


# --- reading ---------------------------------------------------------------------------------------------------------


def load(connection: Connection, job_id: int) -> JobRecord:
    """Return a job. Raises ApiError 404."""
    row = connection.execute(_SELECT_JOB, {"job_id": job_id}).one_or_none()
    if row is None:
        raise unknown_job(str(job_id))
    return _record(row)


def load_all(connection: Connection, owner: str | None = None) -> list[JobRecord]:
    """Return all jobs, or those of one owner, in the order of their ids."""
    query = sa.select(schema.jobs).order_by(schema.jobs.c.id)
    if owner is not None:
        query = query.where(schema.jobs.c.owner == owner)
    return [_record(row) for row in connection.execute(query)]


def load_in_force(connection: Connection) -> list[tuple[int, GoalDocument]]:
    """Return the goals of submitted and running jobs, by job id."""
    query = sa.select(schema.jobs.c.id, schema.jobs.c.goal).where(
        schema.jobs.c.state.in_([state.value for state in lifecycle.IN_FORCE]), schema.jobs.c.goal.is_not(None)
    )
    return [(row.id, json.loads(row.goal)) for row in connection.execute(query)]


def count_states(connection: Connection) -> dict[str, int]:
    """Return how many jobs are in each state."""
    query = sa.select(schema.jobs.c.state, sa.func.count()).group_by(schema.jobs.c.state)
    return {state: count for state, count in connection.execute(query)}  # noqa: C416 - rows are not pairs to the types


def _record(row: Row[Any]) -> JobRecord:
    standing = Standing(JobState(row.state), row.updated_ns, row.submitted_ns, row.started_ns, row.completed_ns)
    goal = None if row.goal is None else json.loads(row.goal)
    document = json.loads(row.document)
    return JobRecord(row.id, row.owner, row.name, row.source, document, standing, row.goal_id, goal, row.revision)


# --- changing --------------------------------------------------------------------------------------------------------


def create(connection: Connection, owner: str, job: Job, source: str, now_ns: int) -> int:
    """Store a new job; return its id."""
    standing = lifecycle.created(now_ns)
    values = {
        "owner": owner,
        "name": job.name,
        "source": source,
        "document": json.dumps(job_document(job)),
        "limit_s": _limit_s(job),
        "revision": 1,
        **_columns(standing),
    }
    inserted = connection.execute(_INSERT_JOB, values).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def edit(connection: Connection, job_id: int, job: Job, source: str, now_ns: int) -> None:
    """Replace a job's text; its goal is out of force until the next submit."""
    record = load(connection, job_id)
    _update(
        connection,
        record,
        lifecycle.edited(record.standing, now_ns, job_id),
        revision=record.revision + 1,
        name=job.name,
        source=source,
        document=json.dumps(job_document(job)),
        limit_s=_limit_s(job),
        goal=None,
        goal_id=None,
    )
    _forget_nodes(connection, job_id)


def submit(connection: Connection, job_id: int, revision: int, submission: Submission, now_ns: int) -> GoalDocument:
    """Bring a validated job in force under a new goal id; return the goal. Raises ApiError 409 after an edit."""
    record = _at_revision(connection, job_id, revision)
    return _bring_in_force(connection, record, lifecycle.submitted(record.standing, now_ns, job_id), submission)


def replace_in_force(
    connection: Connection, job_id: int, revision: int, submission: Submission, source: str, now_ns: int
) -> GoalDocument:
    """Replace the text of a job in force and bring it in force again, in one step; return the goal.

    Its nodes never see a list without it. Raises ApiError 409 after an edit, and when it went out of force.
    """
    record = _at_revision(connection, job_id, revision)
    standing = lifecycle.replaced(record.standing, now_ns, job_id)
    if standing.state not in lifecycle.IN_FORCE:
        raise _changed_meanwhile(job_id)
    edit(connection, job_id, submission.job, source, now_ns)
    return _bring_in_force(connection, load(connection, job_id), standing, submission)


def _at_revision(connection: Connection, job_id: int, revision: int) -> JobRecord:
    record = load(connection, job_id)
    if record.revision != revision:
        raise _changed_meanwhile(job_id)
    return record


def _changed_meanwhile(job_id: int) -> ApiError:
    return ApiError(409, f'Job ID "{job_id}" was changed at the same time', hint="try again")


def _bring_in_force(
    connection: Connection, record: JobRecord, standing: Standing, submission: Submission
) -> GoalDocument:
    goal = goal_document(record.id, submission)
    document = dict(record.document)
    named = submission.job.nodes
    by_tag = [node for node in submission.nodes if node not in named]
    document["nodes"] = {**dict.fromkeys(named), **dict.fromkeys(by_tag, 1)} or None
    _update(
        connection, record, standing, goal=json.dumps(goal), goal_id=submission.goal_id, document=json.dumps(document)
    )
    connection.execute(_INSERT_GOAL_ID, {"goal_id": submission.goal_id, "job_id": record.id})
    _forget_nodes(connection, record.id)
    rows = [
        {"job_id": record.id, "vsn": node, "goal_id": submission.goal_id, "state": "waiting", "note": ""}
        for node in submission.nodes
    ]
    connection.execute(_INSERT_NODES, rows)
    return goal


def goal_document(job_id: int, submission: Submission) -> GoalDocument:
    """Return the goal of a submission as JSON values."""
    return goal_to_dict(
        job_to_goal(submission.job, job_id=str(job_id), goal_id=submission.goal_id, nodes=submission.nodes)
    )


def suspend(connection: Connection, job_id: int, now_ns: int) -> None:
    """Take a job from its nodes; it can be submitted again."""
    record = load(connection, job_id)
    _update(connection, record, lifecycle.suspended(record.standing, now_ns, job_id))


def remove(connection: Connection, job_id: int, now_ns: int, *, force: bool) -> None:
    """Remove a job for good; its record stays."""
    record = load(connection, job_id)
    _update(connection, record, lifecycle.removed(record.standing, now_ns, job_id, force=force))


def start(connection: Connection, record: JobRecord, now_ns: int) -> None:
    """Note that a node has the job's goal."""
    standing = lifecycle.received(record.standing, now_ns)
    if standing is not record.standing:
        _update(connection, record, standing)


def complete(connection: Connection, record: JobRecord, now_ns: int) -> bool:
    """End a job in force; False when it was not."""
    standing = lifecycle.completed(record.standing, now_ns)
    if standing is record.standing:
        return False
    _update(connection, record, standing)
    return True


def complete_overdue(connection: Connection, now_ns: int) -> list[int]:
    """End the running jobs whose WallClock was over a day ago; return their ids."""
    table = schema.jobs
    ends_ns = table.c.started_ns + table.c.limit_s * NS_PER_S + OVERTIME_NS
    due = sa.select(table.c.id).where(table.c.state == JobState.RUNNING.value, table.c.limit_s.is_not(None))
    ids = list(connection.scalars(due.where(ends_ns <= now_ns)))
    return [job_id for job_id in ids if complete(connection, load(connection, job_id), now_ns)]


def _update(connection: Connection, record: JobRecord, standing: Standing, **columns: Any) -> None:
    connection.execute(_UPDATE_JOB, {"job_id": record.id, **columns, **_columns(standing)})


def _columns(standing: Standing) -> dict[str, Any]:
    return {
        "state": standing.state.value,
        "updated_ns": standing.updated_ns,
        "submitted_ns": standing.submitted_ns,
        "started_ns": standing.started_ns,
        "completed_ns": standing.completed_ns,
    }


def _forget_nodes(connection: Connection, job_id: int) -> None:
    connection.execute(_DELETE_NODES, {"of_job": job_id})


def _limit_s(job: Job) -> int | None:
    """Return the shortest WallClock of a job's success criteria in seconds, rounded up."""
    criteria = [parse_criterion(text) for text in job.success_criteria]
    lengths = [criterion.length_ns for criterion in criteria if isinstance(criterion, WallClock)]
    return -(-min(lengths) // NS_PER_S) if lengths else None
