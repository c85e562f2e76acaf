"""Watches: the changes of a resource after a version, filtered, as lines of JSON.

An object that begins to match is ADDED and one that ceases to match is DELETED, whatever happened to it otherwise.
Bookmarks come every minute and two seconds before the stream's time-out, once anything of the resource has changed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edgesched.simcluster import status
from edgesched.simcluster.resources import PODS, Resource
from edgesched.simcluster.selectors import Test
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Change, Store, Stored
from edgesched.simcluster.tables import Table

_TICK_S: Final = 1.0
_BOOKMARK_EVERY_S: Final = 60.0
_BOOKMARK_BEFORE_END_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What a client asked for. `since`: None or 0 begin with the present objects."""

    resource: Resource
    namespace: str
    test: Test
    since: int | None
    timeout_s: float
    bookmarks: bool = False
    table: Table | None = None


def watch(store: Store, request: WatchRequest, closing: threading.Event) -> Iterator[bytes]:
    """Chunks of the stream, an empty one for each second without news. A refusal becomes an ERROR event."""
    try:
        yield from _Watch(store, request, closing).chunks()
    except status.ApiError as error:
        yield _line("ERROR", json.dumps(error.body(), separators=(",", ":")))


def _line(kind: str, text: str) -> bytes:
    return f'{{"type":"{kind}","object":{text}}}\n'.encode()


class _Watch:
    def __init__(self, store: Store, request: WatchRequest, closing: threading.Event) -> None:
        self._store = store
        self._request = request
        self._closing = closing
        now = time.monotonic()
        self._end = now + request.timeout_s
        self._bookmark_at = min(now + _BOOKMARK_EVERY_S, self._end - _BOOKMARK_BEFORE_END_S)
        self._first_bookmark_due = self._bookmark_at > now

    def chunks(self) -> Iterator[bytes]:
        present, version, cursor = self._begin()
        seen = version
        if present:
            yield b"".join(self._encode("ADDED", stored) for stored in present)
        news = False
        while not self._closing.is_set():
            changes = self._wait(cursor)
            cursor += len(changes)
            lines = [line for change in changes if change.version > version for line in self._lines(change)]
            if changes:
                news, seen = True, max(seen, changes[-1].version)
            now = time.monotonic()
            if self._request.bookmarks and news and self._first_bookmark_due and now >= self._bookmark_at:
                lines.append(_line("BOOKMARK", json.dumps(self._bookmark(seen))))
                self._bookmark_at = now + _BOOKMARK_EVERY_S
            yield b"".join(lines)
            if now >= self._end:
                return

    def _begin(self) -> tuple[list[Stored], int, int]:
        """Objects to be sent first, the version that they stand for, and the position in the log to go on from."""
        store, request = self._store, self._request
        with store.lock:
            if request.since:
                return [], request.since, store.cursor(request.resource, request.since)
            present = [
                stored for stored in store.items(request.resource, request.namespace) if request.test(stored.obj)
            ]
            return present, store.version, store.cursor(request.resource, store.version)

    def _wait(self, cursor: int) -> list[Change]:
        store, resource = self._store, self._request.resource
        with store.changed:
            changes = store.changes(resource, cursor)
            if not changes:
                store.changed.wait(max(0.0, min(_TICK_S, self._end - time.monotonic())))
                changes = store.changes(resource, cursor)
            return changes

    def _lines(self, change: Change) -> Iterator[bytes]:
        request = self._request
        if request.namespace and change.key[0] != request.namespace:
            return
        matched = change.before is not None and request.test(change.before.obj)
        matches = change.type != "DELETED" and request.test(change.now.obj)
        if change.type == "DELETED" and matched:
            yield self._encode("DELETED", change.now)
        elif matches:
            yield self._encode("MODIFIED" if matched else "ADDED", change.now)
        elif matched:
            assert change.before is not None
            left: Object = change.before.obj
            metadata = {**left["metadata"], "resourceVersion": str(change.version)}
            yield self._encode("DELETED", Stored({**left, "metadata": metadata}))

    def _encode(self, kind: str, stored: Stored) -> bytes:
        table = self._request.table
        if table is None:
            return _line(kind, stored.text())
        return _line(kind, json.dumps(table.render([stored], stored.obj["metadata"]["resourceVersion"])))

    def _bookmark(self, version: int) -> Object:
        resource = self._request.resource
        metadata = {"resourceVersion": str(version), "creationTimestamp": None}
        bookmark: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if resource is PODS:
            bookmark |= {"spec": {"containers": None}, "status": {}}
        return bookmark
