"""The operator's brake, and the story of a plugin over a restart."""

from __future__ import annotations

from edgesched.core.plan.events import Paused, Resumed
from edgesched.core.plan.records import Recorder
from edgesched.core.plan.restore import restore
from edgesched.core.plan.state import STORY_LENGTH, NodeState, PauseKey
from edgesched.core.windows import WindowStore
from tests.unit.plan.driver import Driver, deletions, events, goal, launches, payload, run_ids

P = "schedule(p): cronjob('p', '* * * * *')"
Q = "schedule(q): cronjob('q', '* * * * *')"


def restored(node: Driver) -> NodeState:
    """What a new process would know."""
    records = Recorder().changes(node.state)
    state, _ = restore(node.settings, WindowStore(), records, node.now, "b1")
    return state


def test_a_paused_plugin_is_not_launched_and_the_others_are(node: Driver) -> None:
    """The slot of the paused one is missed with the pause as its reason; resuming serves the next one."""
    node.start()
    node.send(Paused(plugin="p"))
    assert launches(node.goals(goal(P, Q))) == ["q"]
    effects = node.advance(60.0)
    assert payload(effects, "slot.missed")["reason"] == "paused by the operator (since 22:00:00)"
    node.advance(90.0)
    assert launches(node.send(Resumed(plugin="p"))) == ["p"]


def test_a_pause_with_a_time_ends_by_itself(node: Driver) -> None:
    """After `--for` the open slot is served without anybody typing."""
    node.start()
    effects = node.send(Paused(for_s=100.0))
    assert payload(effects, "node.paused")["job_id"] == "all"
    node.goals(goal(P))
    effects = node.advance(100.0)
    assert launches(effects) == ["p"]
    assert payload(effects, "node.resumed")["reason"] == "its time is over"
    assert node.state.pauses == {}


def test_a_pause_of_a_job_holds_that_job_only(node: Driver) -> None:
    """Two jobs with the same plugin name: one goes on."""
    node.start()
    node.send(Paused(job_id="7"))
    effects = node.goals(goal(P, job="7"), goal(P, job="8"))
    assert launches(effects) == ["p"]
    assert [run.job_id for run in node.state.runs.values()] == ["8"]


def test_end_takes_the_pods_too(node: Driver) -> None:
    """With `--end` what runs is ended; the run is told as failed and counts as no failure of the plugin."""
    (run,) = run_ids(node.start(goal(P)))
    node.created(run)
    node.runs(run)
    assert deletions(node.send(Paused(end=True))) == [node.orders[run].pod_name]
    effects = node.vanishes(run)
    assert payload(effects, "plugin.failed")["reason"] == "ended by the operator's pause"
    (plugin,) = node.state.plugins.values()
    assert plugin.failures == 0


def test_resuming_everything_lets_go_every_pause(node: Driver) -> None:
    """`resume --all` needs no memory of what was paused; resuming what is not paused says nothing."""
    node.start(goal(P))
    node.send(Paused(plugin="p"))
    node.send(Paused(job_id="7"))
    assert events(node.send(Resumed(plugin="x"))) == []
    assert events(node.send(Resumed())) == ["node.resumed", "node.resumed"]


def test_a_pause_outlives_the_process(node: Driver) -> None:
    """Its end, too."""
    node.start(goal(P))
    node.send(Paused(job_id="7", plugin="p", for_s=300.0))
    node.send(Paused())
    state = restored(node)
    assert state.pauses == node.state.pauses
    assert ("pause", "7", "p") in state.wakeups.boot.current
    assert ("pause", "", "") not in state.wakeups.boot.current
    assert state.pauses[PauseKey()].until_boot_ns is None


def test_a_story_outlives_the_process_and_is_bounded(node: Driver) -> None:
    """The newest lines come back in their order, and new ones take the places of the oldest."""
    node.start(goal(P))
    recorder = Recorder()
    stored = {(each.kind, each.key): each for each in recorder.changes(node.state)}
    for _ in range(40):
        node.send(Paused())
        node.send(Resumed())
        stored |= {(each.kind, each.key): each for each in recorder.changes(node.state)}
    state, _ = restore(node.settings, WindowStore(), stored.values(), node.now, "b1")
    (plugin,) = node.state.plugins.values()
    (again,) = state.plugins.values()
    assert list(again.story) == list(plugin.story)
    assert again.told == plugin.told
    assert sum(kind == "story" for kind, _ in stored) == STORY_LENGTH
    node.goals()
    for run in list(node.state.runs):
        node.vanishes(run)
    stored |= {(each.kind, each.key): each for each in recorder.changes(node.state)}
    assert [key for key, each in stored.items() if key[0] == "story" and each.value is not None] == []
