"""The routes of jobs: create, edit, submit, list, status, remove, template.

Requests and answers are those of the reference (docs/cloud-api.md lists what differs). Changes are refused to anybody
but the owner and, with `override=true`, superusers; what is private in a job is shown to the same.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import yaml
from aiohttp import web
from sqlalchemy import Connection

from edgesched.cloud import jobs
from edgesched.cloud.answers import ApiError, answer, message
from edgesched.cloud.jobs import JobRecord, Submission, job_answer, parse_job_id
from edgesched.cloud.lifecycle import IN_FORCE
from edgesched.cloud.parts import LARGEST_JOB, Parts, flag, go_bool, read_body
from edgesched.cloud.tokens import Identity
from edgesched.cloud.validate import Reading, draft_findings, finding_json, read_job, refuse_errors
from edgesched.core.findings import Finding
from edgesched.core.model import Job

REVISE = "validation failed. Please revise the job and try again."


class JobsApi:
    """Handlers of the job routes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store

    async def create_by_name(self, request: web.Request) -> web.Response:
        """`GET create?name=`: an empty job, to be edited."""
        user = await self._parts.auth.require_user(request)
        name = request.query.get("name")
        if name is None:
            raise ApiError(400, "name field is required")
        return await self._create(user, Job(_clean(name)), json.dumps({"name": name}), [])

    async def create(self, request: web.Request) -> web.Response:
        """`POST create`: store an uploaded job."""
        user = await self._parts.auth.require_user(request)
        source, reading = await _upload(request)
        warnings = refuse_errors(await self._draft_findings(reading, user), job_name=reading.job.name)
        return await self._create(user, reading.job, source, warnings)

    async def _create(self, user: Identity, job: Job, source: str, warnings: list[Finding]) -> web.Response:
        now_ns = self._parts.now_ns()
        job_id = await self._store.write(
            lambda connection: jobs.create(connection, user.subject, job, source, now_ns), self._parts.watchers.changed
        )
        return _done(warnings, job_id=str(job_id), job_name=job.name, state="Created")

    async def edit(self, request: web.Request) -> web.Response:
        """`POST edit?id=`: replace a job; its nodes give it up until it is submitted again."""
        user = await self._parts.auth.require_user(request)
        job_id = _queried_id(request)
        record = await self._owned(job_id, user, override=flag(request, "override"))
        return await self._edit(request, record, user)

    async def _edit(self, request: web.Request, record: JobRecord, user: Identity) -> web.Response:
        source, reading = await _upload(request)
        warnings = refuse_errors(await self._draft_findings(reading, user), job_id=str(record.id))
        now_ns = self._parts.now_ns()
        await self._store.write(
            lambda connection: jobs.edit(connection, record.id, reading.job, source, now_ns),
            lambda _: self._parts.out_of_force(record.id),
        )
        return _done(warnings, job_id=str(record.id), state="Drafted")

    async def replace(self, request: web.Request) -> web.Response:
        """`PUT jobs/{id}`: replace a job where it stands; the nodes of one in force go over to the new text.

        What is the same in both texts goes on: an edit followed by a submit would end it.
        """
        user = await self._parts.auth.require_user(request)
        job_id = parse_job_id(request.match_info["id"])
        record = await self._owned(job_id, user, override=flag(request, "override"))
        if record.standing.state not in IN_FORCE:
            return await self._edit(request, record, user)
        source, reading = await _upload(request)
        submission, warnings = await self._validate(reading, user, job_id=str(record.id))
        now_ns = self._parts.now_ns()
        await self._store.write(
            lambda connection: jobs.replace_in_force(
                connection, record.id, record.revision, submission, source, now_ns
            ),
            lambda goal: self._parts.in_force(record.id, goal),
        )
        return _done(warnings, job_id=str(record.id), state="Submitted")

    async def submit_stored(self, request: web.Request) -> web.Response:
        """`GET submit?id=`: bring a stored job in force."""
        user = await self._parts.auth.require_user(request)
        job_id = _queried_id(request)
        dry_run = go_bool(request, "dryrun")
        record = await self._owned(job_id, user, override=flag(request, "override"))
        reading = read_job(record.source)
        submission, warnings = await self._validate(reading, user)
        if dry_run:
            return _done(warnings, job_id=str(record.id), dryrun=True)
        now_ns = self._parts.now_ns()
        await self._store.write(
            lambda connection: jobs.submit(connection, record.id, record.revision, submission, now_ns),
            lambda goal: self._parts.in_force(record.id, goal),
        )
        return _done(warnings, job_id=str(record.id), state="Submitted")

    async def submit(self, request: web.Request) -> web.Response:
        """`POST submit`: store an uploaded job and bring it in force."""
        user = await self._parts.auth.require_user(request)
        dry_run = go_bool(request, "dryrun")
        source, reading = await _upload(request)
        name = reading.job.name
        submission, warnings = await self._validate(reading, user, job_name=name, message=REVISE)
        if dry_run:
            return _done(warnings, job_name=name, dryrun=True)
        now_ns = self._parts.now_ns()

        def store(connection: Connection) -> tuple[int, dict[str, Any]]:
            job_id = jobs.create(connection, user.subject, reading.job, source, now_ns)
            return job_id, jobs.submit(connection, job_id, 1, submission, now_ns)

        job_id, _ = await self._store.write(store, lambda done: self._parts.in_force(*done))
        return _done(warnings, job_id=str(job_id), job_name=name, state="Submitted")

    async def list_jobs(self, request: web.Request) -> web.Response:
        """`GET jobs/list`: one's own jobs with a token, everybody's public part without."""
        who = await self._parts.auth.identify(request)
        own = who is not None and who.kind == "user"
        owner = who.subject if who is not None and own else None

        def read(connection: Connection) -> dict[str, Any]:
            return {
                str(record.id): job_answer(record, private=own)
                for record in sorted(jobs.load_all(connection, owner), key=lambda record: str(record.id))
            }

        return answer(await self._store.read(read))

    async def status(self, request: web.Request) -> web.Response:
        """`GET jobs/{id}/status`: a job."""
        record, private = await self._shown(request)
        return answer(job_answer(record, private=private))

    async def template(self, request: web.Request) -> web.Response:
        """`GET jobs/{id}/template`: a job as YAML, to make another of it."""
        record, private = await self._shown(request)
        text = yaml.safe_dump(
            _template(job_answer(record, private=private)), sort_keys=False, allow_unicode=True, width=10_000
        )
        return web.Response(
            text=text, content_type="application/yaml", charset="utf-8", headers={"Access-Control-Allow-Origin": "*"}
        )

    async def remove(self, request: web.Request) -> web.Response:
        """`GET jobs/{id}/rm`: remove a job, or suspend it."""
        user = await self._parts.auth.require_user(request)
        record = await self._load(parse_job_id(request.match_info["id"]))
        if record.owner != user.subject:
            if flag(request, "override"):
                _check_override(user)
            else:
                raise ApiError(403, f'user "{user.subject}" is not the owner of job "{record.id}"')
        now_ns = self._parts.now_ns()
        if flag(request, "suspend"):
            await self._store.write(
                lambda connection: jobs.suspend(connection, record.id, now_ns),
                lambda _: self._parts.out_of_force(record.id),
            )
            return _done([], job_id=str(record.id), state="Suspended")
        force = flag(request, "force")
        await self._store.write(
            lambda connection: jobs.remove(connection, record.id, now_ns, force=force),
            lambda _: self._parts.out_of_force(record.id),
        )
        return _done([], job_id=str(record.id), state="Removed")

    # -- shared -------------------------------------------------------------------------------------------------------

    async def _draft_findings(self, reading: Reading, user: Identity) -> list[Finding]:
        """Return the faults of a job that is only stored: the world's are warnings."""
        world = await self._parts.world.findings(reading, user)
        warnings = [Finding("warning", found.code, *_rest(found)) for found in world]
        return draft_findings(reading) + warnings

    async def _validate(self, reading: Reading, user: Identity, **extra: Any) -> tuple[Submission, list[Finding]]:
        """Check everything that a submit needs. Raises ApiError 400 with all errors."""
        findings = [*reading.findings, *await self._parts.world.findings(reading, user)]
        warnings = refuse_errors(findings, **extra)
        nodes = self._parts.world.nodes_of(reading.job)
        return Submission(reading.job, nodes, str(uuid.uuid4())), warnings

    async def _load(self, job_id: int) -> JobRecord:
        return await self._store.read(lambda connection: jobs.load(connection, job_id))

    async def _owned(self, job_id: int, user: Identity, *, override: bool) -> JobRecord:
        """Return a job that the user may change. Raises ApiError 404, 403."""
        record = await self._load(job_id)
        if record.owner == user.subject:
            return record
        if not override:
            raise ApiError(403, f"User {user.subject} does not have access to the job")
        _check_override(user)
        return record

    async def _shown(self, request: web.Request) -> tuple[JobRecord, bool]:
        """Return the job of the path, and whether its private parts may be shown."""
        who = await self._parts.auth.identify(request)
        record = await self._load(parse_job_id(request.match_info["id"]))
        return record, who is not None and may_see_private(who, record.owner)


