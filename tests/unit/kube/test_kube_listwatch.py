"""List and watch against a server that misbehaves by script."""

from __future__ import annotations

import time
from typing import Any

import pytest

from edgesched.adapters.kube import KubeWatch, WatchTuning
from edgesched.core.plan.events import PodEventObserved, PodObserved, PodsListed
from tests.unit.kube.script import (
    QUICK,
    Notices,
    Script,
    cut,
    event,
    hang,
    pod,
    refuse,
    running,
    scripted,
    silence,
    watch,
)
from tests.waiting import wait_until


class Follower:
    """The events and log lines of a watch of pods."""

    def __init__(self, api: Any, tuning: WatchTuning = QUICK) -> None:
        self.events: list[Any] = []
        self.notices = Notices()
        self.source = KubeWatch(api, namespace="ses", emit=self.events.append, notice=self.notices, tuning=tuning)

    def told(self) -> list[str]:
        """Return what was told of pods, in short."""
        return [
            f"list {','.join(f'{view.name}={view.phase}' for view in each.pods)}"
            if isinstance(each, PodsListed)
            else f"{'-' if each.gone else '+'}{each.pod.name}={each.pod.phase}"
            for each in self.events
            if isinstance(each, PodsListed | PodObserved)
        ]


class PodScript(Script):
    """Scripts the pods; the collection of Events is empty and its watch silent until the server's time-out."""

    def serve(self, exchange: Any) -> None:
        """Answer for Events, leave the rest to the script."""
        if "/events" not in exchange.path:
            super().serve(exchange)
        elif "watch=1" in exchange.path:
            hang(exchange)
        else:
            exchange.reply(200, {"metadata": {"resourceVersion": "1"}, "items": []})


PATIENT = WatchTuning(timeout_s=5, silence_s=8.0, pause_first_s=0.02, pause_longest_s=0.1)


def test_changes_after_a_list_are_told_once_each() -> None:
    """The list comes first, then every change; a pod that is told again with the same or an older version is not."""
    script = PodScript()
    script.lists = [("10", [pod("a", "5", "Running")])]
    script.watches = [
        watch(
            event("MODIFIED", pod("a", "5", "Running")),
            event("ADDED", pod("b", "11")),
            event("BOOKMARK", {"metadata": {"resourceVersion": "12"}}),
            event("MODIFIED", pod("b", "13", "Running")),
            event("MODIFIED", pod("b", "11")),
            event("DELETED", pod("a", "14", "Running")),
            event("DELETED", pod("a", "14", "Running")),
            event("MODIFIED", pod("a", "13", "Running")),
            then=silence,
        )
    ]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(lambda: len(follower.told()) >= 4)
            assert follower.source.connected
        assert follower.told() == ["list a=Running", "+b=Pending", "+b=Running", "-a=Running"]


def test_a_pod_that_leaves_the_selector_may_come_back() -> None:
    """A label taken away looks like a deletion; when it is given again the same uid is told again."""
    script = PodScript()
    script.watches = [
        watch(
            event("ADDED", pod("a", "5")), event("DELETED", pod("a", "6")), event("ADDED", pod("a", "7")), then=silence
        )
    ]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(lambda: len(follower.told()) >= 4)
        assert follower.told() == ["list ", "+a=Pending", "-a=Pending", "+a=Pending"]


