"""The goals in force."""

from __future__ import annotations

import json
from typing import Any

from edgesched.cloud.board import GoalBoard


def goal(job_id: int, *nodes: str, goal_id: str = "g") -> dict[str, Any]:
    """A goal for some nodes."""
    parts = [{"name": node, "plugins": None, "science_rules": None} for node in nodes]
    return {"id": goal_id, "job_id": str(job_id), "name": "n", "sub_goals": parts}


def test_a_node_gets_its_own_part_without_regard_to_case() -> None:
    """No node learns of the others of a job."""
    board = GoalBoard()
    board.put(1, goal(1, "W023", "W024"))
    (mine,) = board.goals("w023")
    assert [part["name"] for part in mine["sub_goals"]] == ["W023"]
    assert board.text("W099") == b"[]"


def test_changes_name_the_nodes_that_were_left_out_too() -> None:
    """A job that moves to another node is taken from the first."""
    board = GoalBoard()
    board.put(1, goal(1, "A", "B"))
    assert board.put(1, goal(1, "B", "C", goal_id="h")) == {"a", "b", "c"}
    assert board.text("a") == b"[]"
    assert board.drop(1) == {"b", "c"}
    assert board.drop(1) == set()


def test_lists_are_in_the_order_of_job_ids() -> None:
    """The order does not depend on the order of submits."""
    board = GoalBoard()
    for job_id in (10, 2, 1):
        board.put(job_id, goal(job_id, "A"))
    assert [entry["job_id"] for entry in json.loads(board.text("A"))] == ["1", "2", "10"]
