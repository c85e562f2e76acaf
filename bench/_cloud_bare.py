"""The least that aiohttp can do for the same tasks: what the cloud scheduler is compared with.

`python -m bench._cloud_bare sse|submit FD DIR` serves on an inherited socket until its standard input ends.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sqlite3
import sys
from pathlib import Path

from aiohttp import web


async def serve_sse(app: web.Application) -> None:
    """Streams from queues, one a reader; every submit sends one event of 1.5 KiB to all."""
    readers: set[asyncio.Queue[bytes]] = set()
    payload = b"event: changed\ndata: [" + b"x" * 1500 + b"]\n\n"

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        readers.add(queue)
        queue.put_nowait(b"event: changed\ndata: []\n\n")
        while True:
            await response.write(await queue.get())

    async def submit(_request: web.Request) -> web.Response:
        for queue in readers:
            queue.put_nowait(payload)
        return web.Response(text="{}")

    app.router.add_get("/api/v1/goals/{node}/stream", stream)
    app.router.add_get("/api/v1/submit", submit)


async def serve_submit(app: web.Application, folder: Path) -> None:
    """A handler that commits one row and answers."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, job TEXT)")

    async def submit(request: web.Request) -> web.Response:
        connection.execute("INSERT INTO jobs (job) VALUES (?)", (request.query["id"],))
        return web.json_response({"job_id": request.query["id"], "state": "Submitted"})

    app.router.add_get("/api/v1/submit", submit)


async def main(kind: str, number: int, folder: Path) -> None:
    """Serve one of the two."""
    app = web.Application()
    await (serve_sse(app) if kind == "sse" else serve_submit(app, folder))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, socket.socket(fileno=number), backlog=4096).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, lambda: os.read(0, 1) or stop.set())
    await stop.wait()
    os._exit(0)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
