"""What a benchmark on a real node needs: who was created when, seen by a watch of its own."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import urllib3

from bench._kubes import PODS, Cluster
from edgesched.adapters.clock import SystemClock


@dataclass
class Seen:
    """A pod. Times are wall-clock ns, 0 while it is not so; `deleted_ns`: somebody asked for its end.

    Of a pod that is deleted before its end was seen `ended_ns` is the time at which it went.
    """

    name: str
    plugin: str
    job: str
    created_ns: int
    ended_ns: int = 0
    deleted_ns: int = 0
    running: bool = False
    phase: str = ""


class Watcher:
    """Follows the pods through outages of the API; `seen` by uid, in the order in which they were seen first."""

    def __init__(self, kube: Cluster) -> None:
        self.seen: dict[str, Seen] = {}
        self._kube = kube
        self._clock = SystemClock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._over.set()
        self._thread.join(15)

    def of(self, plugin: str, since_ns: int = 0) -> list[Seen]:
        """The pods of a plugin that were created after a time."""
        return [pod for pod in list(self.seen.values()) if pod.plugin == plugin and pod.created_ns >= since_ns]

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(urllib3.exceptions.HTTPError, OSError, AssertionError):
                listed = self._kube.call("GET", PODS)
                for pod in listed["items"]:
                    self._take(pod)
                self._follow(listed["metadata"]["resourceVersion"])
            self._over.wait(0.2)

    def _follow(self, version: str) -> None:
        rest = b""
        stream = self._kube.stream(f"{PODS}?watch=1&resourceVersion={version}&timeoutSeconds=10", 15)
        while chunk := stream.read1(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["type"] in {"ADDED", "MODIFIED"}:
                    self._take(event["object"])
                elif event["type"] == "DELETED":
                    self._take(event["object"], gone=True)

    def _take(self, pod: dict[str, Any], *, gone: bool = False) -> None:
        metadata, now_ns = pod["metadata"], self._clock.now().ts_ns
        labels = metadata.get("labels") or {}
        seen = self.seen.get(metadata["uid"])
        if seen is None:
            plugin, job = labels.get("app", ""), labels.get("sagecontinuum.org/plugin-job-id", "")
            seen = self.seen[metadata["uid"]] = Seen(metadata["name"], plugin, job, now_ns)
        seen.phase = pod["status"].get("phase", "")
        seen.running = seen.running or seen.phase == "Running"
        if not seen.ended_ns and (gone or seen.phase in {"Succeeded", "Failed"}):
            seen.ended_ns = now_ns
        if metadata.get("deletionTimestamp") and not seen.deleted_ns:
            seen.deleted_ns = now_ns


def until(ts_ns: int) -> None:
    """Sleep until a wall-clock time."""
    clock = SystemClock()
    while (left_ns := ts_ns - clock.now().ts_ns) > 0:
        time.sleep(min(1.0, left_ns / 1e9))
