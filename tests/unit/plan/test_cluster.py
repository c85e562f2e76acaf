"""What the cluster shows, turned into the life of runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgesched.core.model import NS_PER_S, ContainerView, Message, PodView
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.effects import FetchLog, LaunchPod
from edgesched.core.plan.events import Booted, EffectDone, PodEventObserved, PodObserved, PodsListed
from edgesched.core.plan.lifecycle import ENDED, TRANSITIONS, RunState, may_follow
from tests.unit.plan.driver import START_NS, Driver, deletions, events, goal, launches, of, payload, reports, run_ids

EVERY_MINUTE = "schedule(p): cronjob('p', '* * * * *')"


@pytest.fixture
def run(node: Driver) -> str:
    """The run of plugin p, asked for and not yet answered."""
    (run_id,) = run_ids(node.start(goal(EVERY_MINUTE)))
    return run_id


def test_the_whole_life_of_a_run_is_told_in_order(node: Driver, run: str) -> None:
    """Consumers pair launched with complete; lastexecution comes before complete, for this node only."""
    told = [*node.created(run)]
    told += node.send(PodObserved(node.pod(run, node_name="n")))
    told += node.runs(run)
    node.at = 4.0
    told += node.ends(run)
    names = [effect.name.removeprefix("sys.scheduler.status.") for effect in of(told, Message)]
    assert names == [
        "plugin.scheduled",
        "plugin.launched",
        "plugin.initializing",
        "plugin.running",
        "sys.scheduler.plugin.lastexecution",
        "plugin.complete",
    ]
    (last,) = [effect for effect in of(told, Message) if effect.name.endswith("lastexecution")]
    assert (last.scope, last.value, last.as_text) == ("node", "p", False)
    complete = payload(told, "plugin.complete")
    assert complete["k3s_pod_name"] == node.orders[run].pod_name
    assert complete["k3s_pod_instance"] == node.orders[run].instance
    assert complete["ran_s"] == 1.0


def test_a_run_never_seen_running_is_completed(node: Driver, run: str) -> None:
    """Pending to Succeeded in one step is how short plugins look."""
    node.created(run)
    effects = node.ends(run)
    assert "plugin.complete" in events(effects)
    assert "plugin.failed" not in events(effects)


def test_the_watch_may_be_faster_than_the_answer_to_the_create(node: Driver, run: str) -> None:
    """A pod seen before its create is answered is the same pod; nothing is told twice."""
    effects = node.runs(run)
    effects += node.created(run)
    assert events(effects).count("plugin.scheduled") == 1
    assert node.state.runs[run].state is RunState.RUNNING


def test_a_failure_is_told_with_exit_code_and_log(node: Driver, run: str) -> None:
    """The event waits for the last lines of the log."""
    node.created(run)
    effects = node.ends(run, exit_code=7)
    assert events(effects) == []
    (fetch,) = of(effects, FetchLog)
    effects = node.send(EffectDone(fetch.effect_id, "ok", log=("first", "last words")))
    failed = payload(effects, "plugin.failed")
    assert (failed["return_code"], failed["reason"], failed["error_log"]) == (7, "Error", "first\nlast words")


def test_a_failure_without_a_log_is_told_in_time(node: Driver, run: str) -> None:
    """When the log does not come, the failure is told without it, once."""
    node.created(run)
    node.ends(run, exit_code=7)
    effects = node.advance(11.0)
    assert payload(effects, "plugin.failed")["return_code"] == 7
    assert events(node.send(EffectDone(f"log:{run}", "ok", log=("late",)))) == []


def test_out_of_memory_of_a_child_is_reported_on_a_completed_run(node: Driver, run: str) -> None:
    """Phase Succeeded with OOMKilled happens; the run completed, and the reason says so."""
    node.created(run)
    name = node.orders[run].plugin.name
    effects = node.ends(run, container=ContainerView(name, "terminated", reason="OOMKilled", exit_code=0))
    assert payload(effects, "plugin.complete")["reason"] == "OOMKilled"


def test_an_image_that_cannot_be_pulled_waits_before_the_run_fails(node: Driver, run: str) -> None:
    """Ten minutes of patience, then a failure with the kubelet's words, and the pod goes."""
    node.created(run)
    waiting = ContainerView("p", "waiting", reason="ErrImagePull", message="not found")
    effects = node.send(PodObserved(node.pod(run, node_name="n", container=waiting)))
    assert reports(effects, "plugin.waiting")[0]["reason"] == "ErrImagePull: not found"
    back_off = replace(waiting, reason="ImagePullBackOff", message="Back-off pulling image")
    node.at = 30.0
    node.send(PodObserved(node.pod(run, node_name="n", container=back_off)))
    assert "plugin.failed" not in events(node.advance(599.0))
    effects = node.advance(601.0)
    failed = payload(effects, "plugin.failed")
    assert (failed["reason"], failed["message"]) == ("ImagePullBackOff", "Back-off pulling image")
    assert deletions(effects) == [node.orders[run].pod_name]


