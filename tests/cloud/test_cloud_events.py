"""What nodes report, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cloud.api import Api, Cloud, event, job_text

T0 = 1_790_000_000_000_000_000
SECOND = 1_000_000_000


def run_event(name: str, number: int, ts_ns: int, goal_id: str, **more: Any) -> dict[str, Any]:
    """An event of the run `p-abc`."""
    fields = {"goal_id": goal_id, "plugin_name": "p", "pluginruntime_pod_instance": "p-abc", **more}
    return event(f"plugin.{name}", number, ts_ns, **fields)


def test_a_job_runs_when_the_first_node_has_it(cloud: Cloud, theone: Api) -> None:
    """And its start stays that of the first report."""
    job_id = theone.submitted()
    node = cloud.node("W023")
    goal_id = theone.goal_id(job_id)
    node.report("W023", event("goal.received", 1, T0, goal_id=goal_id, goal_name="myjob"))
    started = theone.job(job_id)["state"]["last_started"]
    assert theone.state(job_id) == "Running"
    node.report("W023", event("goal.updated", 2, T0 + SECOND, goal_id=goal_id))
    assert theone.job(job_id)["state"]["last_started"] == started


def test_a_job_is_completed_when_every_node_met_its_criteria(cloud: Cloud) -> None:
    """One of two is not enough; a completed job leaves its nodes."""
    user = cloud.user("u", "A", "B")
    job_id = user.submitted(job_text(nodes=("A", "B")))
    goal_id = user.goal_id(job_id)
    nodes = {vsn: cloud.node(vsn) for vsn in "AB"}
    for number, vsn in enumerate("AB"):
        nodes[vsn].report(vsn, event("goal.received", number, T0, goal_id=goal_id))
    nodes["A"].report("A", event("goal.completed", 10, T0 + 1, goal_id=goal_id, criterion="WallClock(90s)"))
    assert user.state(job_id) == "Running"
    assert [entry["state"] for entry in user.get(f"/jobs/{job_id}/runs").json["nodes"]] == ["completed", "received"]
    nodes["B"].report("B", event("goal.completed", 11, T0 + 2, goal_id=goal_id))
    assert user.state(job_id) == "Completed"
    assert user.job(job_id)["state"]["last_completed"]
    assert user.goals("A") == user.goals("B") == []


def test_reports_of_an_older_goal_do_not_move_the_job(cloud: Cloud, theone: Api) -> None:
    """A late report about the goal before the last submit is history."""
    job_id = theone.submitted()
    old = theone.goal_id(job_id)
    theone.get(f"/submit?id={job_id}")
    cloud.node("W023").report("W023", event("goal.received", 1, T0, goal_id=old))
    assert theone.state(job_id) == "Submitted"


def test_a_repeated_batch_adds_nothing(cloud: Cloud, theone: Api) -> None:
    """The answer was lost, the node sends again: no record and no run twice."""
    goal_id = theone.goal_id(theone.submitted())
    node = cloud.node("W023")
    batch = [run_event("queued", 1, T0, goal_id), {"id": "2", "name": "env.temperature", "ts": T0, "val": 21.5}]
    assert node.report("W023", *batch).json == {"received": 2, "stored": 2}
    assert node.report("W023", *batch, *batch).json == {"received": 4, "stored": 0}
    assert len(theone.query(start="2000-01-01T00:00:00Z")) == 2


def test_a_node_that_lost_its_state_is_heard(cloud: Cloud, theone: Api) -> None:
    """The same id with another time is another message."""
    node = cloud.node("W023")
    for ts_ns in (T0, T0 + 1):
        node.report("W023", {"id": "W023-1", "name": "a.b", "ts": ts_ns, "val": 1})
    assert len(theone.query(start="2000-01-01T00:00:00Z")) == 2


def test_a_run_from_queue_to_failure(cloud: Cloud, theone: Api) -> None:
    """Its times, pod, exit code, reason and log lines are kept."""
    job_id = theone.submitted()
    goal_id = theone.goal_id(job_id)
    end = {"reason": "Error", "return_code": 3, "error_log": "line one\nline two", "k3s_pod_name": "p-1"}
    cloud.node("W023").report(
        "W023",
        run_event("queued", 1, T0, goal_id),
        run_event("scheduled", 2, T0 + 1 * SECOND, goal_id),
        run_event("launched", 3, T0 + 1 * SECOND, goal_id),
        run_event("running", 4, T0 + 2 * SECOND, goal_id),
        run_event("failed", 5, T0 + 5 * SECOND, goal_id, **end),
    )
    (run,) = theone.get(f"/jobs/{job_id}/runs").json["runs"]
    assert run == {
        "vsn": "W023",
        "plugin": "p",
        "run": "p-abc",
        "state": "failed",
        "reason": "Error",
        "pod": "p-1",
        "queued": "2026-09-21T14:13:20Z",
        "started": "2026-09-21T14:13:22Z",
        "ended": "2026-09-21T14:13:25Z",
        "exit_code": 3,
        "log": "line one\nline two",
    }


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_reports_in_any_order_give_the_same_run(cloud: Cloud, theone: Api, order: tuple[int, ...]) -> None:
    """A late report fills in its time and does not take the run back."""
    job_id = theone.submitted()
    goal_id = theone.goal_id(job_id)
    reports = [
        run_event("queued", 1, T0, goal_id),
        run_event("running", 2, T0 + SECOND, goal_id),
        run_event("complete", 3, T0 + 9 * SECOND, goal_id),
    ]
    node = cloud.node("W023")
    for index in order:
        node.report("W023", reports[index])
    (run,) = theone.get(f"/jobs/{job_id}/runs").json["runs"]
    assert (run["state"], run["queued"][-3:], run["started"][-3:], run["ended"][-3:]) == (
        "completed", "20Z", "21Z", "29Z",
    )  # fmt: skip


def test_what_is_no_message_is_named_and_the_rest_is_stored(cloud: Cloud, theone: Api) -> None:
    """One broken message does not lose its neighbours."""
    broken: list[Any] = [
        5,
        {"name": "a b", "ts": 1, "val": 1},
        {"name": "a", "ts": "1", "val": 1},
        {"name": "a", "ts": 1},
        {"name": "a", "ts": 1, "val": 1, "meta": {"k": 1}},
        {"name": "a", "ts": 1, "val": "x" * 70_000},
        {"name": "a", "ts": 1, "val": 1, "id": 5},
        {"name": "a", "ts": -1, "val": 1},
    ]
    answer = cloud.node("W023").report("W023", *broken, {"id": "9", "name": "good", "ts": 1, "val": 1})
    assert answer.status == 200
    assert answer.json["stored"] == 1
    assert [entry["index"] for entry in answer.json["refused"]] == list(range(len(broken)))
    assert [record["name"] for record in theone.query(start="1970-01-01T00:00:00Z")] == ["good"]


@pytest.mark.parametrize("value", ["text", "[1]", "{", json.dumps({"goal_id": 5}), json.dumps({"goal_id": "x" * 999})])
def test_odd_values_of_scheduler_events_move_nothing(cloud: Cloud, theone: Api, value: str) -> None:
    """The reference's cloud process dies of some of these."""
    job_id = theone.submitted()
    message = {"id": "1", "name": "sys.scheduler.status.goal.received", "ts": T0, "val": value}
    assert cloud.node("W023").report("W023", message, {**message, "id": "2", "val": None}).status == 200
    assert theone.state(job_id) == "Submitted"


