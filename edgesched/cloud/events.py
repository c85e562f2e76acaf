"""What nodes report: a batch of messages becomes records, runs, and the state of jobs. All functions are units of work.

A report counts only for a job whose present goal has the node: anybody can name a goal id, and an old goal's late
report must not move the job that replaced it. Runs go forward only, so a report that comes late fills in its time
but does not take a run back. A job runs when the first node has it and is completed when every node's criteria are met.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from edgesched.cloud import jobs, records, schema
from edgesched.cloud.jobs import JobRecord
from edgesched.cloud.records import Heard

PREFIX: Final = "sys.scheduler.status."
GOAL_ARRIVED: Final = frozenset({"goal.received", "goal.updated"})
GOAL_MET: Final = frozenset({"goal.completed", "goal.complete"})
RUN_STATES: Final = {
    "queued": "queued",
    "promoted": "queued",
    "selected": "selected",
    "scheduled": "scheduled",
    "launched": "scheduled",
    "initializing": "initializing",
    "running": "running",
    "complete": "completed",
    "completed": "completed",
    "failed": "failed",
    "missed": "missed",
}
"""Last word of a plugin event, and the state that it brings a run into."""

RANK: Final = {state: rank for rank, state in enumerate(dict.fromkeys(RUN_STATES.values()))}
ENDED: Final = frozenset({"completed", "failed", "missed"})
LONGEST_LOG: Final = 4096
LONGEST_REASON: Final = 512
LARGEST_ID: Final = 256


@dataclass(slots=True)
class Changes:
    """What a batch changed: jobs whose page looks different now, and jobs that are out of force."""

    jobs: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    stored: int = 0


def ingest(connection: Connection, vsn: str, messages: Sequence[Heard], now_ns: int) -> Changes:
    """Take a batch of a node: store what is new and let jobs and runs follow."""
    changes = Changes()
    _note_node(connection, vsn, now_ns)
    fresh = records.write(connection, messages)
    changes.stored = len(fresh)
    known: dict[str, JobRecord | None] = {}
    for message in fresh:
        if message.name.startswith(PREFIX):
            _follow(connection, vsn, message, now_ns, known, changes)
    return changes


def _note_node(connection: Connection, vsn: str, now_ns: int) -> None:
    table = schema.nodes
    changed = connection.execute(table.update().where(table.c.vsn == vsn).values(heard_ns=now_ns)).rowcount
    if not changed:
        connection.execute(table.insert().values(vsn=vsn, heard_ns=now_ns))


def _follow(
    connection: Connection,
    vsn: str,
    message: Heard,
    now_ns: int,
    known: dict[str, JobRecord | None],
    changes: Changes,
) -> None:
    fields = _fields(message.value)
    goal_id = fields.get("goal_id")
    if not isinstance(goal_id, str) or not goal_id or len(goal_id) > LARGEST_ID:
        return
    if goal_id not in known:
        known[goal_id] = _job_of_goal(connection, goal_id)
    record = known[goal_id]
    if record is None:
        return
    what = message.name.removeprefix(PREFIX)
    if what.startswith("goal."):
        if _follow_goal(connection, vsn, what, message.ts_ns, record, goal_id, now_ns, changes):
            known[goal_id] = jobs.load(connection, record.id)
    elif what.startswith("plugin."):
        _follow_run(connection, vsn, what, message.ts_ns, fields, record, goal_id, changes)


def _fields(value: Any) -> Mapping[str, Any]:
    """Return the fields of a scheduler event: an object as JSON text; anything else has none."""
    try:
        fields = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _job_of_goal(connection: Connection, goal_id: str) -> JobRecord | None:
    table = schema.goal_ids
    job_id = connection.scalar(sa.select(table.c.job_id).where(table.c.goal_id == goal_id))
    return None if job_id is None else jobs.load(connection, job_id)


# --- goals -----------------------------------------------------------------------------------------------------------


def _follow_goal(
    connection: Connection,
    vsn: str,
    what: str,
    ts_ns: int,
    record: JobRecord,
    goal_id: str,
    now_ns: int,
    changes: Changes,
) -> bool:
    """Note what a node says of a goal; True when the job's row changed."""
    met = what in GOAL_MET
    if record.goal_id != goal_id or not (met or what in GOAL_ARRIVED):
        return False
    if not _note_on_node(connection, record.id, vsn, ts_ns, met=met):
        return False
    changes.jobs.add(record.id)
    jobs.start(connection, record, now_ns)
    if met and _all_met(connection, record.id) and jobs.complete(connection, jobs.load(connection, record.id), now_ns):
        changes.ended.add(record.id)
    return True


