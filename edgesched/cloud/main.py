"""Running a cloud scheduler: listen, say where, serve until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable

from aiohttp import web

from edgesched.adapters.clock import SystemClock
from edgesched.cloud.app import make_app, open_parts
from edgesched.cloud.config import CloudConfig
from edgesched.cloud.uplink import Uplink
from edgesched.errors import ConfigError

log = logging.getLogger("edgesched.cloud")

SHUTDOWN_S = 5.0
MOST_FILES = 65_536
Ready = Callable[[str], None]


def listen(config: CloudConfig) -> socket.socket:
    """Open the listening socket. Raises ConfigError when the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        return socket.create_server((config.host, config.port), family=family, backlog=4096)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"cannot listen on {config.host}:{config.port}: {reason}", hint="choose --port") from error


def address_of(listening: socket.socket) -> str:
    """Return the address of a listening socket as people write it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(config: CloudConfig, listening: socket.socket, stop: asyncio.Event, ready: Ready) -> None:
    """Serve on a listening socket until `stop`; `ready` is called with the address. Raises ConfigError."""
    parts = await open_parts(config, SystemClock())
    runner = web.AppRunner(
        make_app(parts),
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=SHUTDOWN_S,
        keepalive_timeout=75,
    )
    await runner.setup()
    uplink = Uplink(config, parts) if config.uplink else None
    try:
        await web.SockSite(runner, listening, backlog=4096).start()
        if uplink is not None:
            uplink.start()
        ready(address_of(listening))
        await stop.wait()
    finally:
        if uplink is not None:
            await uplink.close()
        await runner.cleanup()


def run(config: CloudConfig, *, until_stdin_ends: bool = False, listening: socket.socket | None = None) -> int:
    """Run until a signal; with `until_stdin_ends` also until standard input is closed by whoever started us."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if config.debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    _allow_many_files()
    with contextlib.closing(listening or listen(config)) as opened:
        return asyncio.run(_run(config, opened, until_stdin_ends=until_stdin_ends))


def _allow_many_files() -> None:
    """Raise the limit of open files as far as we may: a goal stream is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(config: CloudConfig, listening: socket.socket, *, until_stdin_ends: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_ends:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end, stop)
    await serve(config, listening, stop, _say_ready)
    return 0


def _say_ready(address: str) -> None:
    log.info("cloud.ready url=%s", address)
    print(f"listening on {address}", flush=True)


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        stop.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
