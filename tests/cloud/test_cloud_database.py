"""The database beneath the cloud: what all of them must take, and PostgreSQL that comes and goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgesched.cloud.store import open_engine
from edgesched.errors import ConfigError
from tests.cloud.api import Api, Cloud, event, job_text
from tests.cloud.postgres import PostgreSQL
from tests.waiting import wait_until


@pytest.fixture
def own_server() -> Iterator[PostgreSQL]:
    """A server that a test may crash."""
    with PostgreSQL() as server:
        yield server


@pytest.mark.parametrize("odd", ["\0", "\ud800", "é\0", "n" * 300], ids=["nul", "half", "mixed", "long"])
def test_any_text_is_stored(cloud: Cloud, odd: str) -> None:
    """A plugin's last words may hold anything: a database that refused them would hold up all that follows."""
    user = cloud.user("u", "W023", "w" * 200)
    assert user.post("/create", job_text(f"a{odd}")).status == 200
    job_id = user.submitted(job_text(nodes=("W023", "w" * 200)))
    goal_id = user.goal_id(job_id)
    run = {"goal_id": goal_id, "plugin_name": f"p{odd}", "pluginruntime_pod_instance": f"p-1{odd}"}
    node = cloud.node("W023")
    answer = node.report(
        "W023",
        event("goal.received", 1, 10, goal_id=odd),
        event("plugin.failed", 2, 11, **run, reason=f"r{odd}", error_log=f"l{odd}", k3s_pod_name=f"q{odd}"),
        {"id": f"3{odd}"[:256], "name": "a.b", "ts": 12, "val": odd, "meta": {f"k{odd}"[:60]: odd}},
        event("goal.received", 4, 13, goal_id=goal_id),
    )
    assert (answer.status, answer.json["stored"]) == (200, 4), answer.text
    assert user.state(job_id) == "Running"
    (found,) = user.get(f"/jobs/{job_id}/runs").json["runs"]
    assert (found["state"], found["log"][0]) == ("failed", "l")
    assert len(user.query(start="1970-01-01T00:00:00Z")) == 4
    for key in ("name", "vsn", "task"):
        assert user.post("/query", {"start": "-1h", "filter": {key: odd}}).status in (200, 400)


@pytest.mark.postgresql
def test_a_database_that_crashes_is_found_again(own_server: PostgreSQL, tmp_path: Path) -> None:
    """While it is away requests are answered 503 at once; afterwards all goes on, and what was answered is there."""
    cloud = Cloud(tmp_path / "cloud", {}, database_url=own_server.new_database())
    cloud.start()
    try:
        _crash_and_come_back(cloud, own_server)
    finally:
        cloud.stop()


def _crash_and_come_back(cloud: Cloud, own_server: PostgreSQL) -> None:
    user = cloud.user("u", "W023")
    kept = [user.submitted(job_text(f"job-{number}")) for number in range(3)]
    own_server.crash()
    refused = user.post("/create", job_text("lost"))
    assert (refused.status, "Retry-After" in refused.headers) == (503, True)
    assert [goal["name"] for goal in user.goals("W023")] == ["job-0", "job-1", "job-2"]
    assert cloud.anybody.request("GET", "/readyz").status == 503
    own_server.start()
    wait_until(lambda: user.post("/create", job_text("after")).status == 200, 20)
    names = [job["name"] for job in user.get("/jobs/list").json.values()]
    assert [name for name in names if name.startswith("job-")] == ["job-0", "job-1", "job-2"]
    assert "lost" not in names
    assert [user.state(job_id) for job_id in kept] == ["Submitted"] * 3


@pytest.mark.postgresql
def test_several_may_make_the_tables_at_once(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """A cloud that starts and a token command beside it; none of them fails."""
    address = postgresql.new_database()
    with ThreadPoolExecutor(8) as pool:
        engines = list(pool.map(lambda _: open_engine(tmp_path, address), range(8)))
    for engine in engines:
        engine.dispose()


@pytest.mark.postgresql
def test_tokens_are_made_beside_a_running_cloud(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """The token command finds the database by the same variable; PostgreSQL's own form of an address will do."""
    address = postgresql.new_database().replace("+psycopg", "")
    cloud = Cloud(tmp_path / "cloud", {}, database_url=address)
    cloud.start()
    try:
        command = [sys.executable, "-m", "edgesched.cli.main", "cloud", "token", "create", "--user", "theone"]
        done = subprocess.run(
            [*command, "--nodes", "W023"],
            env={"EDGESCHED_DATABASE_URL": address},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert Api(cloud.url, done.stdout.split()[-1]).submitted(job_text())
    finally:
        cloud.stop()


@pytest.mark.postgresql
def test_a_database_that_cannot_be_had_is_one_line(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """Wrong password, nobody there, no such driver: the reason, what to check, and no secret."""
    good = postgresql.new_database()
    port = good.rpartition(":")[2].partition("/")[0]
    for address, hint in (
        (good.replace("secret", "hunter2"), "check EDGESCHED_DATABASE_URL"),
        (good.replace(port, "1"), "check EDGESCHED_DATABASE_URL"),
        (good.replace("+psycopg", "+pg8000"), "install the database's driver"),
        ("nonsense", "check EDGESCHED_DATABASE_URL"),
    ):
        with pytest.raises(ConfigError) as caught:
            open_engine(tmp_path, address)
        assert caught.value.hint == hint
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)
