"""Objects, one counter of resource versions, and the log of changes from which watches are served.

Every write takes the next resource version, as with etcd. A stored object is never changed in place: a write stores a
new dict, so that readers need no lock once they hold one. The log of a resource is bounded; a watch or list that asks
for a version before its beginning is refused with 410, as after a compaction.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, Literal, NamedTuple

from edgesched.simcluster import status
from edgesched.simcluster.resources import RESOURCES, Resource
from edgesched.simcluster.status import Object

Key = tuple[str, str]
"""Namespace (empty for cluster-wide kinds) and name."""

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

LOG_LIMIT: Final = 5_000
"""Changes kept per resource."""


class Stored:
    """An object with its JSON text, encoded at the first use and then shared by all lists and watches."""

    __slots__ = ("_text", "obj")

    def __init__(self, obj: Object) -> None:
        self.obj = obj
        self._text: str | None = None

    def text(self, *, typed: bool = True) -> str:
        """JSON in one line; without `typed` the fields `kind` and `apiVersion` are left out, as in lists."""
        if self._text is None:
            rest = {key: value for key, value in self.obj.items() if key not in {"kind", "apiVersion"}}
            self._text = json.dumps(rest, separators=(",", ":"))
        if not typed:
            return self._text
        return f'{{"kind":"{self.obj["kind"]}","apiVersion":"{self.obj["apiVersion"]}",{self._text[1:]}'

    @property
    def version(self) -> int:
        """The resource version."""
        return int(self.obj["metadata"]["resourceVersion"])


class Change(NamedTuple):
    """One write: `now` is the object after it (of a deletion: its last state), `before` the one it replaced."""

    version: int
    type: ChangeType
    key: Key
    now: Stored
    before: Stored | None


def key_of(obj: Object) -> Key:
    """Namespace and name of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class _Table:
    """The objects and changes of one resource."""

    def __init__(self, version: int) -> None:
        self.objects: dict[Key, Stored] = {}
        self.log: deque[Change] = deque()
        self.dropped = 0  # changes that have left the log at its beginning
        self.oldest = version  # the log is complete after this version


class Store:
    """All objects. `lock` makes a read and the write after it one step; `changed` wakes watches."""

    def __init__(self, log_limit: int = LOG_LIMIT) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._version = 1
        self._log_limit = log_limit
        self._tables = {resource: _Table(1) for resource in RESOURCES}
        self._listeners: list[Callable[[Resource, Change], None]] = []

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._version

    def listen(self, listener: Callable[[Resource, Change], None]) -> None:
        """Call `listener` inside the lock for every change from now on; it must only take a note."""
        self._listeners.append(listener)

    def get(self, resource: Resource, namespace: str, name: str) -> Stored:
        """The object. Raises ApiError 404."""
        stored = self._tables[resource].objects.get((namespace, name))
        if stored is None:
            raise status.not_found(resource.plural, name, resource.group)
        return stored

    def find(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """The object, or None."""
        return self._tables[resource].objects.get((namespace, name))

    def create(self, resource: Resource, obj: Object) -> Stored:
        """Store a new object under the next version. Raises ApiError 409."""
        with self.lock:
            key = key_of(obj)
            if key in self._tables[resource].objects:
                raise status.already_exists(resource.plural, key[1], resource.group)
            return self._write(resource, "ADDED", key, obj, None)

    def replace(self, resource: Resource, obj: Object) -> Stored:
        """Store a new state under the next version; an equal state is no write. Raises ApiError 404."""
        with self.lock:
            key = key_of(obj)
            before = self.get(resource, *key)
            obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": before.obj["metadata"]["resourceVersion"]}}
            if obj == before.obj:
                return before
            return self._write(resource, "MODIFIED", key, obj, before)

    def remove(self, resource: Resource, namespace: str, name: str) -> Stored:
        """Delete an object; returns its last state with the deletion's version. Raises ApiError 404."""
        with self.lock:
            before = self.get(resource, namespace, name)
            return self._write(resource, "DELETED", (namespace, name), before.obj, before)

    def _write(self, resource: Resource, kind: ChangeType, key: Key, obj: Object, before: Stored | None) -> Stored:
        self._version += 1
        now = Stored({**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}})
        table = self._tables[resource]
        if kind == "DELETED":
            del table.objects[key]
        else:
            table.objects[key] = now
        change = Change(self._version, kind, key, now, before)
        table.log.append(change)
        if len(table.log) > self._log_limit:
            self._drop(table, 1)
        for listener in self._listeners:
            listener(resource, change)
        self.changed.notify_all()
        return now

    @staticmethod
    def _drop(table: _Table, count: int) -> None:
        for _ in range(count):
            table.oldest = table.log.popleft().version
        table.dropped += count

    def compact(self) -> int:
        """Forget all changes up to now, as a compaction or a restart of the API server does; returns the version."""
        with self.lock:
            for table in self._tables.values():
                self._drop(table, len(table.log))
                table.oldest = self._version
            return self._version

    def items(self, resource: Resource, namespace: str = "") -> list[Stored]:
        """Objects of a namespace, or of all, sorted by key."""
        with self.lock:
            objects = self._tables[resource].objects
            return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def items_at(self, resource: Resource, version: int, namespace: str = "") -> list[Stored]:
        """Objects as they were at `version`. Raises ApiError 410 when that is forgotten."""
        with self.lock:
            table = self._tables[resource]
            if version < table.oldest:
                raise status.expired("The resourceVersion for the provided list is too old.")
            objects = dict(table.objects)
            for change in reversed(table.log):
                if change.version <= version:
                    break
                if change.before is None:
                    objects.pop(change.key, None)
                else:
                    objects[change.key] = change.before
            return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def cursor(self, resource: Resource, version: int) -> int:
        """Position in the log right after `version`, for `changes`. Raises ApiError 410 when that is forgotten."""
        with self.lock:
            table = self._tables[resource]
            if version < table.oldest:
                raise status.expired(f"too old resource version: {version} ({table.oldest + 1})")
            later = 0
            for change in reversed(table.log):
                if change.version <= version:
                    break
                later += 1
            return table.dropped + len(table.log) - later

    def changes(self, resource: Resource, cursor: int) -> list[Change]:
        """Changes from `cursor` on. Raises ApiError 410 when the reader was too slow. The caller holds the lock."""
        table = self._tables[resource]
        if cursor < table.dropped:
            raise status.expired()
        return list(islice(table.log, cursor - table.dropped, None))
