"""A real API server for a crash series. It has no kubelet, so a small one here ends pods by writing their status."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from tests.kube.rawkube import STRATEGIC, RawKube
from tests.kube.realkube import RealKube
from tools.crash_check import Creation
from tools.crash_world import AGENT, creation

PODS = "/api/v1/namespaces/ses/pods"
RUN_S = 0.5


class Real:
    """etcd and kube-apiserver in a folder; see `tools.crash.Cluster`. `failing`: the plugin whose runs fail."""

    def __init__(self, folder: Path, failing: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.created: list[Creation] = []
        self._failing = failing
        self._kube = RealKube("api", folder / "cluster")
        self._kube.start()
        self._kube.prepare_wes()
        self._raw = self._kube.raw()
        self._stop = threading.Event()
        version = self._raw.get(PODS).version
        self._threads = [
            threading.Thread(target=self._watch, args=(version,), daemon=True),
            threading.Thread(target=self._run_pods, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def flags(self) -> list[str]:
        """Where the agent finds it."""
        return ["--kubeconfig", str(self._kube.kubeconfig)]

    def trouble(self, chance: random.Random) -> None:
        """Stop the API server for a moment, with whatever it is doing."""
        process = chance.choice(("apiserver", "etcd"))
        self._kube.sigstop(process)
        threading.Event().wait(chance.uniform(0.05, 0.7))
        self._kube.sigcont(process)

    def calm(self) -> None:
        """Nothing to end."""

    def pods(self) -> list[str]:
        """Names of the agent's pods."""
        return [pod["metadata"]["name"] for pod in self._items() if AGENT in pod["metadata"].get("labels", {})]

    def close(self) -> None:
        """End it."""
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        self._kube.stop()

    def _items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._raw.get(PODS).body["items"]
        return items

    def _watch(self, version: str) -> None:
        """Keep a log of creations; the watch is taken up where it ended, so none is missed."""
        raw: RawKube = self._kube.raw()
        while not self._stop.is_set():
            with contextlib.suppress(urllib3.exceptions.HTTPError, json.JSONDecodeError):
                for event in raw.watch(f"{PODS}?resourceVersion={version}", timeout_s=5):
                    assert event["type"] != "ERROR", event
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] == "ADDED":
                        self.created.append(creation(event["object"]))

    def _run_pods(self) -> None:
        began: dict[str, float] = {}
        while not self._stop.wait(0.1):
            with contextlib.suppress(urllib3.exceptions.HTTPError, KeyError):
                for pod in self._items():
                    metadata = pod["metadata"]
                    since_s = began.setdefault(metadata["uid"], time.monotonic())
                    phase = pod["status"].get("phase")
                    if phase == "Pending":
                        self._write(pod, "Running", {"running": {"startedAt": _now()}})
                    elif phase == "Running" and time.monotonic() - since_s > RUN_S:
                        self._end(pod)

    def _end(self, pod: dict[str, Any]) -> None:
        code = int(pod["spec"]["containers"][0]["name"] == self._failing)
        started = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        state = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": started}
        self._write(pod, "Failed" if code else "Succeeded", {"terminated": {**state, "finishedAt": _now()}})

    def _write(self, pod: dict[str, Any], phase: str, state: dict[str, Any]) -> None:
        container = pod["spec"]["containers"][0]
        status = {
            "phase": phase,
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": phase == "Running",
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        self._raw.patch(f"{PODS}/{pod['metadata']['name']}/status", {"status": status}, STRATEGIC)


def _now() -> str:
    return datetime.fromtimestamp(int(time.time()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251