def test_an_image_that_appears_in_time_is_no_failure(node: Driver, run: str) -> None:
    """Patience ends with the trouble."""
    node.created(run)
    waiting = ContainerView("p", "waiting", reason="ErrImagePull")
    node.send(PodObserved(node.pod(run, node_name="n", container=waiting)))
    node.at = 300.0
    node.runs(run)
    assert "plugin.failed" not in events(node.advance(900.0))


def test_an_unschedulable_pod_times_out_with_the_scheduler_s_message(node: Driver, run: str) -> None:
    """The scheduler's own words are the reason."""
    node.created(run)
    node.send(PodObserved(node.pod(run, unschedulable="0/1 nodes are available: 1 Insufficient cpu.")))
    failed = payload(node.advance(601.0), "plugin.failed")
    assert failed["reason"] == "unschedulable"
    assert failed["message"] == "0/1 nodes are available: 1 Insufficient cpu."


def test_a_pod_deleted_from_outside_is_a_failure_with_that_reason(node: Driver, run: str) -> None:
    """`kubectl delete pod` ends the run and says who did not do it."""
    node.created(run)
    node.runs(run)
    assert payload(node.vanishes(run), "plugin.failed")["reason"] == "plugin deleted from external"


def test_a_pod_that_is_deleted_because_its_node_is_lost(node: Driver, run: str) -> None:
    """The node controller's reason and message are told, not an unknown hand."""
    node.runs(run)
    told = "Node thor which was running pod p is unresponsive"
    lost = node.pod(run, "Running", deleting=True, reason="NodeLost", message=told)
    assert "plugin.failed" not in events(node.send(PodObserved(lost)))
    failed = payload(node.send(PodObserved(lost, gone=True)), "plugin.failed")
    assert (failed["reason"], failed["message"]) == ("NodeLost", told)


def test_an_evicted_pod(node: Driver, run: str) -> None:
    """The kubelet's words are told."""
    node.runs(run)
    told = "The node was low on resource: memory."
    failed = payload(node.send(PodObserved(node.pod(run, "Failed", reason="Evicted", message=told))), "plugin.failed")
    assert (failed["reason"], failed["message"]) == ("Evicted", told)


def test_a_plugin_that_ends_because_somebody_deletes_its_pod(node: Driver, run: str) -> None:
    """Whatever code it ends with, the deletion is the reason; ending well is completed."""
    node.runs(run)
    failed = node.ends(run, exit_code=5, deleting=True)
    failed += node.send(EffectDone(f"log:{run}", "ok", log=("bye",)))
    fields = payload(failed, "plugin.failed")
    assert (fields["reason"], fields["return_code"]) == ("plugin deleted from external", 5)
    other = Driver()
    (second,) = run_ids(other.start(goal(EVERY_MINUTE)))
    assert payload(other.ends(second, deleting=True), "plugin.complete")["reason"] == "plugin deleted from external"


def test_a_pod_missing_from_a_list_is_gone(node: Driver, run: str) -> None:
    """A deletion that happened while the watch was away is found by the list."""
    node.created(run)
    node.runs(run)
    assert payload(node.send(PodsListed(())), "plugin.failed")["reason"] == "plugin deleted from external"


def test_a_create_in_flight_is_not_ended_by_a_list(node: Driver, run: str) -> None:
    """A list made before the create was answered says nothing about it."""
    assert events(node.send(PodsListed(()))) == []
    assert node.state.runs[run].state is RunState.SELECTED


def test_a_pod_that_was_made_while_the_list_was_on_its_way(node: Driver, run: str) -> None:
    """It is newer than the list, as the answer to its create says. A store that starts anew is believed, too."""
    made = node.pod(run, version=101, created_ns=node.now.ts_ns)
    node.send(EffectDone(f"launch:{run}", "ok", pod=made))
    assert "plugin.failed" not in events(node.send(PodsListed((), version=100)))
    assert node.state.runs[run].is_active
    node.at += 61
    assert payload(node.send(PodsListed((), version=3)), "plugin.failed")["reason"] == "plugin deleted from external"


