"""`retries=`, the breaker, and what is recorded of slots that nobody looked at."""

from __future__ import annotations

from edgesched.core.model import NS_PER_S
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.effects import LaunchPod
from edgesched.core.plan.events import Booted, ClockTrusted, PodsListed, Woke
from edgesched.core.plan.records import Recorder
from edgesched.core.plan.restore import restore
from edgesched.core.windows import WindowStore
from tests.unit.plan.driver import START_NS, Driver, deletions, events, goal, launches, of, reports, run_ids

HOURLY = "schedule(p, retries=2): cronjob('p', '0 * * * *')"
MINUTE = "schedule(p): cronjob('p', '* * * * *')"
DAILY_LATEST = "schedule(p, misfire=latest): cronjob('p', '0 3 * * *')"


def fail(node: Driver, run: str) -> None:
    """Let a run fail at once."""
    node.created(run)
    node.ends(run, exit_code=1)


def restart(node: Driver, *, down_s: float = 0.0, boot_id: str = "b1") -> Driver:
    """Return the node as it is after it was down for a while; its pods are still there."""
    records = Recorder().changes(node.state)
    pods = [run.pod for run in node.state.runs.values() if run.pod is not None and not run.pod_gone]
    again = Driver(node.settings, at=node.at + down_s, clock_offset_s=node.clock_offset_s)
    again.state, owed = restore(node.settings, WindowStore(), records, again.now, boot_id)
    again.orders = dict(node.orders)
    again.log = [(again.at, effect) for effect in owed]
    again.send(Booted(boot_id))
    again.send(PodsListed(tuple(pods)))
    return again


def test_a_failed_slot_is_launched_again_as_often_as_asked(node: Driver) -> None:
    """Two retries with growing pauses, each a pod of its own; the slot stays claimed and the third failure is final."""
    (run,) = run_ids(node.start(goal(HOURLY)))
    names = [node.orders[run].pod_name]
    starts = [0.0]
    for _ in range(2):
        fail(node, run)
        before = node.at
        effects = []
        while not launches(effects) and node.at < before + 120:
            effects = node.advance(node.at + 1)
        (run,) = run_ids(effects)
        starts.append(node.at - before)
        names.append(node.orders[run].pod_name)
    fail(node, run)
    assert launches(node.advance(3599.0)) == []
    assert launches(node.advance(3600.0)) == ["p"]
    assert len(set(names)) == 3
    assert 10 <= starts[1] < starts[2] <= 30
    assert [fields["retry"] for at, effect in node.log for fields in reports([effect], "plugin.retrying")] == [1, 2]


def test_success_ends_the_retries(node: Driver) -> None:
    """A retry that completes is the end of it."""
    (run,) = run_ids(node.start(goal(HOURLY)))
    fail(node, run)
    (run,) = run_ids(node.advance(30.0))
    node.created(run)
    node.ends(run)
    assert launches(node.advance(3599.0)) == []


def test_a_retry_waits_no_longer_than_its_slot_counts(node: Driver) -> None:
    """The next slot of an every-minute rule takes the place of the retries of the last one."""
    (run,) = run_ids(node.start(goal("schedule(p, retries=5): cronjob('p', '* * * * *')")))
    seen = {run}
    while node.at < 200.0:
        fail(node, run)
        effects = node.advance(node.at + 1)
        while not launches(effects):
            effects = node.advance(node.at + 1)
        (run,) = run_ids(effects)
        assert run not in seen
        seen.add(run)
    slots = [effect.order.run_id for _, effect in node.log if isinstance(effect, LaunchPod)]
    assert len(slots) == len(set(slots))
    for minute in range(4):
        assert any(abs(at - minute * 60) < 21 for at, effect in node.log if isinstance(effect, LaunchPod)), minute


def test_a_retry_survives_a_restart(node: Driver) -> None:
    """The pause goes on over a restart, and the pod has the name that it would have had."""
    (run,) = run_ids(node.start(goal(HOURLY)))
    fail(node, run)
    again = restart(node, down_s=2.0)
    straight = run_ids(node.advance(60.0))
    assert len(straight) == 1
    assert run_ids(again.advance(60.0)) == straight
    assert node.orders[straight[0]] == again.orders[straight[0]]


def test_a_retry_of_a_job_that_is_gone_or_edited_is_dropped(node: Driver) -> None:
    """What the job does not ask for any more is not run."""
    (run,) = run_ids(node.start(goal(HOURLY)))
    fail(node, run)
    node.goals(goal("schedule(p): cronjob('p', '30 * * * *')"))
    assert launches(node.advance(1700.0)) == []
    assert launches(node.advance(1801.0)) == ["p"]


def test_the_breaker_says_how_often_and_when_next(node: Driver) -> None:
    """From the fifth failure in a row on the plugin counts as failing; before that it backs off."""
    node = Driver(PlanSettings(vsn="W023", breaker_after=3))
    (run,) = run_ids(node.start(goal("schedule(p): True")))
    for _ in range(3):
        fail(node, run)
        effects = []
        while not launches(effects):
            effects = node.advance(node.at + 1)
        (run,) = run_ids(effects)
    failing = [fields for _, effect in node.log for fields in reports([effect], "plugin.failing")]
    assert len(failing) == 1
    assert failing[0]["reason"].startswith("failing (3 in a row, next try 22:")


