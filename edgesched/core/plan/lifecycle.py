"""The life of a plugin run, as a table.

The cluster may skip states: a short run can end before anybody saw it running, a create can be answered after the watch
has told of the pod. So every state may be followed by every later one; nothing leads back, and nothing leaves an end.

    queued -> selected -> scheduled -> initializing -> running -> completed
                                                              \\-> failed
    queued -> missed (a gate held it for too long)
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class RunState(StrEnum):
    """Where a run is; the words are those of the Waggle scheduler events."""

    QUEUED = "queued"
    SELECTED = "selected"
    SCHEDULED = "scheduled"
    INITIALIZING = "initializing"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    MISSED = "missed"


ENDED: Final = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.MISSED})

TRANSITIONS: Final[dict[RunState, frozenset[RunState]]] = {
    RunState.QUEUED: frozenset(
        {
            RunState.SELECTED,
            RunState.SCHEDULED,
            RunState.INITIALIZING,
            RunState.RUNNING,
            RunState.COMPLETED,
            RunState.FAILED,
            RunState.MISSED,
        }
    ),
    RunState.SELECTED: frozenset(
        {RunState.SCHEDULED, RunState.INITIALIZING, RunState.RUNNING, RunState.COMPLETED, RunState.FAILED}
    ),
    RunState.SCHEDULED: frozenset({RunState.INITIALIZING, RunState.RUNNING, RunState.COMPLETED, RunState.FAILED}),
    RunState.INITIALIZING: frozenset({RunState.RUNNING, RunState.COMPLETED, RunState.FAILED}),
    RunState.RUNNING: frozenset({RunState.COMPLETED, RunState.FAILED}),
    RunState.COMPLETED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.MISSED: frozenset(),
}


def may_follow(current: RunState, following: RunState) -> bool:
    """Is `following` a step forward from `current`?"""
    return following in TRANSITIONS[current]
