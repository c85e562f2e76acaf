"""The clusters of the adapter tests, one of each kind for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgesched.adapters.kube import KubeApi, KubePods
from tests.kube.adapter.runs import SETTINGS
from tests.kube.adapter.worlds import World, api_world, sim_world


@pytest.fixture(scope="session", params=["sim", pytest.param("api", marks=pytest.mark.apiserver)])
def shared_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run a cluster for all tests of this folder."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sim":
        with sim_world(folder) as world:
            yield world
        return
    with api_world(folder, request.getfixturevalue("api_server")) as world:
        if not world.exists("/api/v1/namespaces/ses"):
            world.call("POST", "/api/v1/namespaces", {"metadata": {"name": "ses"}})
        if not world.exists("/apis/scheduling.k8s.io/v1/priorityclasses/wes-app-priority"):
            priority = {"metadata": {"name": "wes-app-priority"}, "value": 1000, "preemptionPolicy": "Never"}
            world.call("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", priority)
        yield world


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """Give each test an empty namespace."""
    shared_world.clear()
    yield shared_world
    shared_world.wire.speak()


@pytest.fixture
def api(world: World) -> Iterator[KubeApi]:
    """Connect through the wire."""
    connection = KubeApi.connect(world.target(), (2.0, 2.0))
    yield connection
    connection.close()


@pytest.fixture
def pods(api: KubeApi) -> KubePods:
    """Return the runner of pods."""
    return KubePods(api, SETTINGS)
