"""The table of routes: one row a route, with what the OpenAPI document says of it.

The router is filled from this table and the document is made of it, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from edgesched.cloud.answers import Handler
from edgesched.cloud.api_jobs import JobsApi
from edgesched.cloud.api_nodes import NodesApi
from edgesched.cloud.api_plain import PlainApi
from edgesched.cloud.pages import Pages
from edgesched.cloud.query import QueryApi

Access = Literal["nobody", "anybody", "user", "node"]
"""Whose token a route wants: none, any or none, a user's, a node's."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter. `schema`: JSON schema of its value."""

    name: str
    about: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A route. `answer`: name of the schema of its JSON answer, or a content type; `body`: the same of its body."""

    method: str
    path: str
    handler: Handler
    about: str
    access: Access = "nobody"
    answer: str = "Message"
    body: str = ""
    parameters: tuple[Parameter, ...] = ()
    refusals: tuple[int, ...] = ()


FLAG: Final = {"type": "string", "enum": ["true", "false"]}
GO_BOOL: Final = {
    "type": "string",
    "enum": ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"],
}
OVERRIDE: Final = Parameter("override", "act on another user's job, for superusers", FLAG)
DRY_RUN: Final = Parameter("dryrun", "check only, change nothing", GO_BOOL)
API: Final = "/api/v1"


def all_routes(jobs: JobsApi, nodes: NodesApi, query: QueryApi, plain: PlainApi, pages: Pages) -> tuple[Route, ...]:
    """Return the table."""
    name = Parameter("name", "name of the job, may be empty", required=True)
    job_id = Parameter("id", "id of the job", required=True)
    suspend = Parameter("suspend", "suspend the job instead of removing it", FLAG)
    force = Parameter("force", "remove the job although it is running", FLAG)
    return (
        Route("GET", "/", plain.ping, "who answers here"),
        Route("POST", "/", plain.ping, "who answers here"),
        Route("GET", "/healthz", plain.health, "whether the process lives"),
        Route("GET", "/readyz", plain.ready, "whether the database answers", refusals=(503,)),
        Route("GET", "/metrics", plain.metrics, "numbers for Prometheus", answer="text/plain"),
        Route("GET", "/jobs", pages.job_list, "page with all jobs", answer="text/html"),
        Route("GET", "/jobs/live", pages.live_list, "changes of the list of jobs", answer="text/event-stream"),
        Route("GET", "/jobs/{id}", pages.job, "page of a job", answer="text/html", refusals=(404,)),
        Route(
            "GET", "/jobs/{id}/live", pages.live_job, "changes of a job", answer="text/event-stream", refusals=(404,)
        ),
        Route("GET", "/static/style.css", pages.static, "style of the pages", answer="text/css"),
        Route("GET", "/static/live.js", pages.static, "script of the pages", answer="text/javascript"),
        Route("GET", "/static/icon.svg", pages.static, "icon of the pages", answer="image/svg+xml"),
        Route("GET", f"{API}/openapi.json", plain.document, "this document", answer="Any"),
        Route(
            "GET", f"{API}/create", jobs.create_by_name, "make an empty job", "user",
            parameters=(name,), refusals=(400,),
        ),
        Route("POST", f"{API}/create", jobs.create, "store a job", "user", body="Job", refusals=(400, 408, 413)),
        Route(
            "POST", f"{API}/edit", jobs.edit, "replace a job", "user", body="Job",
            parameters=(job_id, OVERRIDE), refusals=(400, 404, 408, 409, 413),
        ),
        Route(
            "GET", f"{API}/submit", jobs.submit_stored, "bring a stored job in force", "user",
            parameters=(job_id, DRY_RUN, OVERRIDE), refusals=(400, 404, 409),
        ),
        Route(
            "POST", f"{API}/submit", jobs.submit, "store a job and bring it in force", "user", body="Job",
            parameters=(DRY_RUN,), refusals=(400, 408, 413),
        ),
        Route("GET", f"{API}/jobs/list", jobs.list_jobs, "jobs by id: one's own, or all", "anybody", answer="Jobs"),
        Route(
            "PUT", f"{API}/jobs/{{id}}", jobs.replace, "replace a job; one in force goes on", "user", body="Job",
            parameters=(OVERRIDE,), refusals=(400, 404, 408, 409, 413),
        ),
        Route(
            "GET", f"{API}/jobs/{{id}}/status", jobs.status, "a job", "anybody", answer="JobStatus", refusals=(404,)
        ),
        Route(
            "GET", f"{API}/jobs/{{id}}/template", jobs.template, "a job to make another of", "anybody",
            answer="application/yaml", refusals=(404,),
        ),
        Route(
            "GET", f"{API}/jobs/{{id}}/runs", nodes.runs, "nodes and last runs of a job", "anybody",
            answer="Runs", refusals=(404,),
        ),
        Route(
            "GET", f"{API}/jobs/{{id}}/rm", jobs.remove, "remove or suspend a job", "user",
            parameters=(suspend, force, OVERRIDE), refusals=(404, 409),
        ),
        Route(
            "GET", f"{API}/goals/{{node}}", nodes.goals, "goals of a node", "node", answer="Goals", refusals=(404,)
        ),
        Route(
            "GET", f"{API}/goals/{{node}}/stream", nodes.stream, "goals of a node, now and after each change", "node",
            answer="text/event-stream", refusals=(404, 503),
        ),
        Route("GET", f"{API}/nodes", nodes.list_nodes, "known nodes", "anybody", answer="Nodes"),
        Route(
            "POST", f"{API}/nodes/{{vsn}}/events", nodes.take_events, "messages of a node", "node",
            answer="Taken", body="Messages", refusals=(400, 404, 408, 413),
        ),
        Route("GET", f"{API}/token", nodes.whose_token, "what the caller's token may do", "user", answer="Token"),
        Route(
            "POST", f"{API}/query", query.query, "records of measurements, one JSON object a line",
            answer="application/x-ndjson", body="Query", refusals=(400, 408, 413),
        ),
    )  # fmt: skip
