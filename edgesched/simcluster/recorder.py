"""Kubernetes Events about pods: who reports them, how repeats are counted, and how long they are kept (an hour)."""

from __future__ import annotations

import itertools
import time
from collections import deque
from typing import Final, Literal

from edgesched.simcluster import times
from edgesched.simcluster.defaults import identify
from edgesched.simcluster.resources import EVENTS
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Key, Store

_KEEP_S: Final = 3600.0
_KEEP_COUNT: Final = 5_000

EventType = Literal["Normal", "Warning"]


class Recorder:
    """Writes Events. Used on the timers' thread only."""

    def __init__(self, store: Store, node_name: str) -> None:
        self._store = store
        self._node_name = node_name
        self._numbers = itertools.count(times.now_ns())  # names sort in the order of writing
        self._kept: deque[tuple[float, Key]] = deque()
        self._written: dict[tuple[str, str, str, str], Key] = {}

    def kubelet(self, pod: Object, kind: EventType, reason: str, message: str, field_path: str = "") -> None:
        """The kubelet's: a repeat counts up the event that is there."""
        seen = (pod["metadata"]["uid"], reason, message, field_path)
        with self._store.lock:
            key = self._written.get(seen)
            found = self._store.find(EVENTS, *key) if key else None
            if found:
                again = {**found.obj, "count": found.obj["count"] + 1, "lastTimestamp": times.now_text()}
                self._store.replace(EVENTS, again)
                return
            now = times.now_text()
            source = {"component": "kubelet", "host": self._node_name}
            fields = {"firstTimestamp": now, "lastTimestamp": now, "count": 1, "source": source}
            self._written[seen] = self._write(pod, kind, reason, message, fields, field_path)

    def scheduler(self, pod: Object, kind: EventType, reason: str, message: str) -> None:
        """The scheduler's: it writes in the newer form, with `eventTime` and without a count."""
        fields = {
            "eventTime": times.now_micro_text(),
            "action": "Binding" if reason == "Scheduled" else "Scheduling",
            "reportingComponent": "default-scheduler",
            "reportingInstance": "default-scheduler-sim",
        }
        self._write(pod, kind, reason, message, fields)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for seen in [seen for seen in self._written if seen[0] == uid]:
            del self._written[seen]

    def _write(
        self, pod: Object, kind: EventType, reason: str, message: str, fields: Object, field_path: str = ""
    ) -> Key:
        metadata = pod["metadata"]
        namespace, name = metadata["namespace"], f"{metadata['name']}.{next(self._numbers):x}"
        about = {
            "kind": "Pod",
            "namespace": namespace,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": "v1",
            "resourceVersion": metadata["resourceVersion"],
        }
        if field_path:
            about["fieldPath"] = field_path
        event = {
            "metadata": {"name": name},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": kind,
            **fields,
        }
        self._store.create(EVENTS, identify(EVENTS, event, namespace))
        self._kept.append((time.monotonic(), (namespace, name)))
        self._drop_old()
        return namespace, name

    def _drop_old(self) -> None:
        oldest_s = time.monotonic() - _KEEP_S
        while self._kept and (self._kept[0][0] < oldest_s or len(self._kept) > _KEEP_COUNT):
            _, key = self._kept.popleft()
            if self._store.find(EVENTS, *key):
                self._store.remove(EVENTS, *key)
