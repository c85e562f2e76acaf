"""Wiring: parts from a configuration, routes onto an application, what runs beside requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from aiohttp import web

from edgesched.cloud import jobs, records
from edgesched.cloud.answers import errors
from edgesched.cloud.api_jobs import JobsApi
from edgesched.cloud.api_nodes import NodesApi
from edgesched.cloud.api_plain import PlainApi
from edgesched.cloud.auth import Authenticator
from edgesched.cloud.board import GoalBoard
from edgesched.cloud.catalogue import Catalogue, CatalogueSettings
from edgesched.cloud.config import CloudConfig
from edgesched.cloud.openapi import openapi_document
from edgesched.cloud.pages import Pages
from edgesched.cloud.parts import Parts
from edgesched.cloud.query import QueryApi
from edgesched.cloud.routes import all_routes
from edgesched.cloud.store import Store, open_engine
from edgesched.cloud.streams import StreamHub
from edgesched.cloud.validate import WorldCheck
from edgesched.core.model import DAY_NS
from edgesched.errors import ConfigError, TransientError
from edgesched.ports import Clock

log = logging.getLogger("edgesched.cloud")

SWEEP_S: Final = 30
PARTS: Final = web.AppKey("parts", Parts)


async def open_parts(config: CloudConfig, clock: Clock) -> Parts:
    """Open the database, load the goals in force and the catalogue. Raises ConfigError."""
    engine = open_engine(config.data_dir, config.database_url)
    store = Store(engine, asyncio.get_running_loop())
    board = GoalBoard()
    for job_id, goal in await store.read(jobs.load_in_force):
        board.put(job_id, goal)
    catalogue = Catalogue(
        CatalogueSettings(
            config.plugins,
            config.nodes,
            config.registry,
            read_whitelist(config.whitelist_file),
            config.data_dir / "catalogue",
        )
    )
    await catalogue.load()
    auth = Authenticator(
        store, server_url=config.auth_server_url, server_token=config.auth_token, forwarded=config.forwarded
    )
    streams = StreamHub(board, keepalive_s=config.keepalive_s)
    return Parts(config, clock, store, board, streams, auth, catalogue, WorldCheck(catalogue))


def make_app(parts: Parts) -> web.Application:
    """Return the application; its background tasks begin and end with it."""
    app = web.Application(middlewares=[errors], client_max_size=8 * 1024 * 1024)
    app[PARTS] = parts
    plain = PlainApi(parts)
    routes = all_routes(JobsApi(parts), NodesApi(parts), QueryApi(parts), plain, Pages(parts))
    plain.openapi = openapi_document(routes)
    for route in routes:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler, allow_head=False)
        else:
            app.router.add_route(route.method, route.path, route.handler)
    app.cleanup_ctx.append(_background)
    app.on_shutdown.append(_end_streams)
    return app


async def _background(app: web.Application) -> AsyncIterator[None]:
    parts = app[PARTS]
    tasks = [
        asyncio.create_task(parts.streams.keep_alive_forever()),
        asyncio.create_task(parts.catalogue.refresh_forever(parts.config.refresh_s)),
        asyncio.create_task(_sweep_forever(parts)),
    ]
    yield
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await parts.catalogue.close()
    await parts.auth.close()
    await parts.store.close()


async def _end_streams(app: web.Application) -> None:
    app[PARTS].streams.close()
    app[PARTS].watchers.close()


async def _sweep_forever(parts: Parts) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            await sweep(parts)
        except TransientError as error:
            log.warning("sweep.failed reason=%s", error.message)


async def sweep(parts: Parts) -> None:
    """End overdue jobs, delete old records."""
    now_ns = parts.now_ns()

    def ended(job_ids: list[int]) -> None:
        for job_id in job_ids:
            parts.out_of_force(job_id)

    await parts.store.write(lambda connection: jobs.complete_overdue(connection, now_ns), ended)
    before_ns = now_ns - parts.config.keep_days * DAY_NS
    await parts.store.write(lambda connection: records.prune(connection, before_ns))


def read_whitelist(path: Path) -> tuple[str, ...]:
    """Read the expressions of a whitelist, one a line; no file is an empty list. Raises ConfigError."""
    try:
        return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {str(error)[:200]}") from error
