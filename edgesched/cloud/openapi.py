"""The OpenAPI document, made of the table of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from edgesched import __version__
from edgesched.cloud.routes import Route

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": ["array", "null"], "items": _TEXT}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_GOAL: Final = {
    "type": "object",
    "required": ["id", "job_id"],
    "properties": {
        "id": _TEXT,
        "job_id": _TEXT,
        "name": _TEXT,
        "sub_goals": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "conditions": {"type": "array", "items": _TEXT},
    },
}
_STATES: Final = ["Created", "Drafted", "Submitted", "Running", "Completed", "Suspended", "Removed"]
_STATUS: Final = {
    "type": "object",
    "required": ["name", "job_id", "user", "state"],
    "properties": {
        "name": _TEXT,
        "job_id": _TEXT,
        "user": _TEXT,
        "email": _TEXT,
        "notification_on": {"type": "array", "items": _TEXT},
        "plugins": {"type": "array", "items": {"type": "object", "required": ["name", "plugin_spec"]}},
        "node_tags": _TEXTS,
        "nodes": {"type": ["object", "null"]},
        "science_rules": _TEXTS,
        "success_criteria": _TEXTS,
        "science_goal": _GOAL,
        "state": {
            "type": "object",
            "required": ["last_state", "last_updated", "last_submitted", "last_started", "last_completed"],
            "properties": {
                "last_state": {"type": "string", "enum": _STATES},
                "last_updated": _TIME,
                "last_submitted": _TIME,
                "last_started": _TIME,
                "last_completed": _TIME,
            },
        },
    },
}
_FINDING: Final = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": _TEXT,
        "message": _TEXT,
        "hint": _TEXT,
        "line": {"type": "integer", "minimum": 1},
        "column": {"type": "integer", "minimum": 1},
    },
}
_MESSAGE: Final = {
    "type": "object",
    "required": ["name", "ts", "val"],
    "properties": {
        "id": {"type": "string", "maxLength": 256},
        "name": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"},
        "ts": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "val": {},
        "meta": {"type": "object", "additionalProperties": _TEXT},
        "scope": {"type": "string", "enum": ["all", "node", "beehive"]},
    },
}
SCHEMAS: Final[dict[str, Any]] = {
    "Any": {"type": "object"},
    "Message": {"type": "object"},
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": _TEXT,
            "hint": _TEXT,
            "errors": {"type": "array", "items": _FINDING},
            "warnings": {"type": "array", "items": _FINDING},
        },
    },
    "Job": {
        "type": "object",
        "description": "A job; keys in camelCase, snake_case or lower case.",
        "required": ["name"],
        "properties": {
            "name": _TEXT,
            "plugins": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "pluginSpec"],
                    "properties": {
                        "name": _TEXT,
                        "pluginSpec": {"type": "object", "required": ["image"], "properties": {"image": _TEXT}},
                    },
                },
            },
            "nodes": {"type": "object"},
            "nodeTags": {"type": "array", "items": _TEXT},
            "scienceRules": {"type": "array", "items": _TEXT},
            "successCriteria": {"type": "array", "items": _TEXT},
        },
    },
    "JobStatus": _STATUS,
    "Jobs": {"type": "object", "additionalProperties": _STATUS},
    "Goals": {"type": "array", "items": _GOAL},
    "Nodes": {"type": "array", "items": {"type": "object", "required": ["vsn"]}},
    "Runs": {"type": "object", "required": ["job_id", "nodes", "runs"]},
    "Messages": {"type": "array", "items": _MESSAGE},
    "Taken": {
        "type": "object",
        "required": ["received", "stored"],
        "properties": {"received": {"type": "integer"}, "stored": {"type": "integer"}},
    },
    "Token": {"type": "object", "required": ["kind", "nodes", "superuser"]},
    "Query": {
        "type": "object",
        "required": ["start"],
        "additionalProperties": False,
        "properties": {
            "start": {"type": "string", "examples": ["-1h"]},
            "end": _TEXT,
            "filter": {"type": "object", "additionalProperties": _TEXT},
            "head": {"type": "integer", "minimum": 1},
            "tail": {"type": "integer", "minimum": 1},
            "bucket": _TEXT,
            "experimental_func": {"type": "string", "enum": ["mean", "min", "max", "sum", "count"]},
            "experimental_window": {"type": "string", "examples": ["10m"]},
        },
    },
}
REASONS: Final = {
    400: "the request is wrong",
    401: "no token, or not a known one",
    403: "this token may not do that",
    404: "there is no such thing",
    408: "the body did not come in time",
    409: "the job's state does not allow it",
    413: "the body is too large",
    429: "too many failed tokens",
    503: "the database or another service is away",
}


def openapi_document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document of a table of routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgesched cloud scheduler", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "sage": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "Authorization: Sage TOKEN",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    refusals = set(route.refusals) | {503}
    if route.access != "nobody":
        refusals |= {401, 429}
    if route.access in ("user", "node"):
        refusals |= {403}
    operation: dict[str, Any] = {
        "summary": route.about,
        "responses": {
            "200": {"description": "done", "content": _content(route.answer)},
            **{
                str(status): {"description": REASONS[status], "content": _content("Error")}
                for status in sorted(refusals)
            },
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.about,
            "schema": dict(parameter.schema),
        }
        for parameter in route.parameters
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body:
        content = _content(route.body)
        if route.body == "Job":
            content["application/yaml"] = content["application/json"]
        operation["requestBody"] = {"required": True, "content": content}
    if route.access != "nobody":
        operation["security"] = [{"sage": []}] if route.access == "user" else [{"sage": []}, {}]
    return operation


def _content(kind: str) -> dict[str, Any]:
    if "/" in kind:
        return {kind: {}}
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind}"}}}
