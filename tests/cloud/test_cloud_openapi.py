"""The OpenAPI document against the routes, and the API against the document under random requests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from edgesched.adapters.clock import SystemClock
from edgesched.cloud.app import make_app, open_parts
from edgesched.cloud.config import CloudConfig
from tests.cloud.api import Cloud, job_text

ENDLESS = ("/jobs/live", "/jobs/{id}/live", "/api/v1/goals/{node}/stream")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_the_document_has_the_routes_of_the_router(tmp_path: Path) -> None:
    """Neither has one that the other lacks."""

    async def compare() -> None:
        parts = await open_parts(CloudConfig(data_dir=tmp_path), SystemClock())
        app = make_app(parts)
        served = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
        document = next(route.handler for route in app.router.routes() if "openapi" in str(route.resource))
        paths = document.__self__.openapi["paths"]
        written = {(method.upper(), path) for path, methods in paths.items() for method in methods}
        assert served == written
        await parts.store.close()

    asyncio.run(compare())


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
@pytest.mark.parametrize("who", ["user", "node"])
@pytest.mark.parametrize("examples", [6, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_random_requests_meet_what_the_document_says(
    cloud: Cloud, who: str, mode: GenerationMode, examples: int
) -> None:
    """No 500, no undocumented status or content type, no answer off its schema."""
    user = cloud.user("theone", "W023")
    user.submitted(job_text("one"))
    user.create(job_text("two"))
    token = user.token if who == "user" else cloud.node("W023").token
    schema = schemathesis.openapi.from_url(f"{cloud.url}/api/v1/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    tried = [operation for operation in operations if operation.path not in ENDLESS]
    assert len(tried) >= 20
    assert sum(_try(operation, mode, token, examples) for operation in tried) >= 8
    assert not any("Traceback" in line for line in cloud.lines)


def _try(operation: schemathesis.APIOperation, mode: GenerationMode, token: str, examples: int) -> bool:
    """Send random requests to an operation; False when no request to it can be wrong."""

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def one_operation(case: schemathesis.Case) -> None:
        case.call_and_validate(headers={"Authorization": f"Sage {token}"}, checks=CHECKS)

    try:
        one_operation()
    except Unsatisfiable:
        return False
    return True
