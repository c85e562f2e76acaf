"""`schedule` rules: slots, gates, and the run that follows."""

from __future__ import annotations

import pytest

from edgesched.core.model import Message
from edgesched.core.plan import PlanSettings, next_deadline, prepare
from edgesched.core.plan.effects import LaunchPod
from edgesched.core.plan.events import Booted, PodsListed
from edgesched.core.windows import Limits, WindowStore
from tests.unit.plan.driver import Driver, deletions, events, goal, launches, of, payload, plugin, reports, run_ids

EVERY_MINUTE = "schedule(p): cronjob('p', '* * * * *')"
HOT = "schedule(p): any(v('env.t') > 30)"


def test_a_slot_already_open_when_the_job_arrives_is_served(node: Driver) -> None:
    """A job that arrives on the minute starts with that minute."""
    effects = node.start(goal(EVERY_MINUTE))
    assert launches(effects) == ["p"]
    assert events(effects) == ["plugin.queued", "goal.received", "plugin.selected"] or "plugin.selected" in events(
        effects
    )


def test_a_prepared_minute_is_decided_as_any_other() -> None:
    """What is done ahead shows in nothing but the time that the step takes."""
    rules = ["schedule(p): cronjob('p', '1 * * * *')", "schedule(q): cronjob('q', '1 7 * * *', tz='Asia/Tokyo')"]
    plain, prepared = Driver(), Driver()
    for node in (plain, prepared):
        node.at = 30.0
        node.start(goal(*rules))
    deadline_ns = next_deadline(prepared.state)
    assert deadline_ns is not None
    assert prepare(prepared.state, deadline_ns) == 2
    effects = prepared.advance(60.0)
    assert launches(effects) == ["p", "q"]
    assert effects == plain.advance(60.0)


def test_each_minute_is_launched_once_at_its_minute(node: Driver) -> None:
    """A 5 s plugin with an every-minute rule runs in every slot, at the slot."""
    node.start(goal(EVERY_MINUTE))
    times = [at for at, effect in node.log if isinstance(effect, LaunchPod)]
    run = next(iter(node.orders))
    for minute in range(1, 13):
        node.runs(run)
        node.at += 5
        node.ends(run)
        effects = node.advance(minute * 60.0)
        (run,) = run_ids(effects)
        times = [at for at, effect in node.log if isinstance(effect, LaunchPod)]
    assert times == [minute * 60.0 for minute in range(13)]


def test_the_pod_name_follows_from_the_slot() -> None:
    """Two nodes' worth of state that saw the same slot ask for the same pod; the next slot gets another name."""
    first, second = Driver(), Driver()
    second.at = 7.0
    (order,) = [effect.order for effect in of(first.start(goal(EVERY_MINUTE)), LaunchPod)]
    (again,) = [effect.order for effect in of(second.start(goal(EVERY_MINUTE)), LaunchPod)]
    assert order == again
    first.created(order.run_id)
    first.ends(order.run_id)
    (later,) = [effect.order for effect in of(first.advance(60.0), LaunchPod)]
    assert later.pod_name != order.pod_name
    assert later.run_id != order.run_id


def test_a_run_longer_than_its_period_is_recorded_as_still_running(node: Driver) -> None:
    """A 70 s plugin serves every other minute, and each slot between is recorded with its reason or served late."""
    (run,) = run_ids(node.start(goal(EVERY_MINUTE)))
    node.created(run)
    node.runs(run)
    effects = node.advance(69.0)
    assert launches(effects) == []
    node.at = 70.0
    node.ends(run)
    effects = node.advance(85.0)
    # the slot of minute 1 is still open: launched late, 10 s after the last end
    assert launches(effects) == ["p"]
    (run,) = run_ids(effects)
    node.created(run)
    node.runs(run)
    effects = node.advance(185.0)
    assert [fields["reason"] for fields in reports(effects, "slot.missed")] == ["still running"]


