"""What was answered is kept, whatever happens to the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from edgesched.cloud import auth, tokens
from tests.cloud.api import Api, ChildCloud, Cloud, event, job_text
from tests.waiting import wait_until


def test_kill_during_200_concurrent_creates(start_child: Callable[..., ChildCloud]) -> None:
    """Every answered create exists after the restart under its id, none twice."""
    cloud = start_child()
    user = cloud.user("u", "W023")
    answered: dict[str, str] = {}
    enough = threading.Event()

    def create(number: int) -> None:
        name = f"job-{number}"
        try:
            job_id = user.create(job_text(name))
        except (urllib3.exceptions.HTTPError, AssertionError):
            return
        answered[name] = job_id
        if len(answered) >= 60:
            enough.set()

    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(create, number) for number in range(200)]
        assert enough.wait(30)
        cloud.kill()
    assert all(done.done() for done in waiting)
    assert 60 <= len(answered) < 200
    again = start_child()
    jobs = Api(again.url, user.token).get("/jobs/list").json
    names = [job["name"] for job in jobs.values()]
    assert len(names) == len(set(names))
    for name, job_id in answered.items():
        assert jobs[job_id]["name"] == name


def test_goals_are_in_force_after_a_restart(start_child: Callable[..., ChildCloud]) -> None:
    """Submitted and running jobs are streamed again with the same goal, others are not."""
    cloud = start_child()
    user = cloud.user("u", "W023")
    kept = [user.submitted(job_text("submitted")), user.submitted(job_text("running"))]
    cloud.node("W023").report("W023", event("goal.received", 1, 10, goal_id=user.goal_id(kept[1])))
    user.get(f"/jobs/{user.submitted(job_text('suspended'))}/rm?suspend=true")
    user.create(job_text("created"))
    before = user.goals("W023")
    assert [goal["name"] for goal in before] == ["submitted", "running"]
    cloud.kill()
    again = Api(start_child().url, user.token)
    assert again.goals("W023") == before
    assert again.state(kept[1]) == "Running"


def test_ids_are_never_given_twice(start_child: Callable[..., ChildCloud]) -> None:
    """Also over a restart."""
    cloud = start_child()
    user = cloud.user("u", "W023")
    first = user.create()
    cloud.stop()
    second = Api(start_child().url, user.token).create()
    assert int(second) > int(first)


def test_the_cloud_ends_with_its_parent(start_child: Callable[..., ChildCloud]) -> None:
    """A closed standard input is the parent's death."""
    cloud = start_child()
    process = cloud.embedded._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    wait_until(lambda: process.poll() is not None)
    assert process.returncode == 0


def test_a_revoked_token_stops_when_its_trust_is_over(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running cloud notices what the token command wrote."""
    monkeypatch.setattr(auth, "OWN_TRUST_S", 0.2)
    user = cloud.user("u", "W023")
    assert user.get("/token").json["user"] == "u"
    with cloud.database() as connection:
        (row,) = tokens.list_tokens(connection)
        assert tokens.revoke_token(connection, row.id, 1)
    wait_until(lambda: user.get("/token").status == 401, 15)