def test_messages_of_scope_node_stay_there(cloud: Cloud, theone: Api) -> None:
    """They are taken and not stored."""
    message = {"id": "1", "name": "sys.scheduler.plugin.lastexecution", "ts": T0, "val": "p", "scope": "node"}
    assert cloud.node("W023").report("W023", message).json == {"received": 1, "stored": 0}
    assert theone.query(start="1970-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("body", "status"), [("", 400), ("{}", 400), ("[NaN]", 400), ("[" * 5000, 400), ("x" * 5_000_000, 413)]
)
def test_what_is_no_batch(cloud: Cloud, body: str, status: int) -> None:
    """A body that is no list is refused as a whole."""
    assert cloud.node("W023").post("/nodes/W023/events", body).status == status


def test_nodes_are_listed_with_what_is_known(start_cloud: Callable[..., Cloud], strict_cloud: Cloud) -> None:
    """Sensors and tags from the manifests, last report, goals, and where the caller may schedule."""
    user = strict_cloud.user("u", "W023")
    strict_cloud.node("W777").report("W777", {"id": "1", "name": "a", "ts": 1, "val": 1})
    rows = {row["vsn"]: row for row in user.get("/nodes").json}
    assert list(rows) == ["V010", "W023", "W024", "W777"]
    assert rows["W023"]["sensors"] == ["bottom_camera", "top_camera", "bme280"]
    assert (rows["W023"]["may_schedule"], rows["W024"]["may_schedule"]) == (True, False)
    assert rows["W777"]["last_heard"]
    assert "may_schedule" not in strict_cloud.anybody.get("/nodes").json[0]
