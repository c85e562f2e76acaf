"""What one tenant can do to another, and strangers to all: nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cloud.api import Api, Cloud, event, job_text

PRIVATE = job_text(
    "secret-job",
    email="alice@example.org",
    notificationOn=["Completed"],
    plugins=[
        {
            "name": "p",
            "pluginSpec": {
                "image": "registry.sagecontinuum.org/theone/imagesampler:0.3.0",
                "args": ["--key", "hunter2"],
                "env": {"PASSWORD": "hunter3"},
            },
        }
    ],
)


@pytest.fixture
def alice(cloud: Cloud) -> Api:
    """The owner of a job."""
    return cloud.user("alice", "W023")


@pytest.fixture
def bob(cloud: Cloud) -> Api:
    """Another user, with permission for the same node."""
    return cloud.user("bob", "W023")


@pytest.mark.parametrize(
    "path", ["/jobs/list", "/jobs/1/status", "/jobs/1/template", "/jobs/1/runs"], ids=lambda path: path.split("/")[-1]
)
def test_private_parts_are_for_the_owner(cloud: Cloud, alice: Api, bob: Api, path: str) -> None:
    """Neither strangers nor other users read e-mail, notification, env and args."""
    alice.submitted(PRIVATE)
    for api in (cloud.anybody, bob, cloud.node("W023")):
        answer = api.get(path)
        assert answer.status == 200
        for private in ("alice@example.org", "hunter2", "hunter3", "Completed"):
            assert private not in answer.text, (path, private)


def test_owner_and_superuser_see_all(cloud: Cloud, alice: Api) -> None:
    """What is kept from others is there."""
    alice.submitted(PRIVATE)
    for api in (alice, cloud.user("root", superuser=True)):
        text = api.get("/jobs/1/status").text
        assert all(private in text for private in ("alice@example.org", "hunter2", "hunter3", "Completed"))


def test_pages_and_queries_show_no_private_parts(cloud: Cloud, alice: Api) -> None:
    """Pages are for everybody, and so are records; the arguments in a node's reports are not."""
    alice.submitted(PRIVATE)
    fields = {"goal_id": alice.goal_id("1"), "plugin_name": "p", "pluginruntime_pod_instance": "p-1"}
    cloud.node("W023").report("W023", event("plugin.queued", 1, 10**18, plugin_args="--key hunter2", **fields))
    for path in ("/jobs", "/jobs/1"):
        page = cloud.anybody.request("GET", path)
        assert page.status == 200
        assert "secret-job" in page.text
        assert not any(private in page.text for private in ("alice@example.org", "hunter2", "hunter3"))
    (record,) = cloud.anybody.query(start="2000-01-01T00:00:00Z")
    assert "hunter2" not in str(record)
    assert "p-1" in record["value"]


def test_a_stranger_changes_nothing(cloud: Cloud, alice: Api) -> None:
    """Without a token there is no change of any kind."""
    job_id = alice.submitted()
    for method, path in (
        ("GET", "/create?name=x"), ("POST", "/create"), ("POST", f"/edit?id={job_id}"), ("POST", "/submit"),
        ("GET", f"/submit?id={job_id}"), ("GET", f"/jobs/{job_id}/rm?force=true"), ("POST", "/nodes/W023/events"),
        ("GET", "/token"), ("PUT", f"/jobs/{job_id}"),
    ):  # fmt: skip
        answer = cloud.anybody.request(method, f"/api/v1{path}", None if method == "GET" else "name: x")
        assert (answer.status, answer.error) == (401, "No token found"), path
    assert alice.state(job_id) == "Submitted"


@pytest.mark.parametrize("override", ["", "&override=true"])
def test_another_user_changes_nothing(alice: Api, bob: Api, override: str) -> None:
    """Edit, submit, suspend and removal of a foreign job are refused, also with override."""
    job_id = alice.submitted()
    before = alice.job(job_id)
    assert bob.post(f"/edit?id={job_id}{override}", job_text()).status == 403
    assert bob.request("PUT", f"/api/v1/jobs/{job_id}?{override}", job_text()).status == 403
    assert bob.get(f"/submit?id={job_id}{override}").status == 403
    assert bob.get(f"/submit?id={job_id}&dryrun=true{override}").status == 403
    assert bob.get(f"/jobs/{job_id}/rm?force=true{override}").status == 403
    assert bob.get(f"/jobs/{job_id}/rm?suspend=true{override}").status == 403
    assert alice.job(job_id) == before


def test_refusals_have_the_words_of_the_reference(alice: Api, bob: Api) -> None:
    """Its users know them."""
    job_id = alice.create()
    assert bob.get(f"/submit?id={job_id}").error == "User bob does not have access to the job"
    assert bob.get(f"/jobs/{job_id}/rm").error == f'user "bob" is not the owner of job "{job_id}"'
    assert (
        bob.get(f"/jobs/{job_id}/rm?override=true").error == "User bob does not have permission to override to the job"
    )