def test_a_pod_that_is_missing_from_a_later_list(node: Driver, run: str) -> None:
    """It is gone, young as it is."""
    node.send(EffectDone(f"launch:{run}", "ok", pod=node.pod(run, version=101, created_ns=node.now.ts_ns)))
    assert "plugin.failed" in events(node.send(PodsListed((), version=102)))


def test_the_answer_to_a_create_that_is_slower_than_the_watch(node: Driver, run: str) -> None:
    """What the watch has told stays known."""
    node.send(PodObserved(node.pod(run, "Running", version=105)))
    node.send(EffectDone(f"launch:{run}", "ok", pod=node.pod(run, version=101)))
    known = node.state.runs[run].pod
    assert known is not None
    assert known.phase == "Running"


def test_an_ended_pod_stays_for_its_logs_and_is_then_removed(node: Driver, run: str) -> None:
    """People can read the logs for a minute."""
    node.created(run)
    node.ends(run)
    assert deletions(node.advance(59.0)) == []
    assert node.orders[run].pod_name in deletions(node.advance(61.0))
    node.vanishes(run)
    assert run not in node.state.runs


def test_duration_ends_the_plugin_with_grace_as_completed(node: Driver) -> None:
    """`duration=30s` counts from the start of the container; its end is no failure."""
    (run_id,) = run_ids(node.start(goal("schedule(p, duration=30s): cronjob('p', '*/30 * * * *')")))
    assert node.orders[run_id].duration_s == 30.0
    node.created(run_id)
    node.at = 20.0
    node.runs(run_id)
    assert deletions(node.advance(49.0)) == []
    assert deletions(node.advance(50.0)) == [node.orders[run_id].pod_name]
    effects = node.ends(run_id, exit_code=143)
    assert payload(effects, "plugin.complete")["reason"] == "duration reached"


def test_a_refused_create_fails_the_run_with_the_server_s_reason(node: Driver, run: str) -> None:
    """What the API server says is what the user reads."""
    effects = node.send(EffectDone(f"launch:{run}", "refused", "Pod is invalid: spec.x", status=422))
    assert payload(effects, "plugin.failed")["reason"] == "Pod is invalid: spec.x"
    assert run not in node.state.runs


def test_a_foreign_pod_of_our_name_gets_us_another_name(node: Driver, run: str) -> None:
    """409 from a pod that is not this run's: the same run under a new name."""
    before = node.orders[run].pod_name
    effects = node.send(EffectDone(f"launch:{run}", "refused", "exists", status=409))
    (again,) = of(effects, LaunchPod)
    assert again.order.run_id == run
    assert again.order.pod_name != before


def test_running_pods_are_adopted_after_a_restart(node: Driver, run: str) -> None:
    """A new agent finds its pod, keeps it, and does not run the slot again."""
    node.created(run)
    node.runs(run)
    pod = node.state.runs[run].pod
    assert pod is not None
    fresh = Driver()
    fresh.at = 20.0
    fresh.orders = node.orders
    fresh.send(Booted("b1"))
    effects = fresh.send(PodsListed((pod,)))
    effects += fresh.goals(goal(EVERY_MINUTE))
    assert launches(effects) == []
    assert deletions(effects) == []
    fresh.at = 25.0
    assert "plugin.complete" in events(fresh.ends(run))
    assert launches(fresh.advance(59.0)) == []
    assert launches(fresh.advance(60.0)) == ["p"]


@pytest.mark.parametrize("pods_first", [True, False])
def test_an_adopted_run_keeps_its_time_and_tells_nothing_twice(pods_first: bool) -> None:
    """What the former agent told is no news; the duration counts from the container's start, whoever came first."""
    job = goal("schedule(p, duration=60s): cronjob('p', '* * * * *')")
    former = Driver()
    (run,) = run_ids(former.start(job))
    former.created(run)
    former.runs(run)
    pod = former.state.runs[run].pod
    assert pod is not None
    fresh = Driver(at=20.0)
    fresh.send(Booted("b1"))
    if pods_first:
        effects = fresh.send(PodsListed((pod,))) + fresh.goals(job)
    else:
        effects = fresh.goals(job) + fresh.send(PodsListed((pod,)))
    # a slot that is open when the job comes is decided on before the cluster can say that it was served
    assert [name for name in events(effects) if name.startswith("plugin.")] == ([] if pods_first else ["plugin.queued"])
    assert launches(effects) == []
    assert deletions(fresh.advance(59.0)) == []
    assert deletions(fresh.advance(60.0)) == [pod.name]


