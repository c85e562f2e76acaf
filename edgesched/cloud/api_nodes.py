"""The routes of nodes: goal lists and streams, event intake, the list of nodes, the runs of a job.

A node's goals are for the node (its token), for superusers, and for everybody when the cloud is told so: reference
nodes send no token. Events are always the node's own: any other token is refused, and the `vsn` of every message is
set here.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web
from sqlalchemy import Connection, Row

from edgesched.cloud import events, jobs, schema
from edgesched.cloud.answers import ApiError, answer, message, time_text
from edgesched.cloud.events import Changes
from edgesched.cloud.jobs import parse_job_id
from edgesched.cloud.parts import Parts, read_json
from edgesched.cloud.records import Heard, Refused, read_message

LARGEST_BATCH: Final = 4 * 1024 * 1024
MOST_MESSAGES: Final = 5000
MOST_RUNS: Final = 500
LONGEST_VSN: Final = 64


class NodesApi:
    """Handlers of the node routes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store

    async def goals(self, request: web.Request) -> web.Response:
        """`GET goals/{node}`: the node's goals."""
        node = await self._goal_reader(request)
        return answer(self._parts.board.goals(node))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """`GET goals/{node}/stream`: the node's goals now and after every change."""
        node = await self._goal_reader(request)
        return await self._parts.streams.serve(request, node)

    async def _goal_reader(self, request: web.Request) -> str:
        node = _vsn(request, "node")
        who = await self._parts.auth.identify(request)
        if self._parts.config.goals_are_open:
            return node
        if who is None:
            raise ApiError(401, "No token found", hint="nodes send their token; --open-goals serves nodes without")
        if not who.is_node(node) and not who.superuser:
            raise ApiError(403, f"this token is not the token of node {node}")
        return node

    async def take_events(self, request: web.Request) -> web.Response:
        """`POST nodes/{vsn}/events`: a batch of messages; a repeated one adds nothing."""
        vsn = _vsn(request, "vsn")
        who = await self._parts.auth.require(request)
        if not who.is_node(vsn):
            raise ApiError(403, f"this token is not the token of node {vsn}")
        batch = await read_json(request, LARGEST_BATCH)
        if not isinstance(batch, list):
            raise ApiError(400, "the body is no list of messages", hint='[{"id", "name", "ts", "val", "meta"}, ...]')
        if len(batch) > MOST_MESSAGES:
            raise ApiError(413, f"the batch has more than {MOST_MESSAGES} messages")
        found = [read_message(item, who.subject, index) for index, item in enumerate(batch)]
        changes = await take_messages(self._parts, who.subject, [item for item in found if isinstance(item, Heard)])
        refused = [item for item in found if isinstance(item, Refused)]
        fields: dict[str, Any] = {"received": len(batch), "stored": changes.stored}
        if refused:
            fields["refused"] = [{"index": item.index, "reason": item.reason} for item in refused[:100]]
        return message(fields)

    async def list_nodes(self, request: web.Request) -> web.Response:
        """`GET nodes`: the nodes of the catalogue and those that reported, by VSN."""
        who = await self._parts.auth.identify(request)
        heard = await self._store.read(_nodes_heard)
        names = {node.vsn.lower(): node.vsn for node in self._parts.catalogue.nodes.values()}
        for vsn in heard:
            names.setdefault(vsn.lower(), vsn)
        by_name = {vsn.lower(): ts_ns for vsn, ts_ns in heard.items()}
        rows = []
        for key, vsn in sorted(names.items()):
            manifest = self._parts.catalogue.node(key)
            row: dict[str, Any] = {"vsn": vsn}
            if manifest is not None:
                row["tags"] = list(manifest.tags)
                row["architectures"] = list(manifest.architectures)
                row["sensors"] = list(manifest.sensors)
            row["last_heard"] = time_text(by_name.get(key))
            row["streams"] = self._parts.streams.connected(key)
            row["goals"] = len(self._parts.board.goals(key))
            if who is not None and who.kind == "user":
                row["may_schedule"] = who.may_schedule(key)
            rows.append(row)
        return answer(rows)

    async def runs(self, request: web.Request) -> web.Response:
        """`GET jobs/{id}/runs`: how a job goes on each node, and its last runs, newest first."""
        await self._parts.auth.identify(request)
        job_id = parse_job_id(request.match_info["id"])
        return answer(await self._store.read(lambda connection: runs_answer(connection, job_id)))

    async def whose_token(self, request: web.Request) -> web.Response:
        """`GET token`: what the caller's token may do."""
        who = await self._parts.auth.require(request)
        fields: dict[str, Any] = {"kind": who.kind, "nodes": sorted(who.nodes), "superuser": who.superuser}
        fields["vsn" if who.kind == "node" else "user"] = who.subject
        return message(fields)


async def take_messages(parts: Parts, vsn: str, messages: list[Heard]) -> Changes:
    """Store the messages of a node and let everything that depends on them follow."""
    now_ns = parts.now_ns()

    def applied(changes: Changes) -> None:
        for job_id in changes.ended:
            parts.out_of_force(job_id)
        for job_id in changes.jobs:
            parts.watchers.changed(job_id)

    return await parts.store.write(lambda connection: events.ingest(connection, vsn, messages, now_ns), applied)


def runs_answer(connection: Connection, job_id: int) -> dict[str, Any]:
    """Return the nodes and the last runs of a job as JSON values. Raises ApiError 404."""
    record = jobs.load(connection, job_id)
    return {
        "job_id": str(job_id),
        "job_name": record.name,
        "state": record.standing.state.value,
        "nodes": [
            {
                "vsn": row.vsn,
                "state": row.state,
                "received": time_text(row.received_ns),
                "completed": time_text(row.completed_ns),
            }
            for row in node_rows(connection, job_id)
        ],
        "runs": [run_answer(row) for row in run_rows(connection, job_id)],
    }


def node_rows(connection: Connection, job_id: int) -> list[Row[Any]]:
    """Return the rows of a job's nodes, by VSN."""
    table = schema.job_nodes
    return list(connection.execute(sa.select(table).where(table.c.job_id == job_id).order_by(table.c.vsn)))


def run_rows(connection: Connection, job_id: int) -> list[Row[Any]]:
    """Return the rows of a job's last runs, newest first."""
    table = schema.runs
    query = sa.select(table).where(table.c.job_id == job_id)
    return list(connection.execute(query.order_by(table.c.queued_ns.desc(), table.c.id.desc()).limit(MOST_RUNS)))


def run_answer(row: Row[Any]) -> dict[str, Any]:
    """Return a run as JSON values; what is empty is left out."""
    fields: dict[str, Any] = {
        "vsn": row.vsn,
        "plugin": row.plugin,
        "run": row.instance,
        "state": row.state,
        "reason": row.reason,
        "pod": row.pod,
        "queued": time_text(row.queued_ns),
        "started": time_text(row.started_ns),
        "ended": time_text(row.ended_ns),
        "exit_code": row.exit_code,
        "log": row.log,
    }
    return {key: value for key, value in fields.items() if value is not None and value != ""}


def _nodes_heard(connection: Connection) -> dict[str, int]:
    return {row.vsn: row.heard_ns for row in connection.execute(sa.select(schema.nodes))}


def _vsn(request: web.Request, name: str) -> str:
    vsn = request.match_info[name]
    if len(vsn) > LONGEST_VSN or not vsn.isprintable():
        raise ApiError(404, "no such node")
    return vsn