def _note_on_node(connection: Connection, job_id: int, vsn: str, ts_ns: int, *, met: bool) -> bool:
    """Note on the node's row of the job that it has the goal or met it; False when the job is not for this node."""
    table = schema.job_nodes
    mine = sa.and_(table.c.job_id == job_id, sa.func.lower(table.c.vsn) == vsn.lower())
    row = connection.execute(sa.select(table).where(mine)).one_or_none()
    if row is None:
        return False
    values: dict[str, Any] = {"received_ns": row.received_ns or ts_ns}
    if met:
        values["completed_ns"] = row.completed_ns or ts_ns
    values["state"] = "completed" if met or row.completed_ns is not None else "received"
    connection.execute(table.update().where(mine).values(values))
    return True


def _all_met(connection: Connection, job_id: int) -> bool:
    table = schema.job_nodes
    open_nodes = sa.select(sa.func.count()).where(table.c.job_id == job_id, table.c.completed_ns.is_(None))
    return connection.scalar(open_nodes) == 0


# --- runs ------------------------------------------------------------------------------------------------------------


def _follow_run(
    connection: Connection,
    vsn: str,
    what: str,
    ts_ns: int,
    fields: Mapping[str, Any],
    record: JobRecord,
    goal_id: str,
    changes: Changes,
) -> None:
    state = RUN_STATES.get(what.removeprefix("plugin."))
    instance = _text(fields, "pluginruntime_pod_instance") or _text(fields, "k3s_pod_instance")
    plugin = _text(fields, "plugin_name")
    if state is None or not instance or not plugin or not _is_for(record, vsn, goal_id):
        return
    table = schema.runs
    mine = sa.and_(table.c.vsn == vsn, table.c.instance == instance)
    row = connection.execute(sa.select(table).where(mine)).one_or_none()
    if row is None:
        connection.execute(
            table.insert().values(
                vsn=vsn,
                instance=instance,
                job_id=record.id,
                goal_id=goal_id,
                plugin=plugin,
                queued_ns=ts_ns,
                **_run_columns(state, ts_ns, fields, None),
            )
        )
    elif row.job_id == record.id:
        values = _run_columns(state, ts_ns, fields, row)
        values["queued_ns"] = min(row.queued_ns, ts_ns)
        connection.execute(table.update().where(mine).values(values))
    changes.jobs.add(record.id)


def _run_columns(state: str, ts_ns: int, fields: Mapping[str, Any], row: sa.Row[Any] | None) -> dict[str, Any]:
    """Return the columns that an event changes in a run; `row`: what is known of the run."""
    columns: dict[str, Any] = {}
    if row is None or RANK[state] >= RANK[row.state]:
        columns["state"] = state
    if state == "running" and (row is None or row.started_ns is None):
        columns["started_ns"] = ts_ns
    if pod := _text(fields, "k3s_pod_name"):
        columns["pod"] = pod
    if state in ENDED and (row is None or row.ended_ns is None):
        columns["ended_ns"] = ts_ns
        columns["reason"] = _reason(fields) if state != "completed" else ""
        columns["log"] = _text(fields, "error_log", LONGEST_LOG)
        code = fields.get("return_code")
        columns["exit_code"] = code if type(code) is int and abs(code) < 2**31 else None
    return columns


def _reason(fields: Mapping[str, Any]) -> str:
    parts = [_text(fields, "reason", LONGEST_REASON), _text(fields, "message", LONGEST_REASON)]
    return ": ".join(dict.fromkeys(part for part in parts if part))


def _is_for(record: JobRecord, vsn: str, goal_id: str) -> bool:
    """Say whether the job has or had this node. A run of an older goal may still end."""
    if record.goal is None or record.goal_id != goal_id:
        return True
    return any(part["name"].lower() == vsn.lower() for part in record.goal.get("sub_goals", []))


def _text(fields: Mapping[str, Any], key: str, limit: int = LARGEST_ID) -> str:
    value = fields.get(key)
    return value.encode("utf-8", "replace").decode()[:limit] if isinstance(value, str) else ""
