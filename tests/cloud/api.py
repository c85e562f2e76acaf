"""A cloud scheduler under test, and its API as a client sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import urllib3

from edgesched.cloud.config import DATABASE_VARIABLE, CloudConfig, load_config
from edgesched.cloud.embedded import EmbeddedCloud
from edgesched.cloud.main import address_of, listen, serve
from edgesched.cloud.store import open_engine
from edgesched.cloud.tokens import Identity, create_token
from edgesched.errors import EdgeSchedError

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "examples" / "tutorial" / "myjob.yaml").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Answer:
    """An answer. `json`: the document, None when it is none."""

    status: int
    content_type: str
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> str:
        """The text of the error object."""
        return str(self.json["error"])


class Api:
    """Requests with one token, or with none."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self.token = token
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=30), maxsize=50)

    def request(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> Answer:
        """Send a request to a path below the address."""
        sent = {"Authorization": f"Sage {self.token}"} if self.token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self._pool.request(
            method, self.url + path, body=body.encode() if isinstance(body, str) else body, headers=sent, redirect=False
        )
        content_type = answer.headers.get("Content-Type", "")
        return Answer(answer.status, content_type, answer.data.decode(), dict(answer.headers))

    def get(self, path: str) -> Answer:
        """GET below `/api/v1`."""
        return self.request("GET", f"/api/v1{path}")

    def post(self, path: str, body: Any) -> Answer:
        """POST text, or a document as JSON, below `/api/v1`."""
        return self.request("POST", f"/api/v1{path}", body if isinstance(body, str | bytes) else json.dumps(body))

    def create(self, job: str = TUTORIAL) -> str:
        """Create a job; return its id."""
        answer = self.post("/create", job)
        assert answer.status == 200, answer.text
        return str(answer.json["job_id"])

    def submitted(self, job: str = TUTORIAL) -> str:
        """Create and submit a job; return its id."""
        job_id = self.create(job)
        answer = self.get(f"/submit?id={job_id}")
        assert answer.status == 200, answer.text
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """A job's document."""
        document: dict[str, Any] = self.get(f"/jobs/{job_id}/status").json
        return document

    def state(self, job_id: str) -> str:
        """A job's state."""
        return str(self.job(job_id)["state"]["last_state"])

    def goal_id(self, job_id: str) -> str:
        """The id of a job's goal."""
        return str(self.job(job_id)["science_goal"]["id"])

    def goals(self, node: str) -> list[dict[str, Any]]:
        """A node's goals."""
        document: list[dict[str, Any]] = self.get(f"/goals/{node}").json
        return document

    def report(self, vsn: str, *messages: dict[str, Any]) -> Answer:
        """Post messages as a node."""
        return self.post(f"/nodes/{vsn}/events", list(messages))

    def query(self, **query: Any) -> list[dict[str, Any]]:
        """Records of a data query."""
        answer = self.post("/query", query)
        assert answer.status == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def stream(self, node: str) -> urllib3.BaseHTTPResponse:
        """Open a goal stream."""
        headers = {"Authorization": f"Sage {self.token}"} if self.token else {}
        url = f"{self.url}/api/v1/goals/{node}/stream"
        return self._pool.request("GET", url, headers=headers, preload_content=False)


class _Users:
    """Tokens as APIs; what every cloud under test has."""

    url: str
    data_dir: Path
    database_url: str
    lines: list[str]

    @property
    def anybody(self) -> Api:
        """The API without a token."""
        return Api(self.url)

    def token(self, identity: Identity) -> str:
        """Make a token."""
        with self.database() as connection:
            return create_token(connection, identity, 1)

    @contextlib.contextmanager
    def database(self) -> Iterator[sa.Connection]:
        """A transaction beside the cloud, as the token command makes one."""
        engine = open_engine(self.data_dir, self.database_url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def user(self, name: str, *nodes: str, superuser: bool = False) -> Api:
        """The API with a new token of a user."""
        allowed = frozenset(node.lower() for node in nodes)
        return Api(self.url, self.token(Identity("user", name, allowed, superuser)))

    def node(self, vsn: str) -> Api:
        """The API with a new token of a node."""
        return Api(self.url, self.token(Identity("node", vsn)))


class Cloud(_Users):
    """A cloud on a thread of the test's process. `lines`: what it logged."""

    def __init__(self, data_dir: Path, flags: dict[str, str], *, port: int = 0, database_url: str = "") -> None:
        self.data_dir = data_dir
        self.database_url = database_url
        self.config = load_config({"data_dir": str(data_dir), **flags}, {DATABASE_VARIABLE: database_url})
        self.lines = []
        self._listening = listen(CloudConfig(port=port))
        self.url = address_of(self._listening)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._error: EdgeSchedError | None = None
        self._thread = threading.Thread(target=self._run, name="cloud")
        self._log = _Lines(self.lines)

    def start(self) -> None:
        """Start and wait until it serves; raises what the start raises."""
        logging.getLogger("edgesched.cloud").addHandler(self._log)
        logging.getLogger("edgesched.cloud").setLevel(logging.INFO)
        self._thread.start()
        assert self._ready.wait(20)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except EdgeSchedError as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await serve(self.config, self._listening, self._stop, lambda _: self._ready.set())

    def stop(self) -> None:
        """End it; safe to call twice."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
            assert not self._thread.is_alive()
        self._listening.close()
        logging.getLogger("edgesched.cloud").removeHandler(self._log)


class _Lines(logging.Handler):
    """Keeps log lines."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


class ChildCloud(_Users):
    """A cloud in a child process, which can be killed."""

    def __init__(self, data_dir: Path, *, port: int = 0, database_url: str = "") -> None:
        self.data_dir = data_dir
        self.database_url = database_url
        self.lines = []
        self.embedded = EmbeddedCloud(data_dir, port=port, log=self.lines.append, database_url=database_url)
        self.url = self.embedded.url
        self.start = self.embedded.start
        self.stop = self.embedded.stop

    def kill(self) -> None:
        """End the child without a warning."""
        assert self.embedded.pid is not None
        os.kill(self.embedded.pid, signal.SIGKILL)
        self.stop()


def event(name: str, number: int, ts_ns: int, **fields: Any) -> dict[str, Any]:
    """A scheduler event as a node posts it."""
    return {
        "id": f"m-{number}",
        "name": f"sys.scheduler.status.{name}",
        "ts": ts_ns,
        "val": json.dumps(fields, sort_keys=True),
        "scope": "all",
    }


def job_text(name: str = "j", *, nodes: tuple[str, ...] = ("W023",), rule: str = "True", **more: Any) -> str:
    """A small good job as JSON text."""
    job = {
        "name": name,
        "plugins": [{"name": "p", "pluginSpec": {"image": "registry.sagecontinuum.org/theone/imagesampler:0.3.0"}}],
        "nodes": dict.fromkeys(nodes),
        "scienceRules": [f"schedule(p): {rule}"],
        **more,
    }
    return json.dumps(job)
