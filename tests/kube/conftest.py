"""Clusters for tests: the embedded one, a real API server, a real node.

A real cluster is started once a session, at its first use. Tests with the marks `apiserver` and `node` need one; where
it cannot be had, they fail and say what to run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgesched.simcluster import Scenario, SimCluster
from tests.kube.rawkube import RawKube
from tests.kube.realkube import RealKube

TOKENS = {"admin-token": "admin", "viewer-token": "viewer"}


@pytest.fixture
def sim_cluster() -> Iterator[SimCluster]:
    """The embedded cluster with a kubelet; every pod runs for a second and succeeds."""
    with SimCluster(Scenario()) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKube]:
    """A real kube-apiserver with etcd."""
    with RealKube("api", tmp_path_factory.mktemp("api") / "k") as kube:
        yield kube


@pytest.fixture(scope="session")
def real_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKube]:
    """A real node: pods run. It has what plugin pods find on a Waggle node."""
    with RealKube("node", tmp_path_factory.mktemp("node") / "k") as kube:
        kube.prepare_wes()
        yield kube


@pytest.fixture(scope="session")
def _bare_sim() -> Iterator[RawKube]:
    """The embedded cluster without a kubelet, as a bare API server is."""
    with SimCluster(kubelet=False, service_accounts=False, tokens=TOKENS, wes=False) as cluster:
        yield RawKube(
            "sim",
            cluster.url,
            "admin-token",
            None,
            "viewer-token",
            lambda: _forget(cluster),
            lambda _: _forget(cluster),
        )


def _forget(cluster: SimCluster) -> None:
    cluster.compact()


@pytest.fixture(scope="session", params=["sim", pytest.param("apiserver", marks=pytest.mark.apiserver)])
def kube(request: pytest.FixtureRequest) -> RawKube:
    """Each of the two servers that the contract binds."""
    if request.param == "sim":
        return request.getfixturevalue("_bare_sim")
    return request.getfixturevalue("api_server").raw()


@pytest.fixture
def space(kube: RawKube) -> str:
    """The path of a fresh namespace, such as `/api/v1/namespaces/t-abcde`."""
    answer = kube.post("/api/v1/namespaces", {"metadata": {"generateName": "t-"}})
    assert answer.status == 201, answer.message
    return f"/api/v1/namespaces/{answer.body['metadata']['name']}"