def test_a_watch_that_the_server_ends_goes_on_without_a_list() -> None:
    """After the server's own time-out the watch resumes from the last version, bookmarks included."""
    script = PodScript()
    script.lists = [("10", [])]
    script.watches = [
        watch(event("ADDED", pod("a", "11")), event("BOOKMARK", {"metadata": {"resourceVersion": "20"}})),
        watch(event("ADDED", pod("b", "21")), then=silence),
    ]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(lambda: len(follower.told()) >= 3)
        assert follower.told() == ["list ", "+a=Pending", "+b=Pending"]
    watches = [path for _, path in script.requests if "watch=1" in path]
    assert ["resourceVersion=10" in watches[0], "resourceVersion=20" in watches[1]] == [True, True]
    assert all("timeoutSeconds=5" in path and "allowWatchBookmarks=true" in path for path in watches)
    assert not follower.notices.named("kube.watch.lost")


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(watch(event("ERROR", {"code": 410, "reason": "Expired", "message": "too old"})), id="410 event"),
        pytest.param(refuse(410, "Expired"), id="410 status"),
        pytest.param(watch(event("ERROR", {"code": 500, "message": "etcd"})), id="500 event"),
        pytest.param(refuse(500, "InternalError"), id="500 status"),
        pytest.param(refuse(429, "TooManyRequests"), id="429"),
        pytest.param(refuse(403, "Forbidden"), id="403"),
        pytest.param(watch(b"{not json}\n"), id="no json"),
        pytest.param(watch(b'{"type":"ADDED","object":7}\n'), id="no object"),
        pytest.param(watch(b'{"type":"ADDED","object":{"metada', then=cut), id="cut in a line"),
        pytest.param(watch(b'{"type":"ADDED","object":{"metada'), id="ended in a line"),
        pytest.param(watch(then=silence), id="silence"),
        pytest.param(watch(then=cut), id="cut"),
    ],
)
def test_after_any_trouble_the_list_is_read_again(bad: Any) -> None:
    """Whatever ends a watch, what happened meanwhile is in the next list and the watch goes on from there."""
    script = PodScript()
    script.lists = [("10", [pod("a", "5", "Running")]), ("30", [pod("b", "25")])]
    script.watches = [bad, watch(event("MODIFIED", pod("b", "31", "Running")), then=silence)]
    with scripted(script) as api:
        follower = Follower(api)
        with running(follower.source):
            wait_until(lambda: len(follower.told()) >= 3)
        assert follower.told()[:3] == ["list a=Running", "list b=Pending", "+b=Running"]


def test_an_expired_version_is_told_once() -> None:
    """The log has one line for a relist, none for a lost connection."""
    script = PodScript()
    script.watches = [watch(event("ERROR", {"code": 410, "message": "too old"})), watch(then=silence)]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(lambda: len(follower.told()) >= 2)
        assert [line["reason"] for line in follower.notices.named("kube.relist")] == ["410 too old"]
        assert not follower.notices.named("kube.watch.lost")


def test_a_list_that_changes_between_its_pages_is_read_in_one() -> None:
    """A 410 for the continuation of a list starts it again without pages."""
    script = PodScript()
    first = lambda exchange: exchange.reply(  # noqa: E731
        200, {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [pod("a", "5")]}
    )
    script.lists = [first, refuse(410, "Expired"), ("10", [pod("a", "5"), pod("b", "6")])]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(follower.told)
        assert follower.told() == ["list a=Pending,b=Pending"]
    lists = [path for _, path in script.requests if "/pods" in path and "watch=1" not in path]
    assert ["limit=500" in path for path in lists] == [True, True, False]


def test_pages_are_put_together() -> None:
    """A list of several pages is one list."""
    script = PodScript()
    first = lambda exchange: exchange.reply(  # noqa: E731
        200, {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [pod("a", "5")]}
    )
    script.lists = [first, ("9", [pod("b", "6")])]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(follower.told)
        assert follower.told() == ["list a=Pending,b=Pending"]
    assert script.count("continue=more") == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refuse(503, "ServiceUnavailable"), id="503 for the list"),
        pytest.param(lambda exchange: exchange.reply(200, {"items": "none"}), id="a list that is none"),
        pytest.param(lambda exchange: exchange.reply(200, b"<html>"), id="a page instead of a list"),
    ],
)
def test_a_list_that_fails_is_never_taken_for_an_empty_one(answer: Any) -> None:
    """No answer but a list says that pods do not exist."""
    script = PodScript()
    script.lists = [answer, ("10", [pod("a", "5")])]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(follower.told)
        assert follower.told() == ["list a=Pending"]


