"""The routes beside jobs and nodes: ping, health, numbers, the OpenAPI document."""

from __future__ import annotations

import sqlalchemy as sa
from aiohttp import web

from edgesched import __version__
from edgesched.cloud import jobs
from edgesched.cloud.answers import answer, json_text
from edgesched.cloud.lifecycle import JobState
from edgesched.cloud.parts import Parts

COUNTED: dict[str, str] = {
    JobState.RUNNING: "running",
    JobState.COMPLETED: "completed",
    JobState.REMOVED: "completed",
}
"""How the reference sums states up; every other state counts as submitted."""


class PlainApi:
    """Handlers of the plain routes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.openapi: dict[str, object] = {}

    async def ping(self, request: web.Request) -> web.Response:
        """`/`: who answers here."""
        del request
        text = json_text({"id": f"Cloud Scheduler ({self._parts.config.name})", "version": __version__})
        return web.Response(body=text.encode(), headers={"Content-Type": "application/json"})

    async def health(self, request: web.Request) -> web.Response:
        """`/healthz`: the process lives."""
        del request
        return answer({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """`/readyz`: the database answers and takes changes."""
        del request
        await self._parts.store.write(lambda connection: connection.execute(sa.text("SELECT 1")).close())
        return answer({"status": "ok"})

    async def metrics(self, request: web.Request) -> web.Response:
        """`/metrics`: numbers for Prometheus, the reference's names first."""
        del request
        states = await self._parts.store.read(jobs.count_states)
        sums = dict.fromkeys(("submitted", "running", "completed"), 0)
        for state, count in states.items():
            sums[COUNTED.get(state, "submitted")] += count
        lines = [
            "# HELP scheduler_jobs_total Jobs in the database.",
            "# TYPE scheduler_jobs_total gauge",
            f"scheduler_jobs_total {sum(states.values())}",
            "# HELP scheduler_jobs_count Jobs by status.",
            "# TYPE scheduler_jobs_count gauge",
            *(f'scheduler_jobs_count{{status="{name}"}} {count}' for name, count in sums.items()),
            "# HELP edgesched_cloud_goal_streams Open goal streams.",
            "# TYPE edgesched_cloud_goal_streams gauge",
            f"edgesched_cloud_goal_streams {len(self._parts.streams)}",
            "# HELP edgesched_cloud_goals_in_force Jobs whose goal is in force.",
            "# TYPE edgesched_cloud_goals_in_force gauge",
            f"edgesched_cloud_goals_in_force {len(self._parts.board)}",
        ]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain", charset="utf-8")

    async def document(self, request: web.Request) -> web.Response:
        """`openapi.json`: what this API offers."""
        del request
        return answer(self.openapi)
