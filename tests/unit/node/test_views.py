"""What `status` and `explain` say of a plugin that is held: one style, `held: REASON (DETAILS)`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from edgesched.cli import explain, status
from edgesched.core.model import NS_PER_S
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.effects import LaunchPod
from edgesched.core.plan.events import Paused
from edgesched.node.explain import explained, named
from edgesched.node.views import plugin_state, plugins_view
from tests.unit.plan.driver import Driver, goal

NOW = "2023-11-14T22:00:00Z"


def failing(rule: str, times: int) -> Driver:
    """A node whose plugin has just failed so often in a row."""
    node = Driver(PlanSettings(vsn="W023", min_gap_s=5.0))
    effects = node.start(goal(rule))
    for number in range(times):
        while not (runs := [effect.order.run_id for effect in effects if isinstance(effect, LaunchPod)]):
            effects = node.advance(node.at + 1)
        node.created(runs[0])
        node.runs(runs[0])
        node.ends(runs[0], 7)
        effects = [] if number + 1 < times else effects
    node.advance(node.at + 6)
    return node


def said(node: Driver) -> str:
    """The state of its only plugin, as `explain` puts it together."""
    (plugin,) = node.state.plugins.values()
    word, why, _ = plugin_state(node.state, plugin, node.now)
    return f"{word}: {why}"


def launch_time(node: Driver) -> str:
    """Let time pass until the next launch; returns when that was."""
    while not any(isinstance(effect, LaunchPod) for effect in node.advance(node.at + 1)):
        pass
    return datetime.fromtimestamp(node.now.ts_ns / NS_PER_S, UTC).strftime("%H:%M:%S")


def test_a_plugin_that_fails_again_and_again_says_how_often_and_when_next() -> None:
    """The breaker: `held: failing (5 in a row, next try 12:40)`, and the next try comes then."""
    node = failing("schedule(p): True", 5)
    text = said(node)
    assert text.startswith("held: failing (5 in a row, next try ")
    assert text.startswith(f"held: failing (5 in a row, next try {launch_time(node)[:5]}); failed: ")


def test_the_breaker_of_a_cron_plugin_names_its_next_slot() -> None:
    """A slot does not wait for the back-off."""
    node = failing("schedule(p): cronjob('p', '40 * * * *')", 5)
    assert said(node).startswith("held: failing (5 in a row, next try 03:40); failed: ")


def test_before_the_breaker_it_backs_off() -> None:
    """The pauses are short, so the seconds are told."""
    node = failing("schedule(p): True", 2)
    text = said(node)
    match = re.match(r"held: backing off \(2 failures, next try (\d\d:\d\d:\d\d)\); failed: ", text)
    assert match, text
    assert abs(int(match[1][-2:]) - int(launch_time(node)[-2:])) <= 1


def test_other_holds_are_worded_alike() -> None:
    """Pause after a run, cooldown, an operator's pause."""
    node = Driver(PlanSettings(vsn="W023"))
    (launch,) = [effect for effect in node.start(goal("schedule(p): True")) if isinstance(effect, LaunchPod)]
    node.created(launch.order.run_id)
    node.ends(launch.order.run_id)
    assert said(node) == "held: pause after the last run (until 22:00:10)"
    node.send(Paused(for_s=60.0))
    assert said(node) == "held: paused by the operator (since 22:00:00, until 22:01:00)"


def test_status_and_explain_print_it() -> None:
    """The words of the view reach the screen whole."""
    node = failing("schedule(p): cronjob('p', '40 * * * *')", 5)
    shown = " ".join(" ".join(explain.lines(explained(node.state, named(node.state, "p")[0], node.now)[0], [])).split())
    assert "p of job 7 (j) is held: failing (5 in a row, next try 03:40); failed:" in shown
    rows = status._plugins_table(plugins_view(node.state, node.now), NOW)
    assert re.search(r"^p +7 +held +5 .* failing \(5 in", rows, re.MULTILINE), rows
    told = " ".join(" ".join(status._remedies(plugins_view(node.state, node.now))).split())
    assert "p is held: failing (5 in a row, next try 03:40); failed:" in told