def test_unknown_never_launches(node: Driver) -> None:
    """Without data a rule is neither true nor false, and nothing runs."""
    assert launches(node.start(goal(HOT))) == []
    assert node.state.rules[1].verdict is not None
    assert node.state.rules[1].verdict.value is None


def test_a_measurement_fires_the_rule_that_names_it(node: Driver) -> None:
    """The event says which condition fired and on which values."""
    node.start(goal(HOT, "schedule(q): any(v('env.x') > 30)"))
    node.at = 5.0
    assert launches(node.measure("env.t", 29.0)) == []
    effects = node.measure("env.t", 31.5)
    assert launches(effects) == ["p"]
    queued = payload(effects, "plugin.queued")
    assert queued["reason"] == "triggered by any(v('env.t') > 30)"
    assert "31.5" in queued["values"]


def test_a_flood_of_series_is_told_once() -> None:
    """A plugin that puts a counter into its meta costs one log line, and its oldest series."""
    node = Driver()
    node.state.windows = WindowStore(Limits(series_per_name=16))
    node.start(goal(HOT))
    for i in range(40):
        node.measure("env.t", 1.0, id=str(i))
    told = reports([effect for _, effect in node.log], "windows.evicted")
    assert told == [{"name": "env.t", "limit": "series_per_name", "bound": 16}]
    assert node.state.windows.counters.evicted_series == 24


def test_a_level_rule_starts_again_ten_seconds_after_the_last_end(node: Driver) -> None:
    """`True` keeps a plugin running, with a pause between two runs."""
    (run,) = run_ids(node.start(goal("schedule(p): True")))
    node.created(run)
    node.runs(run)
    node.at = 20.0
    node.ends(run)
    assert launches(node.advance(29.9)) == []
    assert launches(node.advance(30.0)) == ["p"]


def test_cooldown_keeps_a_plugin_from_starting(node: Driver) -> None:
    """`cooldown=5m` counts from the end of the run, on the boot clock."""
    (run,) = run_ids(node.start(goal("schedule(p, cooldown=5m): True")))
    node.created(run)
    node.ends(run)
    node.clock_offset_s = 3600.0
    assert launches(node.advance(299.0)) == []
    assert launches(node.advance(301.0)) == ["p"]


def test_hold_wants_the_condition_true_for_its_whole_length(node: Driver) -> None:
    """`hold=2m`: a spell of true that is interrupted starts anew."""
    node.start(goal("schedule(p, hold=2m): last(v('env.t', since='-10m')) > 30"))
    node.measure("env.t", 31.0)
    assert launches(node.advance(100.0)) == []
    node.measure("env.t", 29.0)
    node.at = 101.0
    node.measure("env.t", 32.0)
    assert launches(node.advance(220.0)) == []
    assert launches(node.advance(222.0)) == ["p"]


def test_failures_of_a_level_rule_back_off(node: Driver) -> None:
    """A plugin that always fails is launched ever less often, and success resets it."""
    (run,) = run_ids(node.start(goal("schedule(p): True")))
    starts = [0.0]
    for _ in range(5):
        node.created(run)
        node.ends(run, exit_code=7)
        before = node.at
        while True:
            effects = node.advance(node.at + 1.0)
            if launches(effects):
                break
        starts.append(node.at - before)
        (run,) = run_ids(effects)
    assert starts[1] < starts[2] < starts[3] < starts[4]
    assert starts[4] >= 80.0


def test_back_off_stays_between_ten_seconds_and_ten_minutes_and_is_spread(node: Driver) -> None:
    """Two plugins that fail together for hours are not launched together; success ends it."""
    runs = dict(zip("pq", run_ids(node.start(goal("schedule(p): True", "schedule(q): True"))), strict=True))
    pauses: dict[str, list[float]] = {"p": [], "q": []}
    ended: dict[str, float] = {}
    while len(pauses["p"]) < 9 or len(pauses["q"]) < 9:
        for name, run in runs.items():
            node.created(run)
            node.ends(run, exit_code=7)
            ended[name] = node.at
        runs.clear()
        while not runs:
            for name, run in zip(launches(effects := node.advance(node.at + 1.0)), run_ids(effects), strict=True):
                runs[name] = run
                pauses[name].append(node.at - ended[name])
    for each in pauses.values():
        assert all(10 <= pause_s <= 601 for pause_s in each), each
        assert each[8] >= 450
    assert pauses["p"] != pauses["q"]
    ((name, run),) = list(runs.items())[:1]
    node.created(run)
    node.ends(run)
    before = node.at
    while name not in launches(node.advance(node.at + 1.0)):
        pass
    assert node.at - before <= 12


