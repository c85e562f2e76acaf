"""Jobs against what exists: plugins, nodes, architectures, sensors, permissions of an auth server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edgesched.errors import ConfigError
from tests.cloud.api import Api, Cloud, job_text
from tests.cloud.conftest import CATALOGUE
from tests.cloud.endpoints import Endpoints

IMAGE = "registry.sagecontinuum.org/theone/imagesampler:0.3.0"


def job_with(image: str = IMAGE, *args: str, **more: Any) -> str:
    """A job of one plugin."""
    spec = {"image": image, "args": list(args)}
    return job_text(plugins=[{"name": "p", "pluginSpec": spec}], **more)


def errors(api: Api, job: str) -> list[tuple[str, str]]:
    """Codes and messages of a refused submit."""
    answer = api.post("/submit", job)
    assert answer.status == 400, answer.text
    return [(entry["code"], entry["message"]) for entry in answer.json["errors"]]


@pytest.fixture
def user(strict_cloud: Cloud) -> Api:
    """A user who may schedule anywhere."""
    return strict_cloud.user("u", "*")


def test_an_unknown_node_is_refused_with_a_guess(user: Api) -> None:
    """The words are the reference's, the place and the guess are ours."""
    answer = user.post("/submit", job_with(nodes={"W203": None}))
    (error,) = answer.json["errors"]
    assert (error["code"], error["message"]) == ("node.unknown", "W203 does not exist")
    assert "did you mean W023?" in error["hint"]
    assert error["line"] == 1


def test_a_node_is_found_whatever_its_case(user: Api) -> None:
    """The goal has the name of the manifest."""
    job_id = user.submitted(job_with(nodes={"w023": None}))
    assert [part["name"] for part in user.job(job_id)["science_goal"]["sub_goals"]] == ["W023"]


@pytest.mark.parametrize(
    "image",
    [
        "registry.sagecontinuum.org/theone/nothing:1.0.0",
        "registry.sagecontinuum.org/theone/imagesampler:9.9.9",
        "evil.example.com/x/theone/imagesampler:0.3.0",
        "evil.example.com/theone/imagesampler:0.3.0",
        "registry.sagecontinuum.org/x/theone/imagesampler:0.3.0",
    ],
)
def test_an_unknown_plugin_is_refused(user: Api, image: str) -> None:
    """Also one that has the name of a known plugin in another registry."""
    assert errors(user, job_with(image)) == [("plugin.unknown", f"{image} does not exist in ECR")]


def test_the_whitelist_replaces_the_entry_and_nothing_else(
    start_cloud: Callable[..., Cloud], strict_cloud: Cloud
) -> None:
    """A whitelisted image needs no entry; names are checked all the same."""
    strict_cloud.data_dir.mkdir(exist_ok=True)
    (strict_cloud.data_dir / "plugins.whitelist").write_text("^docker.io/busybox\n\n", encoding="utf-8")
    cloud = start_cloud(**CATALOGUE)
    user = cloud.user("u", "*")
    assert user.post("/submit", job_with("docker.io/busybox:1.36")).status == 200
    twice = [{"name": "p", "pluginSpec": {"image": "docker.io/busybox:1.36"}}] * 2
    assert "plugin.name.duplicate" in dict(errors(user, job_text(plugins=twice)))


def test_the_architecture_of_the_node_must_fit(user: Api) -> None:
    """Once for each node that cannot run it."""
    image = "registry.sagecontinuum.org/example/x86-only:1.0.0"
    found = errors(user, job_with(image, nodes={"W023": None, "V010": None}))
    assert found == [
        (
            "plugin.architecture",
            "W023 does not support architecture [amd64] required by p (example/x86-only:1.0.0)",
        )
    ]


@pytest.mark.parametrize(
    ("args", "warned"),
    [
        (["-stream", "left_camera"], True),
        (["--stream=left_camera"], True),
        (["-stream", "bottom_camera"], False),
        (["-stream", "bottom"], False),
        (["-stream", "rtsp://10.31.81.10/x"], False),
        (["-stream", "0"], False),
        (["-stream"], False),
    ],
)
def test_a_camera_that_the_node_lacks_is_a_warning(user: Api, args: list[str], warned: bool) -> None:
    """The job goes out; the warning lists what the node has."""
    answer = user.post("/submit", job_with(IMAGE, *args))
    assert answer.status == 200
    if not warned:
        assert "warnings" not in answer.json
        return
    (warning,) = answer.json["warnings"]
    assert warning["code"] == "plugin.sensor"
    assert warning["message"] == "W023 has no sensor left_camera; it has bottom_camera, top_camera, bme280"


