"""What happens to the pods of the namespace: a source of `PodsListed`, `PodObserved` and `PodEventObserved`.

Two loops: the plugin pods (every pod with the label of a plugin, also those of another scheduler: they occupy the node
as ours do) and the Kubernetes Events about pods. An object that comes again with a version already told is not told
again. Events are told from the first list on and only when newer than all before: what a list replays is old.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from edgesched.adapters.kube.api import KubeApi
from edgesched.adapters.kube.listwatch import ListWatch, Outage, WatchTuning, serve_loops
from edgesched.core.plan.events import PodEventObserved, PodObserved, PodsListed
from edgesched.core.pods import TASK, view_pod
from edgesched.ports import Emit, Notice

Json = dict[str, Any]

REMEMBERED: Final = 1000
MESSAGE_CHARS: Final = 1024


class KubeWatch:
    """Follows the plugin pods of a namespace and the Kubernetes Events about pods."""

    def __init__(
        self, api: KubeApi, *, namespace: str, emit: Emit, notice: Notice, tuning: WatchTuning | None = None
    ) -> None:
        outage = Outage(notice)
        tuning = tuning or WatchTuning()
        self._loops = [
            ListWatch(
                api,
                name="pods",
                path=f"/api/v1/namespaces/{namespace}/pods",
                query={"labelSelector": TASK},
                sink=PodSink(emit),
                outage=outage,
                notice=notice,
                tuning=tuning,
            ),
            ListWatch(
                api,
                name="events",
                path=f"/api/v1/namespaces/{namespace}/events",
                query={"fieldSelector": "involvedObject.kind=Pod"},
                sink=EventSink(emit),
                outage=outage,
                notice=notice,
                tuning=tuning,
            ),
        ]

    @property
    def connected(self) -> bool:
        """Whether the pods of the cluster are being followed now."""
        return self._loops[0].connected

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop` is set."""
        serve_loops(self._loops, stop, beat)


class PodSink:
    """Turns pods into events, each version of a pod once."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._told: dict[str, str] = {}
        self._gone: dict[str, str] = {}

    def listed(self, items: list[Json], version: str) -> None:
        """Tell the complete list."""
        self._told = dict(map(_identity, items))
        self._gone = {}
        self._emit(PodsListed(tuple(map(view_pod, items)), _number(version)))

    def changed(self, kind: str, item: Json) -> None:
        """Tell a change, unless this or a later version of the pod was told."""
        uid, version = _identity(item)
        if kind == "DELETED":
            fresh = uid not in self._gone
            self._told.pop(uid, None)
            self._gone[uid] = version
            if len(self._gone) > REMEMBERED:
                del self._gone[next(iter(self._gone))]
        else:
            # a pod may come back under its uid: its label was taken away and given again
            fresh = _newer(version, self._told.get(uid)) and _newer(version, self._gone.get(uid))
            if fresh:
                self._gone.pop(uid, None)
                self._told[uid] = version
        if fresh:
            self._emit(PodObserved(view_pod(item), gone=kind == "DELETED"))


class EventSink:
    """Turns Kubernetes Events into ours, each occurrence once and none from before the connection."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._last = ""

    def listed(self, items: list[Json], version: str) -> None:
        """Tell those that came while the connection was away; none of the first list or of a store that starts anew."""
        if self._last and not _newer(self._last, version):
            for item in sorted(items, key=lambda item: _number(_identity(item)[1])):
                self.changed("ADDED", item)
        self._last = version

    def changed(self, kind: str, item: Json) -> None:
        """Tell an Event that is new or came again; an Event that expires is no news."""
        version = _identity(item)[1]
        if kind == "DELETED" or not _newer(version, self._last):
            return
        self._last = version
        about = item.get("involvedObject")
        if isinstance(about, dict):
            self._emit(
                PodEventObserved(
                    pod_name=str(about.get("name") or ""),
                    pod_uid=str(about.get("uid") or ""),
                    reason=str(item.get("reason") or "")[:MESSAGE_CHARS],
                    message=str(item.get("message") or "")[:MESSAGE_CHARS],
                    warning=item.get("type") == "Warning",
                )
            )


def _identity(item: Json) -> tuple[str, str]:
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        return "", ""
    return str(metadata.get("uid") or ""), str(metadata.get("resourceVersion") or "")


def _newer(version: str, than: str | None) -> bool:
    """Compare versions: every server counts them up; what is no number is newer when it differs."""
    if not than:
        return True
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0
