"""What a watch tells, whatever order and repetition the changes come in."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesched.adapters.kube.listwatch import ListWatch, Outage, WatchTuning, serve_loops
from edgesched.adapters.kube.watch import PodSink
from edgesched.core.plan.events import PodObserved, PodsListed
from tests.unit.kube.script import Notices, Script, pod, scripted


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "DELETED"]),
            st.integers(0, 3),
        ),
        max_size=30,
    )
)
def test_repeated_changes_are_told_once_and_in_order(changes: list[tuple[str, str, int]]) -> None:
    """A watch that repeats old changes leads to the same pods as one that does not, and to no event twice."""
    told: list[Any] = []
    sink = PodSink(told.append)
    sink.listed([], "0")
    wanted: dict[str, str] = {}
    history: list[tuple[str, dict[str, Any]]] = []
    lives = dict.fromkeys("abc", 0)
    for version, (name, phase, repeats) in enumerate(changes, start=1):
        if phase == "DELETED" and name not in wanted:
            continue
        kind = "DELETED" if phase == "DELETED" else "MODIFIED" if name in wanted else "ADDED"
        if kind == "ADDED":
            lives[name] += 1
        item = pod(name, str(version), wanted.get(name, "") if kind == "DELETED" else phase, f"{name}{lives[name]}")
        if kind == "DELETED":
            del wanted[name]
        else:
            wanted[name] = phase
        history.append((kind, item))
        sink.changed(kind, item)
        for old_kind, old in history[len(history) - 1 - repeats :]:
            sink.changed(old_kind, old)
    known: dict[str, str] = {}
    for event in told[1:]:
        if event.gone:
            known.pop(event.pod.uid)
        else:
            known[event.pod.uid] = event.pod.phase
    assert isinstance(told[0], PodsListed)
    assert known == {f"{name}{lives[name]}": phase for name, phase in wanted.items()}
    assert len(told) - 1 == len(history)
    assert all(isinstance(event, PodObserved) for event in told[1:])


def test_a_defect_in_a_sink_reaches_the_supervisor() -> None:
    """An exception while a change is taken ends all loops of the source and comes out of `run`."""

    class Broken:
        def listed(self, items: list[Any], version: str) -> None:
            raise RuntimeError("a defect")

        def changed(self, kind: str, item: Any) -> None:
            raise AssertionError("never called")

    with scripted(Script()) as api:
        notices = Notices()
        loop = ListWatch(
            api, name="pods", path="/api/v1/pods", query={"labelSelector": "x"}, sink=Broken(),
            outage=Outage(notices), notice=notices, tuning=WatchTuning(),
        )  # fmt: skip
        with pytest.raises(RuntimeError, match="a defect"):
            serve_loops([loop], threading.Event(), lambda: None)
