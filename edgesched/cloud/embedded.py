"""A cloud scheduler for `standalone` and tests: a child process on loopback that ends with its parent.

The listening socket is opened here and inherited, so the address is known, and connections wait, before the child is
up. Tokens are written straight into the database. The child watches its standard input: when the parent dies, however,
it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

import urllib3

from edgesched.adapters.clock import SystemClock
from edgesched.cloud import tokens
from edgesched.cloud.config import DATABASE_VARIABLE, CloudConfig
from edgesched.cloud.main import address_of, listen
from edgesched.cloud.store import open_engine
from edgesched.cloud.tokens import Identity
from edgesched.errors import CloudUnavailableError, RefusedError

START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 10.0
REQUEST_TIMEOUT: Final = urllib3.Timeout(connect=5, read=20)
READY: Final = "cloud.ready"
Say = Callable[[str], None]


class EmbeddedCloud:
    """A cloud scheduler in a child process.

    `data_dir`: folder of its database, kept. `port`: 0 for a free one. `flags`: more flags of `edgesched cloud`, such
    as `["--uplink", "mqtt://127.0.0.1:1883", "--uplink-vsn", "W023"]`. `log`: takes each line that it logs.
    `database_url`: another database than SQLite.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        flags: list[str] | None = None,
        log: Say | None = None,
        database_url: str = "",
    ) -> None:
        self._data_dir = data_dir
        self._database_url = database_url
        self._flags = list(flags or [])
        self._log = log
        self._listening = listen(CloudConfig(port=port))
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = threading.Event()
        self._ready = False
        self._last_line = ""
        self._pool = urllib3.PoolManager(retries=False, timeout=REQUEST_TIMEOUT)
        self.url = address_of(self._listening)

    @property
    def pid(self) -> int | None:
        """Process id of the child, None before `start`."""
        return None if self._process is None else self._process.pid

    def user_token(self, user: str, nodes: list[str], *, superuser: bool = False) -> str:
        """Make a token for a user who may schedule on `nodes` (`*` for all)."""
        return self._token(Identity("user", user, frozenset(node.lower() for node in nodes), superuser))

    def node_token(self, vsn: str) -> str:
        """Make the token of a node: for its goal stream and its events."""
        return self._token(Identity("node", vsn))

    def _token(self, identity: Identity) -> str:
        engine = open_engine(self._data_dir, self._database_url)
        try:
            with engine.begin() as connection:
                return tokens.create_token(connection, identity, SystemClock().now().ts_ns)
        finally:
            engine.dispose()

    def start(self) -> None:
        """Start the child and wait until it serves. Raises CloudUnavailableError when it does not."""
        number = self._listening.fileno()
        command = [sys.executable, "-m", "edgesched.cli.main", "cloud", "--data-dir", str(self._data_dir)]
        command += ["--listen-fd", str(number), "--until-stdin-ends", *self._flags]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[number],
            env={**os.environ, DATABASE_VARIABLE: self._database_url},
            start_new_session=True,  # Ctrl-C is for the parent, which ends us in its own order
        )
        assert self._process.stderr is not None
        threading.Thread(target=self._forward, args=(self._process.stderr,), name="cloud-log", daemon=True).start()
        if not self._answered.wait(START_TIMEOUT_S) or self._process.poll() is not None or not self._ready:
            self.stop()
            raise CloudUnavailableError(f"the embedded cloud does not start: {self._last_line or 'no answer'}")

    def _forward(self, stream: IO[bytes]) -> None:
        """Pass the child's log on; its end, too, is an answer to the question whether it started."""
        for raw in stream:
            self._last_line = raw.decode("utf-8", "replace").rstrip()
            if READY in self._last_line:
                self._ready = True
                self._answered.set()
            if self._log is not None:
                self._log(self._last_line)
        self._answered.set()
        process = self._process
        if process is not None and self._ready and self._log is not None:  # nobody called `stop`
            self._log(f"the cloud scheduler ended with code {process.wait()}")

    def submit(self, job_text: str, token: str) -> dict[str, Any]:
        """Create and submit a job; returns the answer with `job_id`. Raises RefusedError with the cloud's reasons."""
        return self._request("POST", "/api/v1/submit", token=token, body=job_text.encode())

    def replace(self, job_id: str, job_text: str, token: str) -> dict[str, Any]:
        """Replace a job and bring it in force, or leave it there. Raises RefusedError with the cloud's reasons."""
        answer = self._request("PUT", f"/api/v1/jobs/{job_id}", token=token, body=job_text.encode())
        if answer.get("state") == "Submitted":
            return answer
        return self._request("GET", f"/api/v1/submit?id={job_id}", token=token)

    def _request(self, method: str, path: str, *, token: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Sage {token}"}
        try:
            answer = self._pool.request(method, self.url + path, body=body, headers=headers)
            document: dict[str, Any] = json.loads(answer.data)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise CloudUnavailableError(f"the embedded cloud does not answer: {str(error)[:200]}") from error
        if answer.status != 200:
            raise RefusedError(str(document.get("error", answer.status)), status=answer.status)
        return document

    def stop(self) -> None:
        """End the child; it writes what waits first. Safe to call twice."""
        process, self._process = self._process, None
        self._listening.close()
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
