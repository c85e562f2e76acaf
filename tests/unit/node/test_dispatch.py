"""Effects to ports: order, retries, the gate, the outbox, the scoreboard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgesched.adapters.scoreboard import MemoryScoreboard
from edgesched.core.model import Message
from edgesched.core.plan.effects import DeletePod, Effect, FetchLog, Report, SetState
from edgesched.core.plan.events import EffectDone
from edgesched.errors import BrokerUnavailableError, KubeRefusedError, KubeUnavailableError, RefusedError
from edgesched.node import kubeworkers, outlets
from edgesched.node.dispatch import Dispatcher
from edgesched.node.supervisor import Supervisor
from tests.unit.node.fakes import Answers, FakePods, FakePublisher, Notices, launch
from tests.waiting import wait_until


class Rig:
    """A dispatcher over fakes, with its threads running."""

    def __init__(self, workers: int = 4) -> None:
        self.pods = FakePods()
        self.publisher = FakePublisher()
        self.board = MemoryScoreboard()
        self.answers = Answers()
        self.notices = Notices()
        self.sent: list[Effect] = []
        self.dispatcher = Dispatcher(
            pods=self.pods,
            publisher=self.publisher,
            scoreboard=self.board,
            answer=self.answers,
            notice=self.notices,
            workers=workers,
            sent=self.sent.append,
        )
        self.supervisor = Supervisor(self.notices)
        self.dispatcher.register(self.supervisor)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.supervisor.start()
        try:
            yield
        finally:
            self.pods.held.set()
            assert self.supervisor.stop(5)

    def dispatch(self, *effects: Effect) -> None:
        self.dispatcher.dispatch(list(effects))

    def await_done(self, *done: tuple[str, str]) -> None:
        wait_until(lambda: set(done) <= set(self.answers.done), what=str(done))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between tries."""
    monkeypatch.setattr(kubeworkers, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(kubeworkers, "RETRY_LONGEST_S", 0.05)
    monkeypatch.setattr(outlets, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(outlets, "RETRY_LONGEST_S", 0.05)


def publish(name: str) -> Message:
    """Return an effect that publishes a message of that name."""
    return Message(name, 1, 1, message_id=f"pub:{name}")


def test_a_launch_is_answered_with_the_pod() -> None:
    """The planner hears what the API answered to a create, and the hook saw the request go out."""
    rig = Rig()
    with rig.running():
        rig.dispatch(launch("a"))
        rig.await_done(("launch:a", "ok"))
    (done,) = rig.answers.events
    assert isinstance(done, EffectDone)
    assert done.pod is not None
    assert done.pod.name == "a"
    assert rig.sent == [launch("a")]


def test_requests_about_one_pod_keep_their_order() -> None:
    """A later request about a pod never overtakes an earlier one, although four workers are free."""
    rig = Rig()
    with rig.running():
        for name in "abcdefgh":
            rig.dispatch(launch(name), FetchLog(f"log:{name}", name, "p"))
        rig.await_done(*[(f"log:{name}", "ok") for name in "abcdefgh"])
    for name in "abcdefgh":
        assert [call for call in rig.pods.calls if call.endswith(f" {name}")] == [f"launch {name}", f"log {name}"]


def test_requests_about_many_pods_run_side_by_side_within_the_bound() -> None:
    """As many requests are under way as there are workers, not more."""
    rig = Rig(workers=3)
    rig.pods.held.clear()
    with rig.running():
        rig.dispatch(*[launch(f"pod-{number}") for number in range(10)])
        wait_until(lambda: len(rig.pods.calls) == 3)
        threading.Event().wait(0.05)
        assert len(rig.pods.calls) == 3
        rig.pods.held.set()
        rig.await_done(*[(f"launch:pod-{number}", "ok") for number in range(10)])


def test_a_refusal_is_answered_with_its_status() -> None:
    """What the API refuses is not tried again; the planner hears the status and the reason."""
    rig = Rig()
    rig.pods.errors = [KubeRefusedError("pods is forbidden", status=403)]
    with rig.running():
        rig.dispatch(launch("a"))
        rig.await_done(("launch:a", "refused"))
    (done,) = rig.answers.events
    assert isinstance(done, EffectDone)
    assert (done.status, done.detail) == (403, "pods is forbidden")
    assert rig.pods.calls == ["launch a"]


def test_a_defect_in_an_adapter_is_a_refusal_and_a_log_line() -> None:
    """An exception of a foreign type must not leave a run without an answer."""
    rig = Rig()
    rig.pods.errors = [KeyError("metadata")]
    with rig.running():
        rig.dispatch(launch("a"))
        rig.await_done(("launch:a", "refused"))
    assert rig.notices.named("kube.request_broken")[0]["error"] == "KeyError: 'metadata'"


@pytest.mark.usefixtures("quick")
def test_an_outage_is_told_once_and_ridden_out() -> None:
    """While the cluster is away a request is tried again and again, and told to be waiting once."""
    rig = Rig()
    rig.pods.errors = [KubeUnavailableError("connection refused")] * 8
    with rig.running():
        rig.dispatch(launch("a"))
        rig.await_done(("launch:a", "ok"))
    assert rig.answers.done == [("launch:a", "unavailable"), ("launch:a", "ok")]
    assert len(rig.pods.calls) == 9
    assert rig.notices.named("kube.back")


@pytest.mark.usefixtures("quick")
def test_one_failing_object_does_not_stop_the_others() -> None:
    """A request that the server cannot answer waits alone."""
    rig = Rig(workers=1)
    rig.pods.errors = [KubeUnavailableError("500")]
    with rig.running():
        rig.dispatch(launch("bad"), launch("good"))
        rig.await_done(("launch:bad", "ok"), ("launch:good", "ok"))
    assert rig.pods.calls == ["launch bad", "launch good", "launch bad"]


@pytest.mark.usefixtures("quick")
def test_an_outage_is_probed_by_one_request_at_a_time() -> None:
    """A hundred waiting requests do not ask a dead cluster a hundred times a round; all are served after it."""
    rig = Rig()
    rig.pods.errors = [KubeUnavailableError("away")] * 20
    with rig.running():
        rig.dispatch(*[launch(f"pod-{number}") for number in range(100)])
        rig.await_done(*[(f"launch:pod-{number}", "ok") for number in range(100)])
    assert len(rig.pods.calls) == 120
    told = [effect_id for effect_id, outcome in rig.answers.done if outcome == "unavailable"]
    assert len(told) == len(set(told)) == 100


def test_retry_after_is_obeyed_by_all_requests() -> None:
    """A server that asks for a pause gets it from every worker."""
    rig = Rig()
    rig.pods.errors = [KubeUnavailableError("too many requests", retry_after_s=0.3)]
    with rig.running():
        rig.dispatch(launch("a"))
        rig.await_done(("launch:a", "unavailable"))
        rig.dispatch(launch("b"))
        threading.Event().wait(0.15)
        assert rig.pods.calls == ["launch a"]
        rig.await_done(("launch:a", "ok"), ("launch:b", "ok"))


def test_a_delete_makes_a_waiting_create_pointless() -> None:
    """When a run ends while its create waits for the cluster, only the delete is carried out."""
    rig = Rig(workers=1)
    rig.pods.errors = [KubeUnavailableError("too many requests", retry_after_s=0.2)]
    with rig.running():
        rig.dispatch(launch("a"))
        rig.await_done(("launch:a", "unavailable"))
        rig.dispatch(DeletePod("delete:a", "a"))
        rig.await_done(("delete:a", "ok"))
        assert rig.dispatcher.kube.waiting == 0
    assert rig.pods.calls == ["launch a", "delete a"]


def test_a_create_under_way_is_followed_by_the_delete() -> None:
    """A create that may have reached the server is followed by the delete, and not repeated when it fails."""
    rig = Rig(workers=1)
    rig.pods.held.clear()
    rig.pods.errors = [KubeUnavailableError("answer lost")]
    with rig.running():
        rig.dispatch(launch("a"))
        wait_until(lambda: rig.pods.calls)
        rig.dispatch(DeletePod("delete:a", "a"))
        rig.pods.held.set()
        rig.await_done(("delete:a", "ok"))
    assert rig.pods.calls == ["launch a", "delete a"]


def test_the_same_request_is_not_queued_twice_but_a_shorter_grace_is() -> None:
    """Asking again changes nothing; a delete with another grace is another request."""
    rig = Rig(workers=1)
    rig.pods.held.clear()
    with rig.running():
        rig.dispatch(launch("first"))
        wait_until(lambda: rig.pods.calls)
        delete = DeletePod("delete:a", "a", grace_s=30)
        rig.dispatch(delete, delete, DeletePod("delete:a", "a", grace_s=0))
        assert rig.dispatcher.kube.waiting == 3
        rig.pods.held.set()
        wait_until(lambda: rig.dispatcher.kube.waiting == 0)
    assert rig.pods.calls == ["launch first", "delete a", "delete a"]


def test_too_many_waiting_requests_are_refused_deletes_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue has a bound; what frees the node passes it."""
    monkeypatch.setattr(kubeworkers, "WAITING_LIMIT", 2)
    rig = Rig()
    rig.dispatch(launch("a"), launch("b"), launch("c"), DeletePod("delete:d", "d"))
    assert rig.answers.done == [("launch:c", "refused")]
    assert rig.dispatcher.kube.waiting == 3


def test_stop_does_not_wait_for_a_cluster_that_is_away() -> None:
    """At the stop what can be done is done; what waits for an outage is left to the next start."""
    rig = Rig()
    rig.pods.errors = [KubeUnavailableError("away", retry_after_s=60)]
    with rig.running():
        rig.dispatch(launch("a"))
        rig.await_done(("launch:a", "unavailable"))
    assert rig.dispatcher.kube.waiting == 1


def test_messages_go_out_in_order() -> None:
    """The outbox keeps the order of the decisions."""
    rig = Rig()
    names = [f"m{number}" for number in range(250)]
    with rig.running():
        rig.dispatch(*[publish(name) for name in names])
        wait_until(lambda: rig.dispatcher.outbox.waiting == 0)
    assert rig.publisher.sent == names


@pytest.mark.usefixtures("quick")
def test_the_outbox_waits_for_a_broker_and_keeps_the_order() -> None:
    """Messages of an outage are sent when the broker is back, before newer ones."""
    rig = Rig()
    rig.publisher.away = BrokerUnavailableError("connection refused")
    with rig.running():
        rig.dispatch(publish("a"), publish("b"))
        wait_until(lambda: rig.publisher.tries >= 2)
        rig.dispatch(publish("c"))
        rig.publisher.away = None
        wait_until(lambda: rig.dispatcher.outbox.waiting == 0)
    assert rig.publisher.sent == ["a", "b", "c"]
    assert rig.notices.named("outbox.unavailable")[0]["waiting"] >= 1
    assert rig.notices.named("outbox.back")


def test_messages_give_way_to_a_crowd_of_launches() -> None:
    """While a full minute is launched nothing is published; what was decided is told when that is done."""
    rig = Rig()
    rig.pods.held.clear()
    pods = [f"pod-{number}" for number in range(20)]
    with rig.running():
        rig.dispatch(*[launch(name) for name in pods], publish("a"))
        wait_until(lambda: len(rig.pods.calls) == 4)
        threading.Event().wait(0.2)
        assert rig.publisher.tries == 0
        rig.pods.held.set()
        rig.await_done(("pub:a", "ok"), *[(f"launch:{name}", "ok") for name in pods])


def test_messages_do_not_give_way_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that is slow for long does not keep the world from hearing of it."""
    monkeypatch.setattr(outlets, "LONGEST_WAY_S", 0.1)
    rig = Rig()
    rig.pods.held.clear()
    with rig.running():
        rig.dispatch(*[launch(f"pod-{number}") for number in range(20)], publish("a"))
        rig.await_done(("pub:a", "ok"))
        assert rig.dispatcher.kube.crowded


def test_so_many_messages_do_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held back must not become a burst that a broker drops for a slow reader."""
    monkeypatch.setattr(outlets, "MOST_HELD", 3)
    rig = Rig()
    rig.pods.held.clear()
    with rig.running():
        rig.dispatch(*[launch(f"pod-{number}") for number in range(20)], *[publish(name) for name in "abcde"])
        rig.await_done(("pub:a", "ok"))
        assert rig.dispatcher.kube.crowded


def test_a_full_outbox_drops_the_oldest_and_counts() -> None:
    """A broker that stays away does not fill the memory."""
    answers, notices = Answers(), Notices()
    outbox = outlets.Outbox(FakePublisher(), answer=answers, notice=notices, limit=3)
    for name in "abcde":
        outbox.put(publish(name))
    assert (outbox.waiting, outbox.dropped) == (3, 2)
    assert answers.done == [("pub:a", "refused"), ("pub:b", "refused")]


def test_a_refused_batch_does_not_block_the_outbox() -> None:
    """Messages that the broker will never take are answered and left behind."""
    rig = Rig()
    rig.publisher.away = RefusedError("not allowed to publish")
    with rig.running():
        rig.dispatch(publish("a"))
        rig.await_done(("pub:a", "refused"))
        rig.publisher.away = None
        rig.dispatch(publish("b"))
        rig.await_done(("pub:b", "ok"))


def test_an_undelivered_outbox_is_told_at_the_stop() -> None:
    """A stop does not wait for a broker that is away, and says what was left."""
    rig = Rig()
    rig.publisher.away = BrokerUnavailableError("away")
    with rig.running():
        rig.dispatch(publish("a"))
        wait_until(lambda: rig.publisher.tries)
    assert rig.notices.named("outbox.undelivered")[0]["waiting"] == 1


def test_the_scoreboard_gets_the_newest_value() -> None:
    """Values that a newer one replaced before they were written are not written."""
    rig = Rig()
    rig.dispatch(SetState("s1", "k", "1"), SetState("s2", "k", "2"), SetState("s3", "other", "x"))
    assert rig.dispatcher.board.waiting == 2
    with rig.running():
        rig.await_done(("s2", "ok"), ("s3", "ok"))
    assert rig.board.values == {"k": "2", "other": "x"}


def test_a_report_is_a_log_line() -> None:
    """A decision's keys arrive as they are; those that a log line has itself are renamed."""
    rig = Rig()
    rig.dispatch(Report("plugin.queued", {"plugin": "p", "event": "x", "level": 3}, "warning"))
    assert rig.notices.lines == [("plugin.queued", "warning", {"plugin": "p", "event_": "x", "level_": 3})]
