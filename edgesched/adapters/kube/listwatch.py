"""List, then watch: how the truth of a cluster is followed without a gap.

A list gives all objects and a version; a watch from that version gives every change after it. A watch that the server
ends (it is asked to, every 20 s) is opened again from the last version seen, so nothing is lost or told twice. After
anything else - the connection broke, the peer was silent, the server answered with an error, a line was no JSON, the
version is too old (410, as a status or as an event in the stream) - the list is read again: it costs little and is
right even when the server came back with an older store.

A silent peer is found because the server's own time-out is shorter than our patience with the socket. While the API is
away there is one attempt per pause; pauses grow to 5 s and are jittered.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from edgesched.adapters.kube.api import KubeApi, WatchStream
from edgesched.errors import KubeRefusedError, KubeUnavailableError
from edgesched.ports import Notice

Json = dict[str, Any]

PAGE: Final = 500
RELIST_S: Final = 600.0
SHORT_WATCH_S: Final = 1.0
STUCK_S: Final = 45.0
LOG_EVERY_S: Final = 60.0
LONGEST_ASKED_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class WatchTuning:
    """Times of a watch.

    `timeout_s`: after which the server ends a watch. `silence_s`: patience with the socket, longer than `timeout_s`.
    `relist_s`: a new list at least this often. `pause_first_s`, `pause_longest_s`: between attempts.
    """

    timeout_s: int = 20
    silence_s: float = 25.0
    relist_s: float = RELIST_S
    pause_first_s: float = 0.5
    pause_longest_s: float = 5.0


class Sink(Protocol):
    """Takes what a list and watch finds, on the thread of its loop."""

    def listed(self, items: list[Json], version: str) -> None:
        """Take a complete list; what is not in it does not exist."""
        ...

    def changed(self, kind: str, item: Json) -> None:
        """Take one change; `kind` is `ADDED`, `MODIFIED` or `DELETED`."""
        ...


class _ExpiredError(Exception):
    """The version to watch from is too old: read the list again."""


class Outage:
    """What the log says of the connection, for all loops of one source together: its loss and return, once each."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._lock = threading.Lock()
        self._away: set[str] = set()
        self._since_s = 0.0
        self._logged_s = -LOG_EVERY_S
        self._ever = False

    def lost(self, name: str, error: str, retry_in_s: float) -> None:
        """Note that a loop lost its connection."""
        now_s = time.monotonic()
        with self._lock:
            if not self._away:
                self._since_s = now_s
            self._away.add(name)
            told = now_s - self._logged_s < LOG_EVERY_S
            if not told:
                self._logged_s = now_s
        if not told:
            self._notice("kube.watch.lost", level="warning", watch=name, error=error, retry_in_s=round(retry_in_s, 1))

    def back(self, name: str) -> None:
        """Note that a loop is connected; the last one to return ends the outage."""
        with self._lock:
            was_away = bool(self._away)
            self._away.discard(name)
            if self._away or (self._ever and not was_away):
                return
            first, self._ever = not self._ever, True
            self._logged_s = -LOG_EVERY_S
            away_s = round(time.monotonic() - self._since_s, 1)
        if first and not was_away:
            self._notice("kube.connected")
        else:
            self._notice("kube.connected", away_s=away_s)


