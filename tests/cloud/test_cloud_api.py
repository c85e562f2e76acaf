"""The job routes as clients of the reference use them."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cloud.api import TUTORIAL, Api, Cloud, event, job_text


def test_answers_are_those_of_the_reference(cloud: Cloud, theone: Api) -> None:
    """Content type, indent, order of keys and the newline at the end are what its sesctl and scripts read."""
    created = theone.post("/create", TUTORIAL)
    assert (created.status, created.content_type) == (200, "application/json")
    assert created.text == '{\n "job_id": "1",\n "job_name": "myjob",\n "state": "Created"\n}\n'
    assert created.headers["Access-Control-Allow-Origin"] == "*"
    assert theone.get("/submit?id=1&dryrun=false&override=false").text == (
        '{\n "job_id": "1",\n "state": "Submitted"\n}\n'
    )
    assert theone.get("/jobs/1/rm?force=true&override=false&suspend=false").text == (
        '{\n "job_id": "1",\n "state": "Removed"\n}\n'
    )
    ping = cloud.anybody.request("GET", "/")
    assert list(ping.json) == ["id", "version"]
    assert ping.text.endswith("}\n\n") is False
    assert ping.content_type == "application/json"


def test_job_document(theone: Api) -> None:
    """Fields, their order and what is null stand as on the wire of the reference; criteria travel in the goal."""
    job_id = theone.submitted()
    job = theone.job(job_id)
    assert list(job) == [
        "name", "job_id", "user", "plugins", "node_tags", "nodes", "science_rules", "success_criteria",
        "science_goal", "state",
    ]  # fmt: skip
    assert (job["user"], job["node_tags"], job["nodes"]) == ("theone", None, {"W023": None})
    assert job["success_criteria"] == ["WallClock(1d)"]
    goal = job["science_goal"]
    assert list(goal) == ["id", "job_id", "name", "sub_goals", "conditions"]
    assert goal["conditions"] == ["WallClock(1d)"]
    assert job["plugins"][0]["goal_id"] == goal["id"]
    (part,) = goal["sub_goals"]
    assert part["name"] == "W023"
    assert part["plugins"][0]["plugin_spec"] == {
        "image": "registry.sagecontinuum.org/theone/imagesampler:0.3.0",
        "args": ["-stream", "bottom_camera"],
    }
    assert part["science_rules"] == [{"rule": "schedule(image-sampler): cronjob('image-sampler', '* * * * *')"}]
    state = job["state"]
    assert list(state) == ["last_state", "last_updated", "last_submitted", "last_started", "last_completed"]
    assert state["last_state"] == "Submitted"
    assert state["last_updated"] == state["last_submitted"]
    assert (state["last_started"], state["last_completed"]) == (None, None)


def test_every_output_is_a_good_input(theone: Api) -> None:
    """The job document and the template, sent back, make the same job."""
    job_id = theone.submitted()
    for text in (json.dumps(theone.job(job_id)), theone.get(f"/jobs/{job_id}/template").text):
        again = theone.job(theone.create(text))
        before = theone.job(job_id)
        for key in ("name", "nodes", "science_rules", "success_criteria"):
            assert again[key] == before[key]
        assert again["plugins"][0]["plugin_spec"] == before["plugins"][0]["plugin_spec"]


def test_template_keeps_quotes_and_says_what_it_is(theone: Api) -> None:
    """YAML under a YAML content type, rules as they were written."""
    answer = theone.get(f"/jobs/{theone.create()}/template")
    assert answer.content_type.startswith("application/yaml")
    template = yaml.safe_load(answer.text)
    assert template["scienceRules"] == ["schedule(image-sampler): cronjob('image-sampler', '* * * * *')"]
    assert "volume" not in template["plugins"][0]["pluginSpec"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/create", "", 400, "the body is empty"),
        ("POST", "/create", "null", 400, "no job in the file"),
        ("POST", "/create", "hello", 400, "a job is a map"),
        ("POST", "/create", "a: [", 400, "line 1"),
        ("POST", "/create", "name: j\nnodes: [W023]", 400, "nodes must be a map"),
        ("POST", "/create", "name: j\nrules: [x]", 400, "unknown key 'rules'"),
        ("POST", "/create", b"\xff\xfe", 400, "not UTF-8"),
        ("POST", "/create", "x" * 1_100_000, 413, "larger than"),
        ("GET", "/create", None, 400, "name field is required"),
        ("POST", "/edit", "name: x", 400, "job_id is required"),
        ("POST", "/edit?id=77", "name: x", 404, 'Job ID "77" does not exist'),
        ("GET", "/submit", None, 400, "job_id is required"),
        ("GET", "/submit?id=77", None, 404, 'Job ID "77" does not exist'),
        ("GET", "/submit?id=x%00y", None, 404, "does not exist"),
        ("GET", "/submit?id=77&dryrun=", None, 400, 'strconv.ParseBool: parsing "": invalid syntax'),
        ("POST", "/submit", "", 400, "the body is empty"),
        ("GET", "/jobs/77/status", None, 404, 'Job ID "77" does not exist'),
        ("GET", "/jobs/77/rm", None, 404, 'Job ID "77" does not exist'),
        ("GET", "/nothing", None, 404, "page not found"),
        ("PUT", "/create", "x", 405, "method not allowed"),
    ],
)
def test_refusals(theone: Api, method: str, path: str, body: str | bytes | None, status: int, error: str) -> None:
    """Every refusal is an error object with the status that says whose fault it is."""
    answer = theone.request(method, f"/api/v1{path}", body)
    assert (answer.status, answer.content_type) == (status, "application/json")
    assert error in answer.error


def test_a_bad_job_names_every_place(theone: Api) -> None:
    """All faults come at once, each with line and column."""
    bad = TUTORIAL.replace("cronjob('image-sampler'", "cronjb('image-sampler'").replace("name: myjob", "nmae: myjob")
    answer = theone.post("/create", bad)
    assert answer.status == 400
    found = {(entry["code"], entry["line"]) for entry in answer.json["errors"]}
    assert ("job.key.unknown", 2) in found
    assert any(line == 13 for _, line in found), found
    assert "did you mean" in answer.text


def test_a_draft_may_be_incomplete_and_a_submit_may_not(theone: Api) -> None:
    """A job without nodes and plugins can be kept, not sent; the answer warns."""
    created = theone.post("/create", "name: draft")
    assert created.status == 200
    assert {"job.nodes.none", "job.plugins.none"} <= {entry["code"] for entry in created.json["warnings"]}
    refused = theone.get(f"/submit?id={created.json['job_id']}")
    assert refused.status == 400
    assert theone.state(created.json["job_id"]) == "Created"


def test_submitted_upload(theone: Api) -> None:
    """POST submit stores and sends; with dryrun it does neither; a bad one says how to go on."""
    dry = theone.post("/submit?dryrun=true", TUTORIAL)
    assert dry.json == {"dryrun": True, "job_name": "myjob"}
    assert theone.get("/jobs/list").json == {}
    answer = theone.post("/submit", TUTORIAL)
    assert answer.json == {"job_id": "1", "job_name": "myjob", "state": "Submitted"}
    refused = theone.post("/submit", TUTORIAL.replace("W023", "W099"))
    assert refused.json["error"].endswith("User theone does not have permission for node W099]")
    assert refused.json["message"] == "validation failed. Please revise the job and try again."
    assert refused.json["job_name"] == "myjob"


def test_dry_run_of_a_stored_job_changes_nothing(theone: Api) -> None:
    """Neither the state nor the goal in force."""
    job_id = theone.submitted()
    before, goals = theone.job(job_id), theone.goals("W023")
    assert theone.get(f"/submit?id={job_id}&dryrun=true").json == {"dryrun": True, "job_id": job_id}
    assert theone.job(job_id) == before
    assert theone.goals("W023") == goals


def test_each_submit_is_a_new_goal(theone: Api) -> None:
    """Old nodes compare ids only."""
    job_id = theone.submitted()
    first = theone.goal_id(job_id)
    theone.get(f"/submit?id={job_id}")
    assert theone.goal_id(job_id) != first


def test_no_key_of_the_server_is_taken_from_a_user(theone: Api) -> None:
    """A foreign goal, state, owner or id in an upload has no effect."""
    other = theone.submitted()
    stolen = theone.goal_id(other)
    forged = json.loads(job_text("forged"))
    forged |= {
        "job_id": other,
        "user": "root",
        "science_goal": {"id": stolen, "job_id": other},
        "state": {"last_state": "Running", "last_started": "2020-01-01T00:00:00Z"},
    }
    job_id = theone.create(json.dumps(forged))
    job = theone.job(job_id)
    assert job_id != other
    assert job["user"] == "theone"
    assert "science_goal" not in job
    assert (job["state"]["last_state"], job["state"]["last_started"]) == ("Created", None)
    theone.get(f"/jobs/{job_id}/rm")
    assert theone.goal_id(other) == stolen
    assert len(theone.goals("W023")) == 1


def test_list_of_jobs(cloud: Cloud, theone: Api) -> None:
    """One's own with a token, everybody's without; removed ones stay."""
    theone.create()
    bob = cloud.user("bob", "W023")
    bob.create(job_text("bobs"))
    theone.get("/jobs/1/rm")
    assert list(theone.get("/jobs/list").json) == ["1"]
    assert list(cloud.anybody.get("/jobs/list").json) == ["1", "2"]


def test_removal_of_a_running_job(cloud: Cloud, theone: Api) -> None:
    """A refused removal is no success, with the words of the reference."""
    job_id = theone.submitted()
    cloud.node("W023").report("W023", event("goal.received", 1, 10, goal_id=theone.goal_id(job_id)))
    refused = theone.get(f"/jobs/{job_id}/rm?force=false")
    assert refused.status == 409
    expected = f'Failed to remove job "{job_id}" as it is in running state. Suspend it first or specify force=true'
    assert refused.error == expected
    assert theone.get(f"/jobs/{job_id}/rm?force=true").json == {"job_id": job_id, "state": "Removed"}
    assert theone.goals("W023") == []


def test_suspend_and_submit_again(theone: Api) -> None:
    """A suspended job leaves its nodes and can come back."""
    job_id = theone.submitted()
    assert theone.get(f"/jobs/{job_id}/rm?suspend=true").json == {"job_id": job_id, "state": "Suspended"}
    assert theone.goals("W023") == []
    assert theone.get(f"/submit?id={job_id}").status == 200
    assert len(theone.goals("W023")) == 1


def test_preflight_of_browsers(cloud: Cloud) -> None:
    """A page may send a JSON query with a token."""
    answer = cloud.anybody.request("OPTIONS", "/api/v1/query", Origin="https://x", Access_Control_Request_Method="POST")
    assert answer.status == 204
    assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_numbers_for_prometheus(cloud: Cloud, theone: Api) -> None:
    """The reference's gauges count jobs by what they sum up to."""
    theone.create()
    theone.submitted()
    text = cloud.anybody.request("GET", "/metrics").text
    assert "scheduler_jobs_total 2" in text
    assert 'scheduler_jobs_count{status="submitted"} 2' in text
