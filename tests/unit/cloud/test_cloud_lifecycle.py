"""The table of job states."""

from __future__ import annotations

import pytest

from edgesched.cloud import lifecycle
from edgesched.cloud.lifecycle import JobState, StateConflictError


def submitted_job() -> lifecycle.Standing:
    """A job that waits for its nodes."""
    return lifecycle.submitted(lifecycle.created(1), 2, 7)


def test_first_report_counts_as_the_start() -> None:
    """Later reports of other nodes do not move the start."""
    first = lifecycle.received(submitted_job(), 10)
    assert first.state is JobState.RUNNING
    assert lifecycle.received(first, 99) is first
    assert first.started_ns == 10


def test_edit_keeps_the_times() -> None:
    """An edited job still says when it ran."""
    edited = lifecycle.edited(lifecycle.received(submitted_job(), 10), 20, 7)
    assert (edited.state, edited.submitted_ns, edited.started_ns) == (JobState.DRAFTED, 2, 10)


def test_submit_again_starts_anew() -> None:
    """The times of an earlier life do not end a job that was submitted again."""
    stopped = lifecycle.suspended(lifecycle.received(submitted_job(), 10), 20, 7)
    again = lifecycle.submitted(stopped, 30, 7)
    assert (again.submitted_ns, again.started_ns, again.completed_ns) == (30, None, None)


@pytest.mark.parametrize("change", ["edited", "submitted"])
def test_removed_job_stays_removed(change: str) -> None:
    """A removed job can neither be edited nor submitted."""
    removed = lifecycle.removed(submitted_job(), 3, 7, force=False)
    with pytest.raises(StateConflictError, match='Job ID "7" was removed'):
        getattr(lifecycle, change)(removed, 4, 7)


def test_running_job_is_removed_by_force_only() -> None:
    """The refusal has the words of the reference."""
    running = lifecycle.received(submitted_job(), 10)
    with pytest.raises(StateConflictError, match='Failed to remove job "7" as it is in running state'):
        lifecycle.removed(running, 11, 7, force=False)
    assert lifecycle.removed(running, 11, 7, force=True).state is JobState.REMOVED


def test_only_jobs_in_force_are_suspended() -> None:
    """A draft has nothing to suspend; suspending twice is no error."""
    with pytest.raises(StateConflictError):
        lifecycle.suspended(lifecycle.created(1), 2, 7)
    once = lifecycle.suspended(submitted_job(), 5, 7)
    assert lifecycle.suspended(once, 6, 7) is once


def test_reports_move_no_job_that_is_out_of_force() -> None:
    """A late report neither starts nor completes a suspended job."""
    stopped = lifecycle.suspended(submitted_job(), 5, 7)
    assert lifecycle.received(stopped, 6) is stopped
    assert lifecycle.completed(stopped, 6) is stopped