def test_an_outage_is_two_lines_in_the_log() -> None:
    """Loss and return of a connection are logged once each, with the time in between."""
    script = PodScript()
    script.lists = [("1", []), *[refuse(503, "Away")] * 6, ("2", [])]
    script.watches = [watch(then=cut), watch(then=silence)]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(lambda: len(follower.notices.named("kube.connected")) == 2)
        lost = follower.notices.named("kube.watch.lost")
        assert [line["watch"] for line in lost] == ["pods"]
        assert lost[0]["level"] == "warning"
        assert lost[0]["retry_in_s"] <= 0.1
        assert follower.notices.named("kube.connected")[1]["away_s"] >= 0


def test_a_server_that_ends_every_watch_at_once_does_not_make_us_spin() -> None:
    """Watches of no length are opened at most about once a second."""
    script = PodScript()
    script.watches = [watch()]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            began_s = time.monotonic()
            wait_until(lambda: script.count("pods?") >= 4)
            took_s = time.monotonic() - began_s
    assert took_s >= 1.5, "the fourth request (list and three watches) came too early"


def test_a_refusing_server_is_asked_with_growing_pauses_and_little_cpu() -> None:
    """With the API refusing everything for 3 s there are few requests and next to no CPU time."""
    script = Script()
    script.lists = [refuse(503, "Away")]
    tuning = WatchTuning()
    with scripted(script) as api:
        follower = Follower(api, tuning)
        cpu_s = time.process_time()
        with running(follower.source):
            wait_until(lambda: script.count("/pods") >= 3)
        cpu_s = time.process_time() - cpu_s
    print(f"CPU of three attempts of two loops and the server: {cpu_s:.3f} s")
    assert cpu_s < 0.5


def test_stop_ends_an_open_watch_at_once() -> None:
    """A graceful stop does not wait for the server's time-out."""
    script = PodScript()
    script.watches = [watch(then=silence)]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(lambda: follower.source.connected)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 2.0


class EventScript(Script):
    """Scripts the Events; there are no pods."""

    def serve(self, exchange: Any) -> None:
        """Answer for pods, leave the rest to the script."""
        if "/pods" not in exchange.path:
            super().serve(exchange)
        elif "watch=1" in exchange.path:
            hang(exchange)
        else:
            exchange.reply(200, {"metadata": {"resourceVersion": "1"}, "items": []})


def kube_event(name: str, version: str, reason: str) -> dict[str, Any]:
    """Make an Event about pod `p`."""
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version},
        "involvedObject": {"kind": "Pod", "name": "p", "uid": "uid-p"},
        "type": "Warning",
        "reason": reason,
        "message": f"{reason} said the kubelet",
    }


def test_kubernetes_events_are_told_once_and_never_replayed() -> None:
    """Old Events of the first list and expiring ones are no news; those that came during an outage are told."""
    script = EventScript()
    script.lists = [
        ("10", [kube_event("old", "5", "Old")]),
        ("30", [kube_event("old", "5", "Old"), kube_event("late", "25", "Late"), kube_event("back", "20", "BackOff")]),
    ]
    script.watches = [
        watch(
            event("ADDED", kube_event("back", "11", "BackOff")),
            event("DELETED", kube_event("old", "12", "Old")),
            then=cut,
        ),
        watch(event("MODIFIED", kube_event("back", "31", "Again")), then=silence),
    ]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(lambda: sum(isinstance(each, PodEventObserved) for each in follower.events) >= 4)
        seen = [each for each in follower.events if isinstance(each, PodEventObserved)]
        assert [each.reason for each in seen] == ["BackOff", "BackOff", "Late", "Again"]
        assert seen[0] == PodEventObserved("p", "uid-p", "BackOff", "BackOff said the kubelet", warning=True)


def test_a_store_that_starts_anew_replays_no_events() -> None:
    """When the server comes back with lower versions its Events are older ones of another life."""
    script = EventScript()
    script.lists = [("100", []), ("5", [kube_event("old", "3", "Old")])]
    script.watches = [watch(then=cut), watch(event("ADDED", kube_event("new", "6", "New")), then=silence)]
    with scripted(script) as api:
        follower = Follower(api, PATIENT)
        with running(follower.source):
            wait_until(lambda: any(isinstance(each, PodEventObserved) for each in follower.events))
        assert [each.reason for each in follower.events if isinstance(each, PodEventObserved)] == ["New"]
