"""`sesctl` against our cloud and against a cloud of the reference; output compared with files."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from edgesched.cli import sesctl, sesctl_http
from tests.cloud.api import TUTORIAL, Api, Cloud, event, job_text
from tests.cloud.endpoints import Endpoints
from tests.unit.cloud.rawhttp import RawServer

EXPECTED = Path(__file__).parent / "expected"
WILD = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "GOAL"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,9})? \+0000 UTC", "TIME"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", "TIME"),
    (r'"version": "[0-9.]+"', '"version": "VERSION"'),
)


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def plain(self) -> str:
        """The output with ids and times replaced by words."""
        text = self.out
        for pattern, word in WILD:
            text = re.sub(pattern, word, text)
        return text


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs `sesctl` in this process, as a user of the fixture `cloud`'s kind."""

    def run(api: Api, *arguments: str) -> Ran:
        monkeypatch.setenv("SES_HOST", api.url)
        monkeypatch.setenv("SES_USER_TOKEN", api.token)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = sesctl.main(arguments)
            except SystemExit as end:
                code = int(end.code or 0)
        return Ran(code, out.getvalue(), err.getvalue())

    return run


def expected(name: str) -> str:
    """The content of a file of expected output."""
    return (EXPECTED / f"{name}.txt").read_text(encoding="utf-8")


def test_every_step_of_the_tutorial(cloud: Cloud, theone: Api, run: Callable[..., Ran], tmp_path: Path) -> None:
    """From ping to removal, each output is the file's."""
    job = tmp_path / "myjob.yaml"
    job.write_text(TUTORIAL, encoding="utf-8")
    steps = [
        ("ping", ["ping"]),
        ("create", ["create", "--file-path", str(job)]),
        ("stat", ["stat"]),
        ("submit", ["submit", "--job-id", "1"]),
        ("stat-job", ["stat", "--job-id", "1"]),
        ("rm", ["rm", "--force", "1"]),
        ("stat-empty", ["stat"]),
        ("stat-all", ["stat", "-A"]),
        ("stat-removed", ["stat", "-j", "1"]),
    ]
    for name, arguments in steps:
        ran = run(theone, *arguments)
        assert (ran.code, ran.err) == (0, ""), name
        assert ran.plain == expected(name), name


def test_jobs_are_listed_by_number_with_their_age(cloud: Cloud, theone: Api, run: Callable[..., Ran]) -> None:
    """Ten comes after nine; only running jobs have an age; names are shown safely."""
    for number in range(1, 11):
        theone.create(job_text(f"job-{number}" if number < 10 else "\u001b[31mred"))
    running = theone.submitted(job_text("eleven"))
    cloud.node("W023").report("W023", event("goal.received", 1, 1, goal_id=theone.goal_id(running)))
    lines = run(theone, "stat").out.splitlines()
    assert [line.split()[0] for line in lines] == ["JOB_ID", *map(str, range(1, 12))]
    assert lines[10].split()[1] == "\\x1b[31mred"
    assert re.fullmatch(r"11     eleven +theone Running \d+s", lines[11]), lines[11]
    assert lines[1].endswith("Created -")


def test_logs_nodes_and_token(strict_cloud: Cloud, run: Callable[..., Ran]) -> None:
    """What our `sesctl` adds."""
    user = strict_cloud.user("u", "W023")
    job_id = user.submitted(job_text("j"))
    assert run(user, "logs", job_id).out == f"job {job_id} has no runs yet\n"
    fields = {"goal_id": user.goal_id(job_id), "plugin_name": "p", "pluginruntime_pod_instance": "p-1"}
    end = {"reason": "Error", "return_code": 3, "error_log": "one\ntwo\x1b[0m", "k3s_pod_name": "p-abc"}
    t0 = 1_790_000_000_000_000_000
    strict_cloud.node("W023").report(
        "W023", event("plugin.queued", 1, t0, **fields), event("plugin.failed", 2, t0 + 10**9, **fields, **end)
    )
    assert run(user, "logs", job_id).out == expected("logs")
    table = run(user, "nodes").out.splitlines()
    assert table[0].split() == ["VSN", "SCHEDULE", "GOALS", "HEARD", "TAGS", "SENSORS"]
    assert re.fullmatch(r"W023 +yes +1 +\d+s +camera,urban +bottom_camera,top_camera,bme280", table[2]), table[2]
    assert run(user, "token").out == "user u may schedule on W023\n"
    assert json.loads(run(user, "--json", "token").out)["user"] == "u"
    assert json.loads(run(user, "nodes", "--json").out)[1]["vsn"] == "W023"


