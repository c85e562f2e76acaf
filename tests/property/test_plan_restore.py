"""A state that is written down and restored at any point goes on as if nothing had happened."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgesched.core.model import Message
from edgesched.core.plan.effects import Effect, LaunchPod
from edgesched.core.plan.events import Booted, PodsListed
from edgesched.core.plan.invariants import violations
from edgesched.core.plan.records import Record, Recorder
from edgesched.core.plan.restore import restore
from edgesched.core.windows import WindowStore
from tests.unit.plan.driver import Driver, goal, plugin

RULES = (
    "schedule(a): cronjob('a', '* * * * *')",
    "schedule(a, cooldown=30s): any(v('env.x', since='-30s') > 5)",
    "schedule(b): True",
    "schedule(b, hold=20s): last(v('env.x', since='-2m')) > 5",
    "schedule(c, duration=15s): cronjob('c', '@reboot')",
    "publish(env.event, every=40s): any(v('env.x', since='-30s') > 5)",
    "set(mode, value=busy): any(v('env.x', since='-30s') > 7)",
)
PLUGINS = (plugin("a"), plugin("b", selector={"resource.gpu": "true"}), plugin("c"))

Moves = st.lists(
    st.one_of(
        st.tuples(st.just("measure"), st.integers(0, 10)),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 5.0, 11.0, 30.0, 61.0])),
        st.tuples(st.just("created"), st.integers(0, 100)),
        st.tuples(st.just("runs"), st.integers(0, 100)),
        st.tuples(st.just("ends"), st.integers(0, 100)),
        st.tuples(st.just("fails"), st.integers(0, 100)),
        st.tuples(st.just("vanishes"), st.integers(0, 100)),
    ),
    max_size=30,
)


class Store:
    """Keeps records as the disk would: as text."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], str] = {}
        self.recorder = Recorder()

    def save(self, driver: Driver) -> None:
        """Write what changed."""
        for kind, key, value in self.recorder.changes(driver.state):
            if value is None:
                self.rows.pop((kind, key), None)
            else:
                self.rows[kind, key] = json.dumps(value)

    def load(self) -> list[Record]:
        """Read everything back."""
        return [Record(kind, key, json.loads(text)) for (kind, key), text in self.rows.items()]


def move(driver: Driver, what: str, value: Any) -> list[Effect]:
    """Let one thing happen."""
    if what == "measure":
        return driver.measure("env.x", value)
    if what == "wait":
        return driver.advance(driver.at + value)
    known = sorted(driver.orders)
    if not known:
        return []
    run_id = known[value % len(known)]
    if run_id not in driver.state.runs:
        return []
    if what == "created":
        return driver.created(run_id)
    if what == "runs":
        return driver.runs(run_id)
    if what == "vanishes":
        return driver.vanishes(run_id)
    return driver.ends(run_id, 0 if what == "ends" else 3)


def cut(driver: Driver, store: Store) -> list[Effect]:
    """Write the state down, forget it, read it back and list the pods again, as a restart on the same boot does."""
    windows = WindowStore()
    windows.restore(driver.state.windows.snapshot(driver.now.ts_ns), driver.now.ts_ns)
    pods = [run.pod for run in driver.state.runs.values() if run.pod is not None and not run.pod_gone]
    driver.state, owed = restore(driver.settings, windows, store.load(), driver.now, driver.state.boot_id)
    assert violations(driver.state) == []
    effects = [*owed, *driver.send(Booted("b1"))]
    return effects + driver.send(PodsListed(tuple(pods)))


def told(effects: list[Effect]) -> list[object]:
    """Return what the world sees: launches and messages, but for the list of pods and their order numbers."""
    seen: list[object] = []
    for effect in effects:
        if isinstance(effect, LaunchPod):
            seen.append(effect.order)
        elif isinstance(effect, Message):
            seen.append((effect.name, effect.ts_ns, repr(effect.value), effect.scope))
    return seen


@settings(max_examples=150, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink))
@given(st.lists(st.sampled_from(RULES), min_size=1, max_size=5, unique=True), Moves, st.integers(0, 30))
def test_a_cut_changes_nothing(rules: list[str], moves: list[tuple[str, Any]], cut_at: int) -> None:
    """The same moves with and without a restart in between lead to the same launches and messages."""
    straight, cutting = Driver(), Driver()
    store = Store()
    for driver in (straight, cutting):
        driver.start(goal(*rules, plugins=PLUGINS))
    store.save(cutting)
    for number, (what, value) in enumerate(moves):
        if number == cut_at:
            repeated = told(cut(cutting, store))
            # what the restart asks for again it had asked for before
            before = told([effect for _, effect in straight.log])
            assert [each for each in repeated if each not in before] == []
        expected = told(move(straight, what, value))
        actual = told(move(cutting, what, value))
        assert actual == expected, f"after {what} {value}"
        store.save(cutting)
    assert sorted(straight.state.ledger.claimed.items()) == sorted(cutting.state.ledger.claimed.items())