def test_adopted_pods_of_a_job_that_never_comes_are_ended(node: Driver, run: str) -> None:
    """An orphan waits as long as a missing job would, then goes with grace."""
    node.created(run)
    node.runs(run)
    pod = node.state.runs[run].pod
    assert pod is not None
    fresh = Driver()
    fresh.orders = node.orders
    fresh.send(Booted("b1"))
    fresh.send(PodsListed((pod,)))
    fresh.goals()
    assert deletions(fresh.advance(599.0)) == []
    assert deletions(fresh.advance(601.0)) == [pod.name]


def test_foreign_pods_occupy_their_plugin_and_are_left_alone(node: Driver) -> None:
    """A pod with the reference's labels only holds its plugin back and is never deleted."""
    node.send(Booted("b1"))
    foreign = PodView("p-7", "u", "Running", job_id="7", plugin="p", node_name="n")
    effects = node.send(PodsListed((foreign,)))
    assert reports(effects, "pod.foreign")
    assert launches(node.goals(goal(EVERY_MINUTE))) == []
    effects = node.advance(61.0)
    assert reports(effects, "slot.missed")[0]["reason"] == "pod p-7 of another agent runs"
    assert deletions([effect for _, effect in node.log]) == []


def test_pods_of_another_agent_are_none_of_ours(node: Driver, run: str) -> None:
    """Another VSN's agent shares the namespace: its pods are not looked at."""
    other = replace(node.pod(run), agent="W099", run_id="another")
    assert node.send(PodObserved(other)) == []
    assert "another" not in node.state.runs


def test_kubernetes_events_are_passed_on_and_never_fatal(node: Driver, run: str) -> None:
    """FailedMount is often transient: told, not acted on."""
    node.created(run)
    pod = node.pod(run)
    effects = node.send(PodEventObserved(pod.name, pod.uid, "FailedMount", "not registered", warning=True))
    assert payload(effects, "plugin.event") | {"reason": "FailedMount"} == payload(effects, "plugin.event")
    assert node.state.runs[run].is_active


def test_when_the_cluster_is_away_the_run_waits_and_says_so(node: Driver, run: str) -> None:
    """The shell keeps trying; the plugin shows what it waits for, and the slot is not run twice."""
    node.send(EffectDone(f"launch:{run}", "unavailable", "connection refused"))
    assert "connection refused" in node.state.runs[run].why
    effects = node.advance(125.0)
    assert launches(effects) == []
    assert reports(effects, "slot.missed")[0]["reason"].startswith("still waiting: the cluster is away")
    node.created(run)
    assert node.state.runs[run].why == ""


def test_only_so_many_ended_pods_are_kept() -> None:
    """The oldest ended pod goes when there are too many."""
    node = Driver(PlanSettings(vsn="W023", keep_finished_pods=2, keep_finished_s=10_000.0))
    (run_id,) = run_ids(node.start(goal(EVERY_MINUTE)))
    names = []
    for minute in range(1, 4):
        names.append(node.orders[run_id].pod_name)
        node.created(run_id)
        effects = node.ends(run_id)
        (run_id,) = run_ids(node.advance(minute * 60.0))
    assert deletions(effects) == [names[0]]


def test_states_only_go_forward() -> None:
    """No end leads anywhere, and nothing leads back to waiting."""
    order = list(RunState)
    for state in RunState:
        for following in TRANSITIONS[state]:
            assert order.index(following) > order.index(state)
            assert may_follow(state, following)
    assert all(not TRANSITIONS[state] for state in ENDED)


def test_a_late_container_start_does_not_shorten_the_duration(node: Driver) -> None:
    """A container that says it started in the future has run for no time, not for a negative one."""
    (run_id,) = run_ids(node.start(goal("schedule(p, duration=30s): cronjob('p', '*/30 * * * *')")))
    container = ContainerView("p", "running", started_ns=START_NS + 500 * NS_PER_S)
    node.send(PodObserved(node.pod(run_id, "Running", node_name="n", container=container)))
    assert deletions(node.advance(29.0)) == []
    assert deletions(node.advance(30.0)) == [node.orders[run_id].pod_name]
