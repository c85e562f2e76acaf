"""Contract of both servers: watches, and what is too old for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.kube.rawkube import TABLE, Json, RawKube, brief, pod


def _version(kube: RawKube, space: str) -> str:
    return kube.get(f"{space}/pods").version


def _count(wanted: int) -> Callable[[list[Json]], bool]:
    return lambda events: len(events) >= wanted


def test_a_watch_goes_on_from_a_list(kube: RawKube, space: str) -> None:
    """What happened after the list's version is sent, nothing before."""
    kube.post(f"{space}/pods", pod("before"))
    version = _version(kube, space)
    kube.post(f"{space}/pods", pod("p1"))
    kube.patch(f"{space}/pods/p1", {"metadata": {"labels": {"m": "1"}}})
    kube.delete(f"{space}/pods/p1")
    events = kube.watch(f"{space}/pods?resourceVersion={version}").until(_count(4))
    assert brief(events) == [("ADDED", "p1"), ("MODIFIED", "p1"), ("MODIFIED", "p1"), ("DELETED", "p1")]
    assert events[2]["object"]["metadata"]["deletionGracePeriodSeconds"] == 0
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))
    assert events[0]["object"]["kind"] == "Pod"


def test_a_watch_is_live(kube: RawKube, space: str) -> None:
    """An event arrives while the stream is open."""
    watch = kube.watch(f"{space}/pods?resourceVersion={_version(kube, space)}", timeout_s=10)
    maker = threading.Timer(0.3, lambda: kube.post(f"{space}/pods", pod("p1")))
    maker.start()
    start = time.monotonic()
    assert brief(watch.until(_count(1))) == [("ADDED", "p1")]
    assert time.monotonic() - start < 5
    maker.join()


@pytest.mark.parametrize("query", ["", "?resourceVersion=0"])
def test_a_watch_without_a_version_begins_with_what_is_there(kube: RawKube, space: str, query: str) -> None:
    """The present objects come as ADDED."""
    for name in ("p1", "p2"):
        kube.post(f"{space}/pods", pod(name))
    events = kube.watch(f"{space}/pods{query}").until(_count(2))
    assert sorted(brief(events)) == [("ADDED", "p1"), ("ADDED", "p2")]


def test_a_watch_sees_its_namespace_only(kube: RawKube, space: str) -> None:
    """Other namespaces make no events."""
    answer = kube.post("/api/v1/namespaces", {"metadata": {"generateName": "o-"}})
    other = f"/api/v1/namespaces/{answer.body['metadata']['name']}"
    version = _version(kube, space)
    kube.post(f"{other}/pods", pod("foreign"))
    kube.post(f"{space}/pods", pod("mine"))
    assert brief(kube.watch(f"{space}/pods?resourceVersion={version}").until(_count(1))) == [("ADDED", "mine")]


def test_a_watch_of_all_namespaces_sees_all(kube: RawKube, space: str) -> None:
    """The path without a namespace."""
    version = _version(kube, space)
    kube.post(f"{space}/pods", pod("p1"))
    path = f"/api/v1/pods?resourceVersion={version}&fieldSelector=metadata.namespace%3D{space.rpartition('/')[2]}"
    assert brief(kube.watch(path).until(_count(1))) == [("ADDED", "p1")]


def test_a_label_change_enters_and_leaves(kube: RawKube, space: str) -> None:
    """An object that begins to match is ADDED, one that ceases is DELETED with its last matching state."""
    kube.post(f"{space}/pods", pod("p1", {"app": "x"}))
    version = _version(kube, space)
    for value in ("y", "x"):
        kube.patch(f"{space}/pods/p1", {"metadata": {"labels": {"app": value}}})
    events = kube.watch(f"{space}/pods?resourceVersion={version}&labelSelector=app%3Dy").until(_count(2))
    assert brief(events) == [("ADDED", "p1"), ("DELETED", "p1")]
    assert events[1]["object"]["metadata"]["labels"] == {"app": "y"}
    newest = kube.get(f"{space}/pods/p1").version
    assert events[1]["object"]["metadata"]["resourceVersion"] == newest


def test_one_object_can_be_watched(kube: RawKube, space: str) -> None:
    """By a field selector, as kubectl does; its own path is a plain get."""
    version = _version(kube, space)
    for name in ("p1", "p2"):
        kube.post(f"{space}/pods", pod(name))
    path = f"{space}/pods?fieldSelector=metadata.name%3Dp2&resourceVersion={version}"
    assert brief(kube.watch(path).until(_count(1))) == [("ADDED", "p2")]
    assert kube.get(f"{space}/pods/p2?watch=1").body["kind"] == "Pod"


def test_a_phase_change_enters_a_field_selector(kube: RawKube, space: str) -> None:
    """Field selectors follow the status."""
    kube.post(f"{space}/pods", pod("p1"))
    version = _version(kube, space)
    kube.patch(f"{space}/pods/p1/status", {"status": {"phase": "Running"}})
    events = kube.watch(f"{space}/pods?resourceVersion={version}&fieldSelector=status.phase%3DRunning").until(_count(1))
    assert brief(events) == [("ADDED", "p1")]


def test_a_graceful_deletion_is_a_change(kube: RawKube, space: str) -> None:
    """A placed pod is MODIFIED and stays; ended with grace 0 it is MODIFIED once more, then DELETED."""
    kube.post(f"{space}/pods", pod("p1", nodeName="w1"))
    version = _version(kube, space)
    kube.delete(f"{space}/pods/p1", {"gracePeriodSeconds": 20})
    kube.delete(f"{space}/pods/p1", {"gracePeriodSeconds": 0})
    events = kube.watch(f"{space}/pods?resourceVersion={version}").until(_count(3))
    assert brief(events) == [("MODIFIED", "p1"), ("MODIFIED", "p1"), ("DELETED", "p1")]
    graces = [event["object"]["metadata"]["deletionGracePeriodSeconds"] for event in events]
    assert graces == [20, 0, 0]


