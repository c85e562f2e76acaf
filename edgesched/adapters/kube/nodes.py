"""What the nodes of the cluster can hold: a source of `NodesObserved`.

A kubelet writes its node's status all the time; the event is told only when something that the planner counts with has
changed. Without the right to read nodes nothing is told and nobody is held back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from edgesched.adapters.kube.api import KubeApi
from edgesched.adapters.kube.listwatch import ListWatch, Outage, WatchTuning, serve_loops
from edgesched.core.plan.events import NodesObserved
from edgesched.core.pods import NodeView, view_node
from edgesched.ports import Emit, Notice

Json = dict[str, Any]

NODES: Final = "/api/v1/nodes"


class KubeNodes:
    """Follows the nodes of the cluster."""

    def __init__(self, api: KubeApi, *, emit: Emit, notice: Notice, tuning: WatchTuning | None = None) -> None:
        self._loop = ListWatch(
            api,
            name="nodes",
            path=NODES,
            query={},
            sink=NodeSink(emit),
            outage=Outage(notice),
            notice=notice,
            tuning=tuning or WatchTuning(),
        )

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop` is set."""
        serve_loops([self._loop], stop, beat)


class NodeSink:
    """Keeps the nodes and tells all of them when one has changed in what counts."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._nodes: dict[str, NodeView] = {}

    def listed(self, items: list[Json], version: str) -> None:  # noqa: ARG002 - the port of all sinks
        """Take the complete list."""
        before, self._nodes = self._nodes, {node.name: node for node in map(view_node, items)}
        self._tell(before)

    def changed(self, kind: str, item: Json) -> None:
        """Take a change."""
        node, before = view_node(item), dict(self._nodes)
        if kind == "DELETED":
            self._nodes.pop(node.name, None)
        else:
            self._nodes[node.name] = node
        self._tell(before)

    def _tell(self, before: dict[str, NodeView]) -> None:
        if self._nodes != before:
            self._emit(NodesObserved(tuple(self._nodes.values())))
