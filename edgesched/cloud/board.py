"""The goals in force, in memory: which node has which goals, ready to be sent.

Filled from the database at start and kept in its order by the `applied` callbacks of the store, so it is always what a
restart would load. A node's list is its goals in the order of job ids, each reduced to the node's own sub-goal; node
names compare without case. The text of a list is made once per change, however many streams ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

GoalDocument = dict[str, Any]
"""A science goal as JSON: `id`, `job_id`, `name`, `sub_goals`, `conditions`."""


class GoalBoard:
    """Which goals are in force on which node."""

    def __init__(self) -> None:
        self._goals: dict[int, GoalDocument] = {}
        self._nodes: dict[str, dict[int, GoalDocument]] = {}
        self._texts: dict[str, bytes] = {}

    def put(self, job_id: int, goal: GoalDocument) -> set[str]:
        """Bring a job's goal in force in place of its former one; return the nodes whose list changed."""
        changed = self.drop(job_id)
        self._goals[job_id] = goal
        for node in _nodes_of(goal):
            self._nodes.setdefault(node, {})[job_id] = goal
            changed.add(node)
        self._forget(changed)
        return changed

    def drop(self, job_id: int) -> set[str]:
        """Take a job's goal out of force; return the nodes whose list changed."""
        goal = self._goals.pop(job_id, None)
        if goal is None:
            return set()
        changed = set(_nodes_of(goal))
        for node in changed:
            held = self._nodes[node]
            held.pop(job_id, None)
            if not held:
                del self._nodes[node]
        self._forget(changed)
        return changed

    def goals(self, node: str) -> list[GoalDocument]:
        """Return a node's list."""
        held = self._nodes.get(node.lower(), {})
        return [_reduced(held[job_id], node) for job_id in sorted(held)]

    def text(self, node: str) -> bytes:
        """Return a node's list as one line of compact JSON, `[]` when it has none."""
        key = node.lower()
        text = self._texts.get(key)
        if text is None and key not in self._nodes:
            return b"[]"
        if text is None:
            text = self._texts[key] = json.dumps(self.goals(node), separators=(",", ":")).encode()
        return text

    def __len__(self) -> int:
        return len(self._goals)

    def _forget(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._texts.pop(node, None)


def _nodes_of(goal: GoalDocument) -> list[str]:
    return [sub_goal["name"].lower() for sub_goal in goal.get("sub_goals", [])]


def _reduced(goal: GoalDocument, node: str) -> GoalDocument:
    mine = [sub_goal for sub_goal in goal["sub_goals"] if sub_goal["name"].lower() == node.lower()]
    return {**goal, "sub_goals": mine}
