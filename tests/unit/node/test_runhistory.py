"""The runs of the last day, over a restart."""

from __future__ import annotations

import zlib

import pytest

from edgesched.core.model import DAY_NS, Plugin, PluginSpec
from edgesched.core.plan.settings import PlanSettings
from edgesched.core.plan.state import NodeState, PluginKey, PluginState, StoryLine
from edgesched.core.windows import WindowStore
from edgesched.node.runhistory import KEPT_RUNS, PastRun, RunHistory
from tests.unit.node.fakes import SECOND, ManualClock

HOUR_S = 3600


def run_once(history: RunHistory, clock: ManualClock, run_id: str, *events: str) -> None:
    """Let the log tell of a run, a second for each event."""
    for event in events:
        history.hear(f"plugin.{event}", {"run": run_id, "job": "1", "plugin": "p", "reason": "because"})
        clock.advance(1)


def node(*story: tuple[int, str]) -> NodeState:
    """A state with one plugin and what its story says, as (ns, event)."""
    state = NodeState(PlanSettings("W023"), WindowStore())
    key = PluginKey("1", "p")
    plugin = PluginState(key, Plugin("p", PluginSpec("image:1")), "g", "j", {})
    plugin.story.extend(StoryLine(ts_ns, f"plugin.{what}", {"reason": "told"}) for ts_ns, what in story)
    state.plugins[key] = plugin
    return state


def restored(content: bytes | None, state: NodeState, clock: ManualClock) -> RunHistory:
    """The history of the next life."""
    history = RunHistory(clock)
    history.restore(content, state)
    return history


def test_a_file_brings_the_runs_back() -> None:
    """What was written at the stop is there again, older than a day or not."""
    clock = ManualClock()
    history = RunHistory(clock)
    run_once(history, clock, "old", "queued", "scheduled", "complete")
    clock.advance(25 * HOUR_S)
    run_once(history, clock, "new", "queued", "scheduled", "running", "failed")
    (run,) = restored(history.dump(), node(), clock).runs()
    assert (run.plugin, run.outcome, run.reason) == ("p", "failed", "because")
    assert clock.ts_ns - DAY_NS < run.queued_ns < run.started_ns < run.ended_ns


def test_the_story_tells_what_the_file_does_not() -> None:
    """After a kill: runs since the last writing come from the story, ends too, and none is there twice."""
    clock = ManualClock()
    start_ns = clock.ts_ns
    history = RunHistory(clock)
    run_once(history, clock, "a", "queued", "scheduled", "complete")
    clock.advance(57)
    run_once(history, clock, "b", "queued", "scheduled")
    content = history.dump()
    clock.advance(600)
    seconds = [(0, "queued"), (1, "scheduled"), (2, "complete"), (60, "queued"), (61, "scheduled"), (70, "failed")]
    told = [(start_ns + second * SECOND - 1, what) for second, what in [*seconds, (120, "queued"), (121, "missed")]]
    found = restored(content, node(*told), clock).runs()
    assert [run.outcome for run in found] == ["completed", "failed", "missed"]
    assert found[1].ended_ns == start_ns + 70 * SECOND - 1
    assert [run.outcome for run in restored(None, node(*told), clock).runs()] == ["completed", "failed", "missed"]


def test_what_is_told_later_of_a_run_finds_it() -> None:
    """A run that outlived the agent is one bar, not two; one that nobody knows any more does not run forever."""
    clock = ManualClock()
    history = RunHistory(clock)
    run_once(history, clock, "lost", "queued", "scheduled", "running")
    clock.advance(30)
    state = node((clock.ts_ns, "queued"), (clock.ts_ns + SECOND, "scheduled"))
    state.runs["kept"] = run = _run(state, clock)
    assert run.created.ts_ns == clock.ts_ns
    again = restored(history.dump(), state, clock)
    clock.advance(60)
    again.hear("plugin.complete", {"run": "kept", "job": "1", "plugin": "p"})
    lost, kept = again.runs()
    assert lost.ended_ns == lost.started_ns
    assert (kept.outcome, kept.ended_ns) == ("completed", clock.ts_ns)


def _run(state: NodeState, clock: ManualClock) -> object:
    """A run as the state holds it; only what the history reads."""
    from types import SimpleNamespace

    return SimpleNamespace(plugin_key=PluginKey("1", "p"), created=clock.now())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        zlib.compress(b"[[1, 2]]"),
        zlib.compress(b'{"a": 1}'),
        zlib.compress(b'[["r","1","p","x",0,0,"",""]]'),
    ],
)
def test_a_file_that_makes_no_sense_costs_its_own_runs(content: bytes) -> None:
    """It is said, and the story counts all the same."""
    clock = ManualClock()
    history = RunHistory(clock)
    with pytest.raises(ValueError):  # noqa: PT011 - its text is the library's
        history.restore(content, node((clock.ts_ns, "queued"), (clock.ts_ns, "complete")))
    assert [run.outcome for run in history.runs()] == ["completed"]


def test_it_is_bounded() -> None:
    """The oldest go, whoever told of them."""
    clock = ManualClock()
    history = RunHistory(clock)
    for number in range(KEPT_RUNS + 10):
        history.hear("plugin.queued", {"run": str(number), "job": "1", "plugin": "p"})
        clock.advance(10)
    assert len(history.runs()) == KEPT_RUNS
    state = node((clock.ts_ns, "queued"), (clock.ts_ns, "complete"))
    assert len(restored(history.dump(), state, clock).runs()) == KEPT_RUNS
    assert history.runs()[0] == PastRun("1", "p", history.runs()[0].queued_ns)
