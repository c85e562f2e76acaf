"""What is written down and how it comes back, where the random histories do not look closely."""

from __future__ import annotations

import pytest

from edgesched.core.model import DAY_NS, NS_PER_S, Message
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.events import Booted, PodsListed
from edgesched.core.plan.ledger import KEEP_NS, Ledger, SlotKey
from edgesched.core.plan.records import Record, Recorder, slot_text
from edgesched.core.plan.restore import newest_known_ns, restore
from edgesched.core.windows import WindowStore
from edgesched.errors import ConfigError, StoreNewerError
from tests.unit.plan.driver import START_NS, Driver, goal, launches, of, run_ids

EVERY_MINUTE = "schedule(p): cronjob('p', '* * * * *')"
AT_BOOT = "schedule(p): cronjob('p', '@reboot')"
KEY = SlotKey("7", "p", "* * * * *")


def reborn(node: Driver, records: list[Record], boot_id: str = "b1") -> Driver:
    """Return a node that begins with these records, at the same time."""
    again = Driver(node.settings, at=node.at, clock_offset_s=node.clock_offset_s)
    again.state, _ = restore(node.settings, WindowStore(), records, node.now, boot_id)
    again.orders = dict(node.orders)
    return again


def test_numbers_of_messages_go_on_without_a_gap(node: Driver) -> None:
    """A reader that counts ids finds no gap where the agent was restarted."""
    effects = node.start(goal(EVERY_MINUTE), goal("schedule(q): True", job="8"))
    again = reborn(node, Recorder().changes(node.state))
    effects += again.send(Booted("b1"))
    effects += again.advance(61.0)
    numbers = [int(effect.message_id.rpartition("-")[2]) for effect in of(effects, Message)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_ids_of_another_process_differ(node: Driver) -> None:
    """What a process said that could not write it down is not taken for what the next one says."""
    ids = set()
    for start in ("a", "b"):
        node = Driver(PlanSettings(vsn="W023", start=start))
        ids |= {effect.message_id for effect in of(node.start(goal(EVERY_MINUTE)), Message)}
    assert {each.rpartition("-")[0] for each in ids} == {"W023-0.a", "W023-0.b"}


def test_what_the_store_holds_and_the_state_does_not_is_dropped(node: Driver) -> None:
    """A rule that was edited while nobody looked leaves no record behind."""
    node.start(goal(EVERY_MINUTE))
    stored = Recorder().changes(node.state)
    again = reborn(node, stored)
    again.goals(goal("schedule(p): True"))
    changes = Recorder(stored).changes(again.state)
    rules = {record.key: record.value for record in changes if record.kind == "rule"}
    assert sorted(value is None for value in rules.values()) == [False, True]
    assert Recorder(stored).changes(again.state) != []


def test_a_forgetful_store_is_told_everything_again(node: Driver) -> None:
    """After the file was set aside, the next batch holds the claimed slots too."""
    node.start(goal(EVERY_MINUTE))
    recorder = Recorder()
    first = recorder.changes(node.state)
    assert recorder.changes(node.state) == []
    recorder.forget(node.state)
    assert sorted(recorder.changes(node.state), key=str) == sorted(
        (record for record in first if record.kind != "story"), key=str
    )


def test_claims_that_are_forgotten_leave_the_store() -> None:
    """Eight days of slots are kept, in memory and on disk."""
    ledger = Ledger()
    for minute in range(128):
        ledger.claim(KEY, START_NS + minute * 60 * NS_PER_S)
    ledger.fresh.clear()
    ledger.claim(SlotKey("9", "p", "@reboot"), START_NS)
    ledger.forget_old(START_NS + KEEP_NS + DAY_NS)
    assert len(ledger.stale) == 128
    assert KEY not in ledger.claimed


def test_dropped_claims_are_records_without_value(node: Driver) -> None:
    """A clock that was a week ahead and came back takes its slots out of the store."""
    recorder = Recorder()
    node.start(goal(EVERY_MINUTE))
    node.clock_offset_s = 7 * 86_400.0
    node.advance(120.0)
    recorder.changes(node.state)
    ahead = [
        fire_ns for times in node.state.ledger.claimed.values() for fire_ns in times if fire_ns > START_NS + DAY_NS
    ]
    assert len(ahead) == 0  # the plugin still runs
    node.ends(next(iter(node.orders)))
    node.advance(181.0)
    ahead = [
        fire_ns for times in node.state.ledger.claimed.values() for fire_ns in times if fire_ns > START_NS + DAY_NS
    ]
    recorder.changes(node.state)
    node.clock_offset_s = 0.0
    node.advance(182.0)
    gone = {record.key for record in recorder.changes(node.state) if record.kind == "slot" and record.value is None}
    assert ahead
    assert {slot_text(KEY, fire_ns) for fire_ns in ahead} <= gone


def test_a_new_boot_opens_the_boot_slot_of_a_job_that_was_restored(node: Driver) -> None:
    """`@reboot` runs once a boot, also when the job is known before the boot is."""
    (run,) = run_ids(node.start(goal(AT_BOOT)))
    node.created(run)
    node.ends(run)
    node.vanishes(run)
    records = Recorder().changes(node.state)
    node.at = 60.0
    for boot_id, expected in (("b1", []), ("b2", ["p"])):
        again = reborn(node, records, boot_id)
        effects = again.send(Booted(boot_id)) + again.send(PodsListed(()))
        assert launches(effects + again.advance(70.0)) == expected


def test_the_records_of_another_node_or_a_newer_version_are_refused(node: Driver) -> None:
    """One line that says what is wrong; nothing is guessed."""
    node.start(goal(EVERY_MINUTE))
    records = Recorder().changes(node.state)
    with pytest.raises(ConfigError, match="the state is that of node W023, this is W999"):
        restore(PlanSettings(vsn="W999"), WindowStore(), records, node.now, "b1")
    newer = [record._replace(value={**(record.value or {}), "schema": 99}) for record in records]
    with pytest.raises(StoreNewerError, match="newer version"):
        restore(node.settings, WindowStore(), newer, node.now, "b1")


def test_the_newest_time_is_known(node: Driver) -> None:
    """A clock before the last record has lost the time."""
    assert newest_known_ns([]) == 0
    node.start(goal(EVERY_MINUTE))
    assert newest_known_ns(Recorder().changes(node.state)) == START_NS


def test_a_rule_that_became_false_and_a_hold_that_begins_or_breaks_are_to_be_written(node: Driver) -> None:
    """An edge must not be lost because the fall before it was not written; other measurements are not counted."""
    node.start(
        goal(
            "publish(env.hot): any(v('env.t') > 30)",
            "schedule(p, hold=1m): last(v('env.t')) > 30",
            "schedule(q): any(v('env.t') > 30)",
        )
    )
    node.at = 1.0
    node.measure("env.t", 20)
    assert node.state.turns == 0
    node.at = 2.0
    node.measure("env.t", 31)
    assert node.state.turns == 1  # the hold begins
    node.at = 3.0
    node.measure("env.t", 10)
    assert node.state.turns == 2  # the hold breaks; 31 is still in the window of the others
    node.advance(120.0)
    assert node.state.turns == 3
    node.measure("env.t", 10)
    assert node.state.turns == 3