def test_superuser_acts_for_others_and_the_owner_stays(cloud: Cloud, alice: Api) -> None:
    """Only with override; the node permissions are the superuser's own."""
    job_id = alice.create()
    root = cloud.user("root", superuser=True)
    assert root.get(f"/submit?id={job_id}").status == 403
    refused = root.get(f"/submit?id={job_id}&override=true")
    assert refused.status == 400
    assert "User root does not have permission for node W023" in refused.error
    able = cloud.user("root2", "*", superuser=True)
    assert able.get(f"/submit?id={job_id}&override=true").status == 200
    assert alice.job(job_id)["user"] == "alice"


def test_permission_is_per_node(cloud: Cloud) -> None:
    """A user schedules on the nodes of the token and on no other, whatever the case of the name."""
    user = cloud.user("carol", "W023")
    assert user.post("/submit", job_text(nodes=("w023",))).status == 200
    refused = user.post("/submit", job_text(nodes=("W023", "W024")))
    assert refused.status == 400
    assert [entry["message"] for entry in refused.json["errors"]] == [
        "User carol does not have permission for node W024"
    ]


def test_a_node_is_itself_only(cloud: Cloud, alice: Api) -> None:
    """A node's token neither makes jobs nor posts another node's events; a user's token posts none."""
    node = cloud.node("W023")
    assert node.post("/create", job_text()).status == 403
    report = event("goal.received", 1, 10, goal_id="x")
    assert node.report("W024", report).status == 403
    assert alice.report("W023", report).status == 403
    assert node.report("w023", report).status == 200
    assert {record["meta"]["vsn"] for record in alice.query(start="1970-01-01T00:00:00Z")} == {"W023"}


def test_a_node_cannot_speak_for_another_in_meta(cloud: Cloud, alice: Api) -> None:
    """The vsn of a record is that of the token."""
    forged = {"id": "1", "name": "env.temperature", "ts": 5, "val": 1, "meta": {"vsn": "W999", "node": "x"}}
    cloud.node("W023").report("W023", forged)
    (record,) = alice.query(start="1970-01-01T00:00:00Z")
    assert record["meta"] == {"node": "x", "vsn": "W023"}


def test_a_node_without_the_job_moves_nothing(cloud: Cloud, alice: Api) -> None:
    """Naming a goal id does not make a job run."""
    job_id = alice.submitted()
    cloud.node("W099").report("W099", event("goal.received", 1, 10, goal_id=alice.goal_id(job_id)))
    assert alice.state(job_id) == "Submitted"


def test_goals_need_the_nodes_token_when_others_can_reach_us(start_cloud: Callable[..., Cloud]) -> None:
    """Not a user's, not another node's; a superuser may look; --open-goals serves old nodes."""
    cloud = start_cloud(host="0.0.0.0")
    user = cloud.user("alice", "W023")
    for path in ("/goals/W023", "/goals/W023/stream"):
        assert cloud.anybody.get(path).status == 401
        assert user.get(path).status == 403
        assert cloud.node("W024").get(path).status == 403
    assert cloud.node("W023").get("/goals/w023").json == []
    assert cloud.user("root", superuser=True).get("/goals/W023").status == 200
    cloud.stop()
    assert start_cloud(open_goals="true", host="0.0.0.0").anybody.get("/goals/W023").json == []


def test_bad_tokens(cloud: Cloud) -> None:
    """Other schemes, empty and unknown tokens are refused with a reason."""
    for header, error in (
        ("Bearer x", "Token is not a Sage token"), ("Sage ", "Token is not a Sage token"),
        ("sage x", "Token is not a Sage token"), ("Sage nobody", "Authentication failed: unknown token"),
    ):  # fmt: skip
        answer = cloud.anybody.request("GET", "/api/v1/jobs/list", Authorization=header)
        assert (answer.status, answer.error) == (401, error)


def test_guessing_is_slowed_down(cloud: Cloud) -> None:
    """After some failures unknown tokens are refused unseen; known ones go on."""
    good = cloud.user("alice", "W023")
    assert good.get("/jobs/list").status == 200
    answers = [Api(cloud.url, f"guess-{number}").get("/jobs/list") for number in range(30)]
    assert answers[0].status == 401
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert good.get("/jobs/list").status == 200


def test_tokens_are_neither_stored_nor_logged(cloud: Cloud, alice: Api) -> None:
    """The files of the cloud hold hashes, the log nothing."""
    alice.submitted(PRIVATE)
    Api(cloud.url, "wrong-token-value").get("/jobs/list")
    cloud.stop()
    folder = cloud.data_dir
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert alice.token.encode() not in content
    log = "\n".join(cloud.lines)
    assert not any(secret in log for secret in (alice.token, "wrong-token-value", "hunter2", "alice@example.org"))