def test_other_kinds_are_watched(kube: RawKube, space: str) -> None:
    """Config maps, events and leases."""
    lease_path = f"/apis/coordination.k8s.io/v1{space.removeprefix('/api/v1')}/leases"
    version = _version(kube, space)
    about = {"kind": "Pod", "name": "p", "namespace": space.rpartition("/")[2]}
    for path, body in (
        (f"{space}/configmaps", {"metadata": {"name": "x"}}),
        (f"{space}/events", {"metadata": {"name": "x"}, "involvedObject": about}),
        (lease_path, {"metadata": {"name": "x"}}),
    ):
        kube.post(path, body)
        events = kube.watch(f"{path}?resourceVersion={version}&fieldSelector=metadata.name%3Dx").until(_count(1))
        assert brief(events) == [("ADDED", "x")]


def test_the_timeout_ends_a_watch(kube: RawKube, space: str) -> None:
    """The server ends the stream properly."""
    length_s = kube.watch(f"{space}/pods?resourceVersion={_version(kube, space)}", timeout_s=1).length_s()
    assert 0.5 < length_s < 4


def test_a_bookmark_comes_before_the_end(kube: RawKube, space: str) -> None:
    """It carries a version to go on from, although no event matched."""
    kube.post(f"{space}/pods", pod("p1"))
    version = _version(kube, space)
    path = f"{space}/pods?resourceVersion={version}&allowWatchBookmarks=true&labelSelector=none%3Dx"
    watch = kube.watch(path, timeout_s=5)
    changed = kube.patch(f"{space}/pods/p1", {"metadata": {"labels": {"m": "1"}}})
    events = watch.rest()
    assert {event["type"] for event in events} == {"BOOKMARK"}
    mark = events[0]["object"]
    assert mark["kind"] == "Pod"
    assert int(mark["metadata"]["resourceVersion"]) >= int(changed.version)
    kube.patch(f"{space}/pods/p1", {"metadata": {"labels": {"m": "2"}}})
    later = kube.watch(f"{space}/pods?resourceVersion={mark['metadata']['resourceVersion']}").until(_count(1))
    assert brief(later) == [("MODIFIED", "p1")]


def test_no_bookmark_unasked(kube: RawKube, space: str) -> None:
    """A client that does not ask gets events only."""
    kube.post(f"{space}/pods", pod("p1"))
    watch = kube.watch(f"{space}/pods?resourceVersion={_version(kube, space)}", timeout_s=4)
    kube.patch(f"{space}/pods/p1", {"metadata": {"labels": {"m": "1"}}})
    assert brief(watch.rest()) == [("MODIFIED", "p1")]


def test_a_watch_of_a_version_to_come_waits(kube: RawKube, space: str) -> None:
    """No refusal, no events."""
    watch = kube.watch(f"{space}/pods?resourceVersion=99999999", timeout_s=1)
    assert (watch.status, watch.rest()) == (200, [])


def test_a_watch_of_no_version_is_refused(kube: RawKube, space: str) -> None:
    """As a list, before the stream begins."""
    assert kube.watch(f"{space}/pods?resourceVersion=abc", timeout_s=1).status == 500
    assert kube.watch(f"{space}/pods?fieldSelector=spec.foo%3D1", timeout_s=1).status == 400


def test_a_watch_can_be_a_table(kube: RawKube, space: str) -> None:
    """`kubectl get -w` gets rows."""
    version = _version(kube, space)
    kube.post(f"{space}/pods", pod("p1"))
    events = kube.watch(f"{space}/pods?resourceVersion={version}", Accept=TABLE).until(_count(1))
    table: Json = events[0]["object"]
    assert (events[0]["type"], table["kind"]) == ("ADDED", "Table")
    assert [row["cells"][:3] for row in table["rows"]] == [["p1", "0/1", "Pending"]]


def test_many_changes_arrive_in_order(kube: RawKube, space: str) -> None:
    """No event is lost or doubled over two hundred writes."""
    version = _version(kube, space)
    watch = kube.watch(f"{space}/configmaps?resourceVersion={version}&fieldSelector=metadata.name%3Dc", timeout_s=20)
    kube.post(f"{space}/configmaps", {"metadata": {"name": "c"}, "data": {"n": "0"}})
    for number in range(1, 200):
        kube.patch(f"{space}/configmaps/c", {"data": {"n": str(number)}})
    events = watch.until(_count(200))
    assert [event["object"]["data"]["n"] for event in events] == [str(number) for number in range(200)]


def test_a_version_before_a_restart_is_gone(kube: RawKube, space: str) -> None:
    """After a restart of the server, a watch from an old version gets 410 inside the stream; a new list goes on."""
    kube.post(f"{space}/pods", pod("p0"))
    version = _version(kube, space)
    kube.post(f"{space}/pods", pod("p1"))
    kube.restart()
    watch = kube.watch(f"{space}/pods?resourceVersion={version}")
    events = watch.rest()
    assert watch.status == 200
    assert [event["type"] for event in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    assert status["message"].startswith("too old resource version")
    fresh = _version(kube, space)
    kube.delete(f"{space}/pods/p1")
    assert brief(kube.watch(f"{space}/pods?resourceVersion={fresh}").until(_count(2)))[-1] == ("DELETED", "p1")