def test_json_is_the_servers_document(theone: Api, run: Callable[..., Ran]) -> None:
    """One document on stdout, wherever the flag stands."""
    job_id = theone.submitted()
    assert json.loads(run(theone, "stat", "--json").out) == theone.get("/jobs/list").json
    assert json.loads(run(theone, "--json", "stat", "-j", job_id).out) == theone.job(job_id)


def test_a_saved_job_can_be_submitted_again(theone: Api, run: Callable[..., Ran], tmp_path: Path) -> None:
    """`stat -o` writes what `submit -f` takes."""
    job_id, file = theone.submitted(), tmp_path / "saved.json"
    assert run(theone, "stat", "-j", job_id, "-o", str(file)).out == ""
    ran = run(theone, "submit", "-f", str(file))
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["state"] == "Submitted"


def test_a_refusal_is_one_line_and_code_1(cloud: Cloud, theone: Api, run: Callable[..., Ran], tmp_path: Path) -> None:
    """Whatever goes wrong at the server: its reason, no usage, no traceback, nothing on stdout."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: j\nplugin: []\n", encoding="utf-8")
    job_id = theone.submitted()
    cloud.node("W023").report("W023", event("goal.received", 1, 1, goal_id=theone.goal_id(job_id)))
    for arguments, reason in (
        (["rm", job_id], "409 Conflict: Failed to remove job"),
        (["submit", "-j", "77"], '404 Not Found: Job ID "77" does not exist'),
        (["create", "-f", str(bad)], "line 2, column 1: unknown key 'plugin'"),
        (["create", "-f", str(tmp_path / "none.yaml")], "No such file"),
        (["stat", "-j", "a/../b"], "does not exist"),
    ):
        ran = run(theone, *arguments)
        assert (ran.code, ran.out) == (1, ""), arguments
        assert reason in ran.err
        assert len(ran.err.splitlines()) == 1
    stranger = run(Api(cloud.url, "nobody"), "stat")
    reason = "401 Unauthorized: Authentication failed: unknown token (check SES_USER_TOKEN)"
    assert (stranger.code, stranger.err) == (1, f"sesctl: {reason}\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["create"], "Please specify job name"),
        (["edit", "1"], "Interactive job editing is not supported"),
        (["edit"], "JOB_ID"),
        (["rm"], "JOB_ID"),
        (["submit"], "Either --job-id or --file-path should be provided."),
        (["stat", "-o", "x"], "--out needs --job-id"),
        (["stat", "--watch", "0"], "seconds"),
        (["nothing"], "invalid choice"),
        (["ping", "--wrong"], "--wrong"),
    ],
)
def test_wrong_usage_is_code_2_with_the_usage(
    theone: Api, run: Callable[..., Ran], arguments: list[str], reason: str
) -> None:
    """Usage is for usage errors only."""
    ran = run(theone, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "usage: sesctl" in ran.err
    assert reason in ran.err


def test_nobody_there(run: Callable[..., Ran]) -> None:
    """A cloud that is away, and an address that is none."""
    with Endpoints({}) as gone:
        url = gone.url
    away = run(Api(url), "ping")
    assert (away.code, away.out) == (1, "")
    assert "refused" in away.err.lower()
    assert "SES_HOST" in away.err
    assert run(Api("es.example.org"), "ping").err == (
        "sesctl: 'es.example.org' is no address (write http://HOST:PORT or https://HOST)\n"
    )


def test_a_server_that_hangs(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request has a time-out, and its end is one line."""
    monkeypatch.setattr(sesctl_http, "TIMEOUT", urllib3.Timeout(connect=5, read=0.3))
    with RawServer(lambda connection, head: None) as server:
        for arguments in (["ping"], ["stat"], ["rm", "1"]):
            ran = run(Api(server.url), *arguments)
            assert (ran.code, ran.out, ran.err) == (1, "", f"sesctl: {server.url} does not answer in time\n")


