"""The parts of a running cloud scheduler, and the few things that several routes do with them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from aiohttp import web

from edgesched.cloud.answers import ApiError
from edgesched.cloud.auth import Authenticator
from edgesched.cloud.board import GoalBoard, GoalDocument
from edgesched.cloud.catalogue import Catalogue
from edgesched.cloud.config import CloudConfig
from edgesched.cloud.store import Store
from edgesched.cloud.streams import StreamHub
from edgesched.cloud.validate import WorldCheck
from edgesched.ports import Clock

BODY_TIMEOUT_S: Final = 30
LARGEST_JOB: Final = 1024 * 1024


class Watchers:
    """People who look at a job's page: each is woken when the job changes. Key 0 is the list of jobs."""

    def __init__(self) -> None:
        self._events: dict[int, set[asyncio.Event]] = {}
        self.closed = False

    def __len__(self) -> int:
        return sum(len(events) for events in self._events.values())

    def join(self, job_id: int) -> asyncio.Event:
        """Begin to watch; the event is set at every change."""
        event = asyncio.Event()
        self._events.setdefault(job_id, set()).add(event)
        return event

    def leave(self, job_id: int, event: asyncio.Event) -> None:
        """Stop watching."""
        watching = self._events.get(job_id, set())
        watching.discard(event)
        if not watching:
            self._events.pop(job_id, None)

    def close(self) -> None:
        """Wake everybody for the last time."""
        self.closed = True
        for events in self._events.values():
            for event in events:
                event.set()

    def changed(self, job_id: int) -> None:
        """Wake who looks at a job or at the list."""
        for key in (job_id, 0):
            for event in self._events.get(key, ()):
                event.set()


@dataclass(slots=True)
class Parts:
    """Everything that a route may use."""

    config: CloudConfig
    clock: Clock
    store: Store
    board: GoalBoard
    streams: StreamHub
    auth: Authenticator
    catalogue: Catalogue
    world: WorldCheck
    watchers: Watchers = field(default_factory=Watchers)

    def now_ns(self) -> int:
        """Return the time."""
        return self.clock.now().ts_ns

    def in_force(self, job_id: int, goal: GoalDocument) -> None:
        """A job's goal was committed: bring it to its nodes."""
        self.streams.changed(self.board.put(job_id, goal))
        self.watchers.changed(job_id)

    def out_of_force(self, job_id: int) -> None:
        """A job went out of force: its nodes get lists without it."""
        self.streams.changed(self.board.drop(job_id))
        self.watchers.changed(job_id)


async def read_body(request: web.Request, limit: int) -> str:
    """Return a request's body as text. Raises ApiError 413 beyond `limit` bytes, 408 when it does not come, 400."""
    too_large = ApiError(413, f"the body is larger than {limit} bytes")
    if request.content_length is not None and request.content_length > limit:
        raise too_large
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.content.read(limit + 1)
            while not request.content.at_eof() and len(body) <= limit:
                body += await request.content.read(limit + 1 - len(body))
    except TimeoutError as error:
        raise ApiError(408, "the body did not come in time") from error
    except ValueError as error:
        raise ApiError(400, "the body cannot be decoded", hint="check Content-Encoding") from error
    if len(body) > limit:
        raise too_large
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8 text at byte {error.start}") from error


async def read_json(request: web.Request, limit: int) -> Any:
    """Return a request's body as JSON values. Raises ApiError as `read_body`, and 400 when it is no JSON."""
    text = await read_body(request, limit)
    if not text.strip():
        raise ApiError(400, "the body is empty", hint="send a JSON document")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ApiError(400, "the body is nested too deeply") from error
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def flag(request: web.Request, name: str) -> bool:
    """Return a query flag that counts only when it is exactly `true`."""
    return request.query.get(name) == "true"


def go_bool(request: web.Request, name: str) -> bool:
    """Return a query flag as Go reads it, False when it is absent. Raises ApiError 400."""
    text = request.query.get(name)
    if text is None or text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    raise ApiError(400, f'strconv.ParseBool: parsing "{text[:40]}": invalid syntax', hint="write true or false")