def test_tags_select_nodes_by_their_vsn(user: Api) -> None:
    """All tags must be there; the nodes found are saved in the job; none at all is refused."""
    job_id = user.submitted(job_with(nodes={}, nodeTags=["camera"]))
    job = user.job(job_id)
    assert job["nodes"] == {"W023": 1, "W024": 1}
    assert len(user.goals("W024")) == 1
    assert errors(user, job_with(nodes={}, nodeTags=["camera", "lab"])) == [("job.nodes.none", "Node is not selected")]


def test_before_the_submit_the_world_only_warns(user: Api) -> None:
    """Create and edit take a job whose node does not exist yet."""
    created = user.post("/create", job_with("x.org/a/b:1.0.0", nodes={"W099": None}))
    assert created.status == 200
    assert {entry["code"] for entry in created.json["warnings"]} == {"node.unknown", "plugin.unknown"}


def manifests() -> dict[str, Any]:
    """Answers of the public endpoints."""
    sampler = {"id": "theone/imagesampler:0.3.0", "source": {"architectures": ["linux/arm64"]}}
    node = {"vsn": "W023", "name": "x", "computes": [{"hardware": {"capabilities": ["arm64"]}}]}
    return {"/api/apps": {"data": [sampler]}, "/manifests/": [node]}


def test_the_public_endpoints_and_their_absence(start_cloud: Callable[..., Cloud]) -> None:
    """Lists are fetched at start; over an outage and a restart the last known ones stay."""
    with Endpoints(manifests()) as endpoints:
        flags = {"plugins": endpoints.url, "nodes": endpoints.url}
        cloud = start_cloud(**flags)
        user = cloud.user("u", "*")
        assert user.post("/submit", job_with()).status == 200
        assert errors(user, job_with(nodes={"W024": None})) == [("node.unknown", "W024 does not exist")]
        cloud.stop()
    again = start_cloud(**flags)
    assert any("catalogue.unavailable" in line for line in again.lines)
    user = Api(again.url, user.token)
    assert user.post("/submit", job_with()).status == 200
    assert dict(errors(user, job_with(nodes={"W024": None})))["node.unknown"]


def test_a_plugin_missing_from_the_list_is_asked_for_once(start_cloud: Callable[..., Cloud]) -> None:
    """A new version need not wait for the next load; a "no" is remembered."""
    answers = manifests()
    new = {"id": "theone/imagesampler:0.4.0", "source": {"architectures": ["linux/arm64"]}}
    answers["/api/apps/theone/imagesampler/0.4.0"] = new
    with Endpoints(answers) as endpoints:
        user = start_cloud(plugins=endpoints.url).user("u", "*")
        for _ in range(3):
            assert user.post("/submit", job_with(IMAGE.replace("0.3.0", "0.4.0"))).status == 200
            assert user.post("/submit", job_with(IMAGE.replace("0.3.0", "0.5.0"))).status == 400
        assert endpoints.count("/api/apps/theone/imagesampler/0.4.0") == 1
        assert endpoints.count("/api/apps/theone/imagesampler/0.5.0") == 1


def test_an_auth_server_names_users_and_their_nodes(start_cloud: Callable[..., Cloud]) -> None:
    """Its answers are believed for a while, so an outage does not stop known users."""

    def myself(header: str) -> dict[str, Any] | None:
        return {"username": "alice", "is_superuser": False} if header == "Sage alices" else None

    access = [{"vsn": "W023", "access": ["schedule"]}, {"vsn": "W024", "access": ["develop"]}]
    answers = {"/users/~self": myself, "/users/alice/access": access}
    with Endpoints(answers) as endpoints:
        cloud = start_cloud(auth_server_url=endpoints.url)
        alice = Api(cloud.url, "alices")
        assert alice.post("/submit", job_with()).status == 200
        assert errors(alice, job_with(nodes={"W024": None}))[0][0] == "node.permission"
        assert alice.get("/jobs/list").status == 200
        assert endpoints.count("/users/~self") == 1
        assert Api(cloud.url, "nobodys").get("/jobs/list").status == 401
    assert alice.get("/jobs/list").status == 200
    stranger = Api(cloud.url, "bobs").get("/jobs/list")
    assert stranger.status == 503
    assert "auth server" in stranger.error


@pytest.mark.parametrize("content", ["{", "5", "- vsn: [", json.dumps({"data": 5})])
def test_a_broken_list_stops_the_start_with_its_name(
    start_cloud: Callable[..., Cloud], tmp_path: Any, content: str
) -> None:
    """An operator reads which file is wrong."""
    file = tmp_path / "nodes.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"nodes(\.yaml)?"):
        start_cloud(nodes=str(file))