def test_a_cloud_of_the_reference(run: Callable[..., Ran]) -> None:
    """Its paths and queries, keys in order; its refusal with status 200 is a refusal; its odd times are read."""
    state = {
        "last_state": "Running",
        "last_updated": "2026-11-22T10:58:51.124638418Z",
        "last_submitted": "2026-11-22T10:58:51.1Z",
        "last_started": "0001-01-01T00:00:00Z",
        "last_completed": None,
    }
    goal = {"id": "10b9e74e", "sub_goals": [{"name": "W023"}]}
    job = {
        "name": "myjob", "job_id": "1", "user": "alice", "email": "user@example.org",
        "notification_on": ["Running", "Completed"], "science_goal": goal, "state": state,
    }  # fmt: skip
    refused = {"error": 'Failed to remove job "1" as it is in running state.', "job_id": "1"}
    answers = {
        "/": {"id": "Cloud Scheduler (x)", "version": "0.18.0"},
        "/api/v1/create?name=a+job+%26+more": {"job_id": "1", "job_name": "a job & more", "state": "Created"},
        "/api/v1/submit?dryrun=true&id=1&override=false": {"dryrun": True, "job_id": "1"},
        "/api/v1/jobs/1/rm?force=false&override=false&suspend=false": refused,
        "/api/v1/jobs/1/status": job,
    }
    with Endpoints(answers) as reference:
        api = Api(reference.url, "token")
        assert run(api, "ping").out == '{\n "id": "Cloud Scheduler (x)",\n "version": "0.18.0"\n}\n'
        assert '"job_name": "a job \\u0026 more"' in run(api, "create", "a job & more").out
        assert run(api, "submit", "-j", "1", "--dry-run").code == 0
        removal = run(api, "rm", "1")
        assert (removal.code, removal.out) == (1, "")
        assert "Failed to remove job" in removal.err
        assert run(api, "stat", "-j", "1").out == expected("stat-reference")
        assert {token for _, token in reference.asked} == {"Sage token"}


@pytest.mark.parametrize(
    "document", [[], "x", 5, {"1": 5}, {"1": {"state": []}}, {"1": {"name": {}, "state": {"last_state": 1}}}]
)
def test_odd_answers_are_no_crash(run: Callable[..., Ran], document: object) -> None:
    """A server that speaks another language gets one line or a plain table."""
    answers = {"/api/v1/jobs/list": document, "/api/v1/jobs/1/status": document, "/api/v1/nodes": document}
    with Endpoints(answers) as odd:
        for arguments in (["stat"], ["stat", "-j", "1"], ["nodes"]):
            ran = run(Api(odd.url), *arguments)
            assert ran.code in (0, 1)
            assert "Traceback" not in ran.err


def test_watch_goes_on_until_it_is_stopped(theone: Api) -> None:
    """The list comes again and again; it is a child so that it can be interrupted."""
    import os
    import signal
    import subprocess

    from tests.waiting import wait_until

    environment = {**os.environ, "SES_HOST": theone.url, "SES_USER_TOKEN": theone.token, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "edgesched.cli.sesctl", "stat", "--watch", "0.2"]
    seen: list[str] = []

    # a shell starts what it puts into the background with Ctrl-C ignored, and so these tests, and so their children
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        signal.signal(signal.SIGINT, before)
        assert child.stdout is not None

        def heads() -> int:
            assert child.stdout is not None
            seen.append(child.stdout.readline())
            return sum(line.startswith("JOB_ID") for line in seen)

        wait_until(lambda: heads() >= 3, 20)
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
