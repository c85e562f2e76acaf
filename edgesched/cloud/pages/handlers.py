"""The routes of the pages."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any, Final

from aiohttp import web
from sqlalchemy import Connection, Row

from edgesched.cloud import jobs
from edgesched.cloud.answers import ApiError
from edgesched.cloud.api_nodes import node_rows, run_rows
from edgesched.cloud.jobs import JobRecord, parse_job_id
from edgesched.cloud.pages.render import job_page, list_page
from edgesched.cloud.parts import Parts
from edgesched.core.model import DAY_NS

SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
STATIC: Final = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
MOST_WATCHERS: Final = 1000
QUIET_S: Final = 20
PAUSE_S: Final = 1.0
TIMELINE_NS: Final = DAY_NS


class Pages:
    """Handlers of the page routes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        folder = files("edgesched.cloud.pages")
        self._static = {name: folder.joinpath(name).read_bytes() for name in STATIC}

    async def job_list(self, request: web.Request) -> web.Response:
        """`GET /jobs`: all jobs."""
        del request
        records = await self._parts.store.read(jobs.load_all)
        return _html(list_page(records, self._parts.now_ns()))

    async def job(self, request: web.Request) -> web.Response:
        """`GET /jobs/{id}`: a job."""
        job_id = parse_job_id(request.match_info["id"])
        now_ns = self._parts.now_ns()

        def read(connection: Connection) -> tuple[JobRecord, list[Row[Any]], list[Row[Any]]]:
            record = jobs.load(connection, job_id)
            return record, node_rows(connection, job_id), _last_day(run_rows(connection, job_id))

        record, nodes, runs = await self._parts.store.read(read)
        return _html(job_page(record, nodes, runs, now_ns))

    async def live_list(self, request: web.Request) -> web.StreamResponse:
        """`GET /jobs/live`: says when any job has changed."""
        return await self._live(request, 0)

    async def live_job(self, request: web.Request) -> web.StreamResponse:
        """`GET /jobs/{id}/live`: says when the job has changed."""
        job_id = parse_job_id(request.match_info["id"])
        await self._parts.store.read(lambda connection: jobs.load(connection, job_id))
        return await self._live(request, job_id)

    async def _live(self, request: web.Request, job_id: int) -> web.StreamResponse:
        watchers = self._parts.watchers
        if len(watchers) >= MOST_WATCHERS:
            raise ApiError(503, "too many open pages", retry_after_s=30)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        event = watchers.join(job_id)
        try:
            await response.prepare(request)
            await response.write(b": open\n\n")
            while not watchers.closed:
                try:
                    await asyncio.wait_for(event.wait(), QUIET_S)
                except TimeoutError:
                    await response.write(b": quiet\n\n")
                    continue
                event.clear()
                await response.write(b"event: changed\ndata: {}\n\n")
                await asyncio.sleep(PAUSE_S)
        except ConnectionError:
            pass  # the reader went away
        finally:
            watchers.leave(job_id, event)
        return response

    async def static(self, request: web.Request) -> web.Response:
        """`GET /static/...`: style, script and icon."""
        name = request.path.rpartition("/")[2]
        return web.Response(body=self._static[name], content_type=STATIC[name], charset="utf-8", headers=SECURITY)


def _last_day(runs: list[Row[Any]]) -> list[Row[Any]]:
    """Return the runs of the day before the newest one; `runs`: newest first."""
    return [run for run in runs if run.queued_ns >= runs[0].queued_ns - TIMELINE_NS]


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers=SECURITY)