def test_a_failed_cron_run_does_not_run_again_in_its_slot(node: Driver) -> None:
    """Exit 1 is one run a slot, not one a tick."""
    (run,) = run_ids(node.start(goal(EVERY_MINUTE)))
    node.created(run)
    node.at = 1.0
    node.ends(run, exit_code=1)
    assert launches(node.advance(59.9)) == []
    assert launches(node.advance(60.0)) == ["p"]


def test_one_launch_serves_all_true_rules_and_claims_all_their_slots(node: Driver) -> None:
    """Two rules for one plugin, due at once: one run; neither slot is left for later."""
    effects = node.start(goal(EVERY_MINUTE, "schedule(p): cronjob('p', '*/5 * * * *')"))
    (run,) = run_ids(effects)
    node.created(run)
    node.at = 3.0
    node.ends(run)
    assert launches(node.advance(59.0)) == []


def test_slots_passed_over_by_the_condition_are_claimed_too(node: Driver) -> None:
    """`a or b` stops at a; the slot of b is served by the same run."""
    rule = "schedule(p): cronjob('p', '* * * * *') or cronjob('p', '0 * * * *')"
    (run,) = run_ids(node.start(goal(rule)))
    node.created(run)
    node.at = 3.0
    node.ends(run)
    assert launches(node.advance(59.0)) == []


def test_two_jobs_with_one_plugin_name_do_not_touch_each_other(node: Driver) -> None:
    """The same plugin name in two jobs is two plugins."""
    first, second = goal(EVERY_MINUTE, job="1"), goal(EVERY_MINUTE, job="2", goal_id="other")
    effects = node.start(first, second)
    assert launches(effects) == ["p", "p"]
    one, two = of(effects, LaunchPod)
    assert one.order.pod_name != two.order.pod_name
    for effect in (one, two):
        node.created(effect.order.run_id)
    node.at = 5.0
    node.ends(two.order.run_id)
    assert launches(node.advance(60.0)) == ["p"]


def test_an_edit_keeps_the_slots_and_the_running_pod(node: Driver) -> None:
    """A new goal id for the same job does not run the slot twice and does not end what runs."""
    (run,) = run_ids(node.start(goal(EVERY_MINUTE, goal_id="a")))
    node.created(run)
    node.runs(run)
    node.at = 10.0
    effects = node.goals(goal(EVERY_MINUTE, "schedule(q): False", goal_id="b"))
    assert launches(effects) == []
    assert deletions(effects) == []
    assert "goal.updated" in events(effects)
    node.ends(run)
    assert launches(node.advance(59.0)) == []
    assert launches(node.advance(60.0)) == ["p"]


def test_an_edit_keeps_what_was_measured(node: Driver) -> None:
    """A rule with another threshold goes on with the samples of its window, and with how long they were observed."""
    node.start(goal("schedule(p): avg(v('env.t', since='-1h')) > 30"))
    node.measure("env.t", 25.0)
    node.at += 60
    assert launches(node.goals(goal("schedule(p): avg(v('env.t', since='-1h')) > 20", goal_id="g2"))) == ["p"]
    (rule,) = node.state.rules.values()
    (clause,) = rule.bound.clauses(node.now.ts_ns)
    assert "covers 1m of 1h" in clause.detail
    node.goals()
    assert node.state.windows.names() == frozenset()