def may_see_private(who: Identity, owner: str) -> bool:
    """Say whether somebody may see the private parts of a job of `owner`."""
    return who.kind == "user" and (who.superuser or who.subject == owner)


def _check_override(user: Identity) -> None:
    if not user.superuser:
        raise ApiError(403, f"User {user.subject} does not have permission to override to the job")


def _queried_id(request: web.Request) -> int:
    text = request.query.get("id", "")
    if not text:
        raise ApiError(400, "job_id is required", hint="write ?id=JOB_ID")
    return parse_job_id(text)


async def _upload(request: web.Request) -> tuple[str, Reading]:
    source = await read_body(request, LARGEST_JOB)
    if not source.strip():
        raise ApiError(400, "the body is empty", hint="send the job as YAML or JSON")
    return source, read_job(source)


def _done(warnings: list[Finding], **fields: Any) -> web.Response:
    if warnings:
        fields["warnings"] = [finding_json(found) for found in warnings]
    return message(fields)


def _rest(found: Finding) -> tuple[str, str, int, int]:
    return found.message, found.hint, found.line, found.column


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _template(document: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a job that another job can be made of, keys as people write them."""
    plugins = [
        {"name": plugin["name"], "pluginSpec": plugin["plugin_spec"]} for plugin in document.get("plugins") or []
    ]
    nodes = document["nodes"] or {}
    return {
        "name": document["name"],
        "plugins": plugins,
        "nodeTags": document["node_tags"] or [],
        "nodes": {node: None for node, by_tag in nodes.items() if by_tag is None},
        "scienceRules": document["science_rules"] or [],
        "successCriteria": document["success_criteria"] or [],
    }