def test_slots_that_passed_while_the_agent_was_down_are_recorded_together(node: Driver) -> None:
    """Down for five minutes: the slots of that time are one event, and the open one is run."""
    (run,) = run_ids(node.start(goal(MINUTE)))
    node.created(run)
    node.ends(run)
    again = restart(node, down_s=330.0)
    effects = again.advance(331.0)
    assert launches([effect for _, effect in again.log]) == ["p"]
    missed = [fields for _, effect in again.log for fields in reports([effect], "slot.missed")]
    assert [(each["slot"], each["count"]) for each in missed] == [("22:01:00", 4)]
    assert missed[0]["last_slot_ns"] == START_NS + 240 * NS_PER_S
    assert "slot.missed" not in events(effects)


def test_slots_that_passed_while_the_node_slept_are_recorded_too(node: Driver) -> None:
    """A suspended node wakes up hours later: boot and wall clock agree, nothing was looked at in between."""
    (run,) = run_ids(node.start(goal(MINUTE)))
    node.created(run)
    node.ends(run)
    node.at = 7230.0
    effects = node.send(Woke())
    assert [fields["count"] for fields in reports(effects, "slot.missed")] == [119]
    assert launches(effects) == ["p"]
    assert reports(effects, "clock.stepped") == []


def test_a_composite_rule_owes_no_reason_for_slots_that_nobody_looked_at(node: Driver) -> None:
    """Whether `cronjob() and hot` would have fired while the agent was down nobody can know."""
    node.start(goal("schedule(p): cronjob('p', '* * * * *') and any(v('env.t') > 30)"))
    node.at = 330.0
    assert reports(node.send(Woke()), "slot.missed") == []


def test_an_answered_slot_is_not_missed(node: Driver) -> None:
    """A clock that is set an hour back and forth again finds its slots claimed: the hour between is what was missed."""
    (run,) = run_ids(node.start(goal(MINUTE)))
    node.created(run)
    node.ends(run)
    for minute in range(1, 4):
        (run,) = run_ids(node.advance(minute * 60.0))
        node.created(run)
        node.ends(run)
    node.clock_offset_s = -3600.0
    node.advance(node.at + 5)
    node.clock_offset_s = 0.0
    node.advance(node.at + 5)
    missed = [fields for _, effect in node.log for fields in reports([effect], "slot.missed")]
    assert [(each["slot"], each["count"]) for each in missed] == [("21:04:00", 56)]
    assert missed[0]["last_slot_ns"] == START_NS - 60 * NS_PER_S


def test_a_clock_that_was_set_back_does_not_mute_a_rule(node: Driver) -> None:
    """A run of an hour that comes once more is no answer to the slots of that hour, whenever it ended."""
    (first,) = run_ids(node.start(goal(MINUTE)))
    node.created(first)
    node.ends(first)
    (second,) = run_ids(node.advance(60.0))
    node.created(second)
    node.clock_offset_s = -3600.0
    node.advance(70.0)
    node.ends(second)
    assert launches(node.advance(121.0)) == ["p"]


def test_latest_catches_up_with_one_run_and_only_since_the_job_came(node: Driver) -> None:
    """`misfire=latest`: nothing for the slot before the job came, one late run after the agent was down over two."""
    assert launches(node.start(goal(DAILY_LATEST))) == []
    again = restart(node, down_s=36 * 3600.0)
    assert launches([effect for _, effect in again.log]) == ["p"]
    missed = [fields["count"] for _, effect in again.log for fields in reports([effect], "slot.missed")]
    assert missed == [1]
    (run,) = run_ids([effect for _, effect in again.log])
    again.created(run)
    again.ends(run)
    assert launches(again.advance(again.at + 3600)) == []


def test_a_synchronised_clock_is_trusted_at_once(node: Driver) -> None:
    """The patience of five minutes ends when somebody vouches for the clock."""
    node.send(Booted("b1", clock_trusted=False))
    node.send(PodsListed(()))
    assert launches(node.goals(goal(MINUTE))) == []
    node.at = 20.0
    effects = node.send(ClockTrusted("the kernel is synchronised"))
    assert launches(effects) == ["p"]
    assert reports(effects, "clock.trusted") == [{"reason": "the kernel is synchronised"}]
    assert reports(node.advance(400.0), "clock.trusted") == []


def test_an_ended_pod_stays_until_its_slot_is_closed() -> None:
    """Its name is the lock of the slot when the disk is full, so neither time nor number takes it away before."""
    settings = PlanSettings(vsn="W023", keep_finished_s=1.0, keep_finished_pods=0)
    node = Driver(settings)
    effects = node.start(goal("schedule(p): cronjob('p', '* * * * *')", "schedule(q): True"))
    by_plugin = {effect.order.plugin.name: effect.order for effect in of(effects, LaunchPod)}
    for order in by_plugin.values():
        node.created(order.run_id)
        node.at += 1
        effects = node.ends(order.run_id)
    assert by_plugin["q"].pod_name in deletions([effect for _, effect in node.log])
    node.at = 55.0
    node.send(Woke())
    assert by_plugin["p"].pod_name not in deletions([effect for _, effect in node.log])
    node.advance(61.0)
    assert by_plugin["p"].pod_name in deletions([effect for _, effect in node.log])