def test_a_removed_goal_ends_its_runs_and_says_so(node: Driver) -> None:
    """Removal deletes the pod with grace and publishes the reference's reason."""
    (run,) = run_ids(node.start(goal(EVERY_MINUTE)))
    node.created(run)
    node.runs(run)
    effects = node.goals()
    assert deletions(effects) == [node.orders[run].pod_name]
    assert payload(effects, "plugin.failed")["reason"] == "Cleaning up the plugin due to deletion of the goal"
    assert "goal.removed" in events(effects)
    node.vanishes(run)
    assert node.state.runs == {}


def test_jobs_missing_from_the_first_list_after_a_reconnect_are_held(node: Driver) -> None:
    """A cloud that restarts with half its jobs must not kill what runs; ten minutes later the job goes."""
    (run,) = run_ids(node.start(goal(EVERY_MINUTE)))
    node.created(run)
    node.runs(run)
    effects = node.goals(first=True)
    assert deletions(effects) == []
    node.at = 30.0
    node.ends(run)
    assert launches(node.advance(70.0)) == []
    assert "goal.removed" not in events(node.advance(599.0))
    assert "goal.removed" in events(node.advance(601.0))


def test_a_job_that_comes_back_during_the_hold_goes_on(node: Driver) -> None:
    """The next list names the job again: nothing happened."""
    node.start(goal(EVERY_MINUTE))
    node.goals(first=True)
    node.goals(goal(EVERY_MINUTE))
    assert node.state.jobs["7"].missing_until_boot_ns is None
    assert "goal.removed" not in events(node.advance(700.0))


def test_reboot_slot_opens_once_a_boot(node: Driver) -> None:
    """`@reboot` runs once for the job's first sight under this boot; an edit does not open it again."""
    rule = "schedule(p): cronjob('p', '@reboot')"
    (run,) = run_ids(node.start(goal(rule, goal_id="a")))
    node.created(run)
    node.ends(run)
    assert launches(node.goals(goal(rule, "schedule(p): False", goal_id="b"))) == []
    assert launches(node.advance(3600.0)) == []


def test_no_slot_opens_before_the_clock_is_trusted(node: Driver) -> None:
    """A node that wakes in 1970 does not run crons until its clock is right or patience is over."""
    node.send(Booted("b1", clock_trusted=False))
    node.send(PodsListed(()))
    assert launches(node.goals(goal(EVERY_MINUTE))) == []
    assert launches(node.advance(299.0)) == []
    effects = node.advance(301.0)
    assert launches(effects) == ["p"]
    assert reports(effects, "clock.trusted")


def test_a_clock_that_steps_back_does_not_run_slots_again(node: Driver) -> None:
    """An hour back, the same fire times come again and are known to the ledger."""
    (run,) = run_ids(node.start(goal(EVERY_MINUTE)))
    node.created(run)
    node.ends(run)
    for minute in range(1, 4):
        (run,) = run_ids(node.advance(minute * 60.0))
        node.created(run)
        node.ends(run)
    node.clock_offset_s = -120.0
    effects = node.advance(185.0)
    assert reports(effects, "clock.stepped")
    assert launches(effects) == []
    assert launches(node.advance(239.0)) == []
    # wall time is now 22:02:00 + ...: minutes 2 and 3 are claimed, minute 4 is new
    assert launches(node.advance(360.0)) == ["p"]


def test_before_the_pods_are_listed_nothing_is_launched(node: Driver) -> None:
    """Until the cluster has been seen, a pod of this very slot may exist."""
    node.send(Booted("b1"))
    assert launches(node.goals(goal(EVERY_MINUTE))) == []
    assert launches(node.send(PodsListed(()))) == ["p"]


def test_a_bad_rule_does_not_lose_the_good_ones(node: Driver) -> None:
    """What is wrong is refused with its reason, the rest is in force."""
    effects = node.start(
        goal("schedule(p): cronjob('p', '* * *')", EVERY_MINUTE, "schedule(pq): True", plugins=[plugin("p")])
    )
    assert launches(effects) == ["p"]
    refused = reports(effects, "rule.refused")
    assert len(refused) == 2
    assert "did you mean p?" in refused[1]["reason"] or "no plugin 'pq'" in refused[1]["reason"]


