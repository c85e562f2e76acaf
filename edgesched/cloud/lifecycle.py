"""The life of a job, as a table. Pure: the time comes as an argument.

    Created ─ edit ─► Drafted ─ submit ─► Submitted ─ a node has it ─► Running ─ criteria met ─► Completed
                                 ▲               └───────── suspend ──────┴──► Suspended
                                 └── submit again, from every state but Removed ──┘
    Submitted, Running ─ replace ─► Submitted (the nodes go over to the new goal; replace elsewhere is edit)
    every state ─ rm ─► Removed (a Running job only with force)

Differences to the reference, which guards nothing: a removed job stays removed, only a submitted or running job can be
suspended, an edit keeps the times, and the start is the first node's report, not the last one's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from edgesched.errors import RefusedError


class JobState(StrEnum):
    """The words of the wire, exactly."""

    CREATED = "Created"
    DRAFTED = "Drafted"
    SUBMITTED = "Submitted"
    RUNNING = "Running"
    COMPLETED = "Completed"
    SUSPENDED = "Suspended"
    REMOVED = "Removed"


IN_FORCE: Final = frozenset({JobState.SUBMITTED, JobState.RUNNING})
"""States in which nodes have the job's goal."""

PAST: Final = frozenset({JobState.COMPLETED, JobState.REMOVED})
"""States that a plain list of jobs leaves out."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands and since when; times in ns, None when that has not happened."""

    state: JobState
    updated_ns: int
    submitted_ns: int | None = None
    started_ns: int | None = None
    completed_ns: int | None = None


class StateConflictError(RefusedError):
    """The job's state does not allow what was asked."""

    code = "job.state"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, status=409)


def created(now_ns: int) -> Standing:
    """A new job."""
    return Standing(JobState.CREATED, now_ns)


def edited(standing: Standing, now_ns: int, job_id: int) -> Standing:
    """The job's text was replaced; nodes give the job up until it is submitted again."""
    _refuse_removed(standing, job_id, "edited")
    return replace(standing, state=JobState.DRAFTED, updated_ns=now_ns)


def replaced(standing: Standing, now_ns: int, job_id: int) -> Standing:
    """The job's text was replaced where it stands: a job in force goes on as a new goal, its start stays."""
    if standing.state not in IN_FORCE:
        return edited(standing, now_ns, job_id)
    return replace(standing, state=JobState.SUBMITTED, updated_ns=now_ns, submitted_ns=now_ns)


def submitted(standing: Standing, now_ns: int, job_id: int) -> Standing:
    """The job goes to its nodes, as a new goal."""
    _refuse_removed(standing, job_id, "submitted")
    return Standing(JobState.SUBMITTED, now_ns, submitted_ns=now_ns)


def received(standing: Standing, now_ns: int) -> Standing:
    """A node reported that it has the job's present goal."""
    if standing.state is not JobState.SUBMITTED:
        return standing
    return replace(standing, state=JobState.RUNNING, updated_ns=now_ns, started_ns=standing.started_ns or now_ns)


def completed(standing: Standing, now_ns: int) -> Standing:
    """Every node reported its criteria met, or the time granted is over."""
    if standing.state not in IN_FORCE:
        return standing
    return replace(standing, state=JobState.COMPLETED, updated_ns=now_ns, completed_ns=now_ns)


def suspended(standing: Standing, now_ns: int, job_id: int) -> Standing:
    """The owner takes the job from its nodes, for a while. Suspending twice changes nothing."""
    if standing.state is JobState.SUSPENDED:
        return standing
    if standing.state not in IN_FORCE:
        message = f'Failed to suspend job "{job_id}" as it is in {standing.state.lower()} state'
        raise StateConflictError(message, "only a submitted or running job can be suspended")
    return replace(standing, state=JobState.SUSPENDED, updated_ns=now_ns, completed_ns=now_ns)


def removed(standing: Standing, now_ns: int, job_id: int, *, force: bool) -> Standing:
    """The owner takes the job away for good. Removing twice changes nothing."""
    if standing.state is JobState.REMOVED:
        return standing
    if standing.state is JobState.RUNNING and not force:
        # UPSTREAM: same words, but with status 200, so that the reference's sesctl calls it a success
        message = f'Failed to remove job "{job_id}" as it is in running state. Suspend it first or specify force=true'
        raise StateConflictError(message)
    return replace(standing, state=JobState.REMOVED, updated_ns=now_ns, completed_ns=standing.completed_ns or now_ns)


def _refuse_removed(standing: Standing, job_id: int, what: str) -> None:
    if standing.state is JobState.REMOVED:
        message = f'Job ID "{job_id}" was removed and cannot be {what}'
        raise StateConflictError(message, "create the job again")
