"""Success criteria end the node's part of a job."""

from __future__ import annotations

from dataclasses import replace

from edgesched.core.model import ScienceGoal
from tests.unit.plan.driver import Driver, deletions, events, goal, launches, payload, reports, run_ids
from tests.unit.plan.test_retries import restart

EVERY_MINUTE = "schedule(p): cronjob('p', '* * * * *')"


def with_criteria(*criteria: str, goal_id: str = "g") -> ScienceGoal:
    """Return an every-minute goal with success criteria."""
    return replace(goal(EVERY_MINUTE, goal_id=goal_id), conditions=criteria)


def run_through(node: Driver, effects: list[object]) -> None:
    """Let every launched run end well at once."""
    for run in run_ids(effects):  # type: ignore[arg-type]
        node.created(run)
        node.ends(run)


def test_wall_clock_ends_the_job_and_lets_pods_run_out(node: Driver) -> None:
    """After the time nothing is launched, and what runs goes on."""
    effects = node.start(with_criteria("WallClock('90s')"))
    run_through(node, list(effects))
    (run,) = run_ids(node.advance(60.0))
    node.created(run)
    node.runs(run)
    effects = node.advance(91.0)
    assert payload(effects, "goal.completed")["criterion"] == "WallClock('90s')"
    assert deletions(effects) == [] or node.orders[run].pod_name not in deletions(effects)
    assert launches(node.advance(600.0)) == []
    node.ends(run)
    assert launches(node.advance(900.0)) == []


def test_wall_clock_survives_an_edit_and_steps_of_the_clock(node: Driver) -> None:
    """An edit at half time does not start the count anew, a step of the clock does not stretch it."""
    run_through(node, list(node.start(with_criteria("WallClock(90s)"))))
    node.at = 45.0
    node.clock_offset_s = -3600.0
    node.goals(with_criteria("WallClock(90s)", "Runs(p, 100)", goal_id="edited"))
    assert "goal.completed" not in events(node.advance(89.0))
    assert "goal.completed" in events(node.advance(91.0))


def test_wall_clock_survives_a_restart_and_a_reboot(node: Driver) -> None:
    """It counts from the first arrival of the goal, also over the time that the node was down."""
    run_through(node, list(node.start(with_criteria("WallClock(90s)"))))
    again = restart(node, down_s=60.0, boot_id="b2")
    again.goals(with_criteria("WallClock(90s)"))
    assert "goal.completed" not in events(again.advance(89.0))
    assert "goal.completed" in events(again.advance(91.0))
    once_more = restart(again, down_s=5.0)
    once_more.goals(with_criteria("WallClock(90s)"))
    assert launches(once_more.advance(300.0)) == []


def test_wall_clock_starts_anew_when_a_removed_or_suspended_job_comes_again(node: Driver) -> None:
    """A suspended job is taken out of the cloud's list, too; coming again is a new arrival."""
    run_through(node, list(node.start(with_criteria("WallClock(90s)"))))
    node.advance(40.0)
    node.goals()
    node.advance(80.0)
    run_through(node, list(node.goals(with_criteria("WallClock(90s)"))))
    assert "goal.completed" not in events(node.advance(169.0))
    assert "goal.completed" in events(node.advance(171.0))


def test_a_completed_job_that_is_submitted_again_starts_anew(node: Driver) -> None:
    """A new goal id after completion means: do it again."""
    run_through(node, list(node.start(with_criteria("WallClock(90s)"))))
    run_through(node, list(node.advance(60.0)))
    assert "goal.completed" in events(node.advance(130.0))
    run_through(node, list(node.goals(with_criteria("WallClock(90s)", goal_id="again"))))
    assert launches(node.advance(180.0)) == ["p"]
    assert "goal.completed" in events(node.advance(221.0))


def test_runs_counts_completed_runs_only(node: Driver) -> None:
    """Two completed runs end the job; a failed one does not count."""
    (run,) = run_ids(node.start(with_criteria("Runs(p, 2)")))
    node.created(run)
    node.ends(run, exit_code=1)
    (run,) = run_ids(node.advance(60.0))
    node.created(run)
    assert "goal.completed" not in events(node.ends(run))
    (run,) = run_ids(node.advance(120.0))
    node.created(run)
    assert "goal.completed" in events(node.ends(run))
    assert launches(node.advance(300.0)) == []


def test_until_a_time_and_until_a_condition(node: Driver) -> None:
    """A date and a condition end jobs too."""
    node.start(with_criteria("Until(2023-11-14T22:01:30Z)"))
    assert "goal.completed" in events(node.advance(91.0))
    other = Driver()
    other.start(with_criteria("Until(last(v('env.t')) > 40)"))
    assert "goal.completed" not in events(other.measure("env.t", 39.0))
    other.at = 5.0
    assert payload(other.measure("env.t", 41.0), "goal.completed")["criterion"] == "Until(last(v('env.t')) > 40)"


def test_what_cannot_be_enforced_is_a_warning(node: Driver) -> None:
    """The job runs, and the log says which criterion is not looked at."""
    effects = node.start(with_criteria("Repeat(3)"))
    assert launches(effects) == ["p"]
    assert reports(effects, "criterion.not_enforced")[0]["criterion"] == "Repeat(3)"


def test_runs_of_a_completed_job_end_by_themselves_when_the_cloud_drops_it(node: Driver) -> None:
    """The cloud forgets a completed job at once; its last pod is let out, and the plugin is forgotten with it."""
    (run,) = run_ids(node.start(with_criteria("WallClock(30s)")))
    node.created(run)
    node.runs(run)
    assert "goal.completed" in events(node.advance(31.0))
    effects = node.goals()
    assert "goal.removed" in events(effects)
    assert deletions(effects) == []
    node.at = 40.0
    assert "plugin.complete" in events(node.ends(run))
    node.vanishes(run)
    assert node.state.plugins == {}