def test_publish_acts_on_the_change_to_true_and_again_after_every(node: Driver) -> None:
    """A rain event is one message when it begins, and one each `every` while it goes on."""
    node.start(goal("publish(env.event.rain, every=60s, to=node): last(v('env.r', since='-1h')) > 1"))
    effects = node.measure("env.r", 2)
    (message,) = of(effects, Message)
    assert (message.name, message.value, message.scope) == ("env.event.rain", 1, "node")
    node.at = 1.0
    assert of(node.measure("env.r", 3), Message) == []
    assert of(node.advance(59.0), Message) == []
    assert len(of(node.advance(60.0), Message)) == 1
    node.measure("env.r", 0)
    assert of(node.advance(200.0), Message) == []
    assert len(of(node.measure("env.r", 5), Message)) == 1


def test_a_publish_rule_with_a_cron_speaks_once_a_slot(node: Driver) -> None:
    """The slot is claimed by the message, so the next minute is an edge again."""
    node.start(goal("publish(env.tick): cronjob('env.tick', '* * * * *')"))
    node.advance(300.0)
    assert len([1 for _, effect in node.log if isinstance(effect, Message) and effect.name == "env.tick"]) == 6


def test_gpu_runs_go_one_at_a_time_with_a_reason() -> None:
    """The second GPU plugin waits and says for whom."""
    node = Driver(PlanSettings(vsn="W023", policy="gpuaware"))
    gpu = {"resource.gpu": "true"}
    both = [plugin("a", selector=gpu), plugin("b", selector=gpu), plugin("c")]
    effects = node.start(goal("schedule(a): True", "schedule(b): True", "schedule(c): True", plugins=both))
    assert launches(effects) == ["a", "c"]
    (waiting,) = reports(effects, "plugin.waiting")
    assert waiting["reason"] == "waiting for GPU: held by a of job 7 since 22:00:00"
    first = run_ids(effects)[0]
    node.created(first)
    node.at = 4.0
    assert launches(node.ends(first)) == ["b"]


def test_a_waiting_cron_run_is_missed_at_its_next_slot() -> None:
    """Held by the GPU until the next slot: recorded as missed with the gate."""
    node = Driver(PlanSettings(vsn="W023", policy="roundrobin"))
    effects = node.start(goal("schedule(a): True", EVERY_MINUTE, plugins=[plugin("a"), plugin("p")]))
    assert launches(effects) == ["a"]
    effects = node.advance(60.0)
    (missed,) = reports(effects, "plugin.missed")
    assert missed["reason"].startswith("waiting for its turn: held by a of job 7")


def test_a_privileged_plugin_is_refused_with_the_setting(node: Driver) -> None:
    """Node-side admission holds the launch and names the setting."""
    effects = node.start(goal(EVERY_MINUTE, plugins=[plugin("p", volume={"/etc": "/host"}, selector={"zone": "core"})]))
    assert launches(effects) == []
    assert "refused: " in payload(effects, "plugin.failed")["reason"]


def test_goals_of_other_nodes_are_not_ours(node: Driver) -> None:
    """A sub-goal for another node is no job here; the case of the name does not matter."""
    node.start(goal(EVERY_MINUTE, node="W099"), goal(EVERY_MINUTE, job="8", node="w023"))
    assert list(node.state.jobs) == ["8"]


@pytest.mark.parametrize(("first", "second"), [("stream", "files"), ("files", "stream")])
def test_the_stream_prevails_over_files(node: Driver, first: str, second: str) -> None:
    """One job id in two sources: the stream's goal is in force, whichever came first."""
    node.start()
    rules = {"stream": "schedule(s): False", "files": "schedule(f): False"}
    node.goals(goal(rules[first]), source=first)  # type: ignore[arg-type]
    node.goals(goal(rules[second]), source=second)  # type: ignore[arg-type]
    assert list(node.state.jobs["7"].plugins) == ["s"]
