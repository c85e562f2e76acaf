"""The ConfigMap `waggle-plugin-scheduler-goals`: goals that administrators write, and a copy of the stream's.

Programs around the reference read the goals of a node there, so the agent writes the stream's set into it, with an
annotation of the content's hash. Content whose hash the annotation holds is that copy and no news. Content last written
by the reference scheduler is its copy of the same stream, so it is no news either (else jobs that the cloud has
withdrawn would live on after a change of scheduler), and is replaced. Any other content is the administrators': its
goals are in force until it changes, and the agent does not write over it. To withdraw goals write `[]`; a ConfigMap
that disappears counts as a suspect first list, so that a replacement within minutes ends no run.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from edgesched.adapters.kube.api import KubeApi
from edgesched.adapters.kube.listwatch import ListWatch, Outage, WatchTuning, serve_loops
from edgesched.core.jobs import goals_from_json, goals_to_json
from edgesched.core.model import ScienceGoal
from edgesched.core.plan.events import GoalsReceived
from edgesched.errors import InputError, KubeRefusedError, KubeUnavailableError
from edgesched.ports import Emit, Notice

Json = dict[str, Any]

CONFIG_MAP: Final = "waggle-plugin-scheduler-goals"
KEY: Final = "goals"
HASH: Final = "edgesched.io/goals-sha256"
REFERENCE: Final = "nodescheduler"
RETRY_S: Final = 5.0
IDLE_S: Final = 1.0


class KubeGoals:
    """A source of the administrators' goals."""

    def __init__(
        self, api: KubeApi, *, namespace: str, emit: Emit, notice: Notice, tuning: WatchTuning | None = None
    ) -> None:
        self._loop = ListWatch(
            api,
            name="goals",
            path=f"/api/v1/namespaces/{namespace}/configmaps",
            query={"fieldSelector": f"metadata.name={CONFIG_MAP}"},
            sink=GoalSink(emit, notice),
            outage=Outage(notice),
            notice=notice,
            tuning=tuning or WatchTuning(),
        )

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop` is set."""
        serve_loops([self._loop], stop, beat)


class GoalSink:
    """Turns the content of the ConfigMap into goals when it changes."""

    def __init__(self, emit: Emit, notice: Notice) -> None:
        self._emit = emit
        self._notice = notice
        self._told: str | None = None

    def listed(self, items: list[Json], version: str) -> None:  # noqa: ARG002 - the port of all sinks
        """Take the ConfigMap as it is after a connection."""
        self._take(items[0] if items else {}, first=True)

    def changed(self, kind: str, item: Json) -> None:
        """Take a change of the ConfigMap."""
        self._take({} if kind == "DELETED" else item, first=kind == "DELETED")

    def _take(self, item: Json, *, first: bool) -> None:
        content = "" if is_copy(item) else content_of(item)
        if content == self._told:
            return
        try:
            goals, findings = goals_from_json(content) if content.strip() else ([], [])
        except InputError as error:
            self._notice(
                "goals.refused", level="warning", source="configmap", error=str(error), hint=f"see {CONFIG_MAP}"
            )
            return
        for finding in findings:
            self._notice("goals.finding", level="warning", source="configmap", error=finding.message, hint=finding.hint)
        self._told = content
        self._emit(GoalsReceived("configmap", tuple(goals), first=first))


class KubeGoalCopy:
    """Writes the stream's goals into the ConfigMap. `put` may be called from any thread; `run` is its thread."""

    def __init__(self, api: KubeApi, *, namespace: str, notice: Notice) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._notice = notice
        self._wanted: str | None = None
        self._woken = threading.Condition()
        self._refusal = ""

    def put(self, goals: Iterable[ScienceGoal]) -> None:
        """Have these goals written; a set that is not written yet is forgotten."""
        content = goals_to_json(goals)
        with self._woken:
            self._wanted = content
            self._woken.notify_all()

    def nudge(self) -> None:
        """Make `run` look at `stop`."""
        with self._woken:
            self._woken.notify_all()

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Write until `stop` is set; an API that is away is tried again."""
        while not stop.is_set():
            beat()
            with self._woken:
                if self._wanted is None:
                    self._woken.wait(IDLE_S)
                content = self._wanted
            if content is None or stop.is_set():
                continue
            try:
                self.write(content)
            except KubeUnavailableError:
                stop.wait(RETRY_S)
                continue
            except KubeRefusedError as error:
                self._tell(f"{error.status} {error.message}")
            with self._woken:
                if self._wanted == content:
                    self._wanted = None

    def write(self, content: str) -> None:
        """Write once, unless the content there is the administrators' or the same.

        Raises: KubeUnavailableError, KubeRefusedError.
        """
        try:
            present = self._api.get(f"{self._path}/{CONFIG_MAP}")
        except KubeRefusedError as error:
            if error.status != 404:
                raise
            present = {}
        if content_of(present).strip() and not is_copy(present):
            self._tell("its content is the administrators'")
            return
        if content_of(present) == content and is_copy(present):
            return
        metadata: Json = {"name": CONFIG_MAP, "annotations": {HASH: _hash(content)}}
        body: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: content}}
        if not present:
            self._api.create(self._path, body)
            return
        old = present["metadata"]
        metadata["annotations"] = {**(old.get("annotations") or {}), **metadata["annotations"]}
        metadata["labels"] = old.get("labels") or {}
        metadata["resourceVersion"] = old["resourceVersion"]
        body["data"] = {**(present.get("data") or {}), **body["data"]}
        self._api.replace(f"{self._path}/{CONFIG_MAP}", body)

    def _tell(self, reason: str) -> None:
        if reason != self._refusal:
            self._refusal = reason
            self._notice("goals.not_copied", level="warning", config_map=CONFIG_MAP, error=reason)


def content_of(item: Json) -> str:
    """Return the goals' text in a ConfigMap, empty when there is none."""
    data = item.get("data")
    content = data.get(KEY) if isinstance(data, dict) else None
    return content if isinstance(content, str) else ""


def is_copy(item: Json) -> bool:
    """Say whether the content copies the stream's goals: ours by its hash, the reference's by its last writer."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        return False
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and annotations.get(HASH) == _hash(content_of(item)):
        return True
    fields = metadata.get("managedFields")
    writers = [
        (str(entry.get("time") or ""), str(entry.get("manager") or ""))
        for entry in (fields if isinstance(fields, list) else [])
        if isinstance(entry, dict) and KEY in str(entry.get("fieldsV1"))
    ]
    return bool(writers) and max(writers)[1] == REFERENCE


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()