class ListWatch:
    """One list and watch of a collection.

    Args:
        name: for the log. path, query: the collection, such as `/api/v1/namespaces/ses/pods` and a label selector.
        sink: takes what is found; an exception in it ends the loop (a defect of ours).
    """

    def __init__(
        self, api: KubeApi, *, name: str, path: str, query: dict[str, str], sink: Sink, outage: Outage, notice: Notice,
        tuning: WatchTuning,
    ) -> None:  # fmt: skip
        self.name = name
        self._api = api
        self._path = path
        self._query = query
        self._sink = sink
        self._outage = outage
        self._notice = notice
        self._tuning = tuning
        self._stream: WatchStream | None = None
        self._failures = 0
        self._relisted = 0
        self.alive_s = time.monotonic()
        self.connected = False

    def serve(self, stop: threading.Event) -> None:
        """Follow the collection until `stop` is set."""
        version = ""
        listed_s = 0.0
        while not stop.is_set():
            self.alive_s = time.monotonic()
            try:
                if not version or self.alive_s - listed_s > self._tuning.relist_s:
                    version = self._list()
                    listed_s = time.monotonic()
                version = self._follow(version, stop)
            except _ExpiredError as error:
                version = ""
                self._relist(str(error), stop)
            except (KubeUnavailableError, KubeRefusedError) as error:
                version = ""
                if not stop.is_set():
                    self._lose(error, stop)

    def interrupt(self) -> None:
        """End the watch that is open now. Callable from another thread, after `stop` is set."""
        stream = self._stream
        if stream is not None:
            stream.interrupt()

    def _list(self) -> str:
        try:
            items, version = self._pages(PAGE)
        except KubeRefusedError as error:
            if error.status != 410:
                raise
            # the list changed too much between two pages
            items, version = self._pages(0)
        self._sink.listed(items, version)
        return version

    def _pages(self, limit: int) -> tuple[list[Json], str]:
        items: list[Json] = []
        query: dict[str, str | int] = dict(self._query)
        if limit:
            query["limit"] = limit
        while True:
            answer = self._api.get(self._path, query)
            page = answer.get("items")
            metadata = answer.get("metadata")
            if not isinstance(metadata, dict) or not isinstance(page, list | None):
                raise KubeUnavailableError(f"{self._path}: the answer is no list")
            items += [item for item in page or [] if isinstance(item, dict)]
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion") or "")
            query["continue"] = str(metadata["continue"])

    def _follow(self, version: str, stop: threading.Event) -> str:
        """Watch from `version` until the server ends the watch; return the version to go on from."""
        query: dict[str, str | int] = {
            **self._query,
            "watch": 1,
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": self._tuning.timeout_s,
        }
        opened_s = time.monotonic()
        try:
            stream = self._api.watch(self._path, query, self._tuning.silence_s)
        except KubeRefusedError as error:
            if error.status == 410:
                raise _ExpiredError(error.message) from error
            raise
        self._stream = stream
        try:
            if stop.is_set():
                return version
            self.connected = True
            self._outage.back(self.name)
            for line in stream.lines():
                self.alive_s = time.monotonic()
                if line.strip():
                    version = self._take(line) or version
                    self._failures = 0
        finally:
            self._stream = None
            stream.close()
        short_s = SHORT_WATCH_S - (time.monotonic() - opened_s)
        if short_s > 0:
            # a server that ends every watch at once must not make us spin
            stop.wait(short_s)
        else:
            self._failures = 0
        return version

    def _take(self, line: bytes) -> str:
        """Hand on one line of the watch; return the version that it brings."""
        try:
            event = json.loads(line)
            kind, item = event["type"], event["object"]
            version = item["code"] if kind == "ERROR" else item["metadata"]["resourceVersion"]
        except (ValueError, TypeError, KeyError) as error:
            raise KubeUnavailableError("the watch sent a line that is no event") from error
        if kind == "ERROR":
            message = f"{version} {item.get('message', '')}"
            if version == 410:
                raise _ExpiredError(message)
            raise KubeUnavailableError(f"the watch ended with {message[:200]}")
        if kind != "BOOKMARK":
            self._sink.changed(str(kind), item)
        return str(version)

    def _relist(self, reason: str, stop: threading.Event) -> None:
        self._failures += 1
        self._relisted += 1
        if self._failures == 1:
            self._notice("kube.relist", watch=self.name, reason=reason, relists=self._relisted)
        else:
            # expired again without one event between: pause as after a failure
            stop.wait(self._pause_s(None))

    def _lose(self, error: KubeUnavailableError | KubeRefusedError, stop: threading.Event) -> None:
        self.connected = False
        self._failures += 1
        pause_s = self._pause_s(error.retry_after_s if isinstance(error, KubeUnavailableError) else None)
        text = str(error)
        if isinstance(error, KubeRefusedError):
            text = f"{error.status} {text}"
        self._outage.lost(self.name, text, pause_s)
        self.alive_s = time.monotonic()
        stop.wait(pause_s)

    def _pause_s(self, asked_s: float | None) -> float:
        whole_s = min(self._tuning.pause_longest_s, self._tuning.pause_first_s * 2.0 ** min(self._failures - 1, 20))
        return max(whole_s * random.uniform(0.5, 1.0), min(asked_s or 0.0, LONGEST_ASKED_S))


def serve_loops(loops: list[ListWatch], stop: threading.Event, beat: Callable[[], None]) -> None:
    """Run each loop on a thread of its own until `stop` is set; beat while none is stuck.

    The loops wait for bytes for longer than a heartbeat may be old, hence the threads. Raises: what a loop raised.
    """
    ended = threading.Event()
    failures: list[Exception] = []

    def run(loop: ListWatch) -> None:
        try:
            loop.serve(ended)
        except Exception as error:  # noqa: BLE001 - guard: handed to the supervisor by `serve_loops`
            failures.append(error)

    threads = [threading.Thread(target=run, args=(loop,), name=f"kube-{loop.name}", daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    while not stop.wait(1.0) and not failures:
        now_s = time.monotonic()
        if all(now_s - loop.alive_s < STUCK_S for loop in loops):
            beat()
    ended.set()
    for loop, thread in zip(loops, threads, strict=True):
        loop.interrupt()
        thread.join(2.0)
    if failures:
        raise failures[0]
