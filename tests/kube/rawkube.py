"""Requests to a Kubernetes API as they go over the wire: JSON in, status and JSON out, nothing hidden."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import urllib3

Json = dict[str, Any]
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass
class Answer:
    """One answer. `body` is the JSON object, empty when there is none; `text` the body as it came."""

    status: int
    body: Json
    text: str
    headers: dict[str, str]

    @property
    def reason(self) -> str:
        """The machine word of a Status object."""
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        """The message of a Status object."""
        return str(self.body.get("message", ""))

    @property
    def causes(self) -> set[tuple[str, str]]:
        """Reason and field of each cause of a Status object."""
        found = (self.body.get("details") or {}).get("causes") or []
        return {(cause["reason"], cause.get("field", "")) for cause in found}

    @property
    def version(self) -> str:
        """The object's resource version."""
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def names(self) -> list[str]:
        """Names of the items of a list."""
        return [item["metadata"]["name"] for item in self.body["items"]]


@dataclass
class RawKube:
    """A Kubernetes API. `kind`: `sim` or `apiserver`.

    `restart`: starts the server again, so that it serves no watch from an older version. `compact`: makes the store
    behind it forget states before a version.
    """

    kind: str
    url: str
    token: str = ""
    ca: str | None = None
    viewer_token: str = ""
    restart: Callable[[], None] = lambda: None
    compact: Callable[[str], None] = lambda version: None
    pool: urllib3.PoolManager = field(init=False)

    def __post_init__(self) -> None:
        self.pool = urllib3.PoolManager(ca_certs=self.ca, maxsize=8, retries=False)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        media_type: str = "application/json",
        accept: str = "application/json",
        token: str | None = None,
        timeout_s: float = 30,
    ) -> Answer:
        """Make one request. `body`: JSON, or bytes as they are."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = self._headers(self.token if token is None else token)
        headers |= {"Accept": accept, "Content-Type": media_type}
        answer = self.pool.request(method, self.url + path, body=raw, headers=headers, timeout=timeout_s)
        text = answer.data.decode()
        try:
            parsed = json.loads(text) if text else {}
        except ValueError:
            parsed = {}
        return Answer(answer.status, parsed, text, dict(answer.headers))

    def get(self, path: str, **options: Any) -> Answer:
        """GET."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any, **options: Any) -> Answer:
        """POST."""
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any, **options: Any) -> Answer:
        """PUT."""
        return self.call("PUT", path, body, **options)

    def patch(self, path: str, body: Any, media_type: str = MERGE, **options: Any) -> Answer:
        """PATCH."""
        return self.call("PATCH", path, body, media_type=media_type, **options)

    def delete(self, path: str, body: Any = None, **options: Any) -> Answer:
        """DELETE."""
        return self.call("DELETE", path, body, **options)

    def watch(self, path: str, timeout_s: int = 3, **options: Any) -> Watch:
        """Open a watch that the server ends after `timeout_s`. `path` has its query, but not `watch=1`."""
        sign = "&" if "?" in path else "?"
        address = f"{self.url}{path}{sign}watch=1&timeoutSeconds={timeout_s}"
        headers = self._headers(self.token) | options
        answer = self.pool.request(
            "GET",
            address,
            headers=headers,
            preload_content=False,
            timeout=urllib3.Timeout(connect=5, read=timeout_s + 10),
        )
        return Watch(answer)

    @staticmethod
    def _headers(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"} if token else {}


class Watch:
    """An open watch."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self.status = answer.status
        self._answer = answer

    def __iter__(self) -> Iterator[Json]:
        rest = b""
        for chunk in self._answer.stream(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    yield json.loads(line)

    def until(self, done: Callable[[list[Json]], bool]) -> list[Json]:
        """Read events until `done` of all so far; fails when the stream ends before."""
        events: list[Json] = []
        for event in self:
            events.append(event)
            if done(events):
                self.close()
                return events
        raise AssertionError(f"the watch ended after {brief(events)}")

    def rest(self) -> list[Json]:
        """Read to the end of the stream."""
        return list(self)

    def length_s(self) -> float:
        """Read to the end; how long it took."""
        start = time.monotonic()
        self.rest()
        return time.monotonic() - start

    def close(self) -> None:
        """Hang up."""
        self._answer.close()


def brief(events: list[Json]) -> list[tuple[str, str]]:
    """Type and name of each event."""
    return [(event["type"], event["object"].get("metadata", {}).get("name", "")) for event in events]


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Json:
    """A small pod."""
    container = {"name": "c", "image": "localhost/edgesched/busybox:1", "command": ["sh", "-c", "echo hi"]}
    metadata: Json = {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": [container], **spec}}


def container(**fields: Any) -> Json:
    """A container with some fields changed."""
    return {"name": "c", "image": "localhost/edgesched/busybox:1", **fields}
