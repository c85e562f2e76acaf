"""Fixtures of the cloud's tests: a real cloud scheduler on a free port, with a database of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cloud.api import Api, ChildCloud, Cloud
from tests.cloud.postgres import PostgreSQL

ROOT = Path(__file__).parents[2]
CATALOGUE = {
    "plugins": str(ROOT / "examples" / "cloud" / "plugins.yaml"),
    "nodes": str(ROOT / "examples" / "cloud" / "nodes.yaml"),
}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The database of this test's clouds: empty for SQLite. What holds on one must hold on the other."""
    if request.param == "sqlite":
        return ""
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture
def start_cloud(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Cloud]]:
    """Starts clouds, on the same data when called again, and ends them with the test."""
    started: list[Cloud] = []

    def start(*, port: int | None = 0, **flags: str) -> Cloud:
        cloud = Cloud(tmp_path / "cloud", flags, port=port or 0, database_url=database_url)
        started.append(cloud)
        cloud.start()
        return cloud

    yield start
    for cloud in started:
        cloud.stop()


@pytest.fixture
def start_child(tmp_path: Path, database_url: str) -> Iterator[Callable[..., ChildCloud]]:
    """Starts clouds in child processes, on the same data when called again."""
    started: list[ChildCloud] = []

    def start(*, port: int | None = 0) -> ChildCloud:
        cloud = ChildCloud(tmp_path / "cloud", port=port or 0, database_url=database_url)
        started.append(cloud)
        cloud.start()
        return cloud

    yield start
    for cloud in started:
        cloud.stop()


@pytest.fixture
def cloud(start_cloud: Callable[..., Cloud]) -> Cloud:
    """A cloud without catalogue."""
    return start_cloud()


@pytest.fixture
def strict_cloud(start_cloud: Callable[..., Cloud]) -> Cloud:
    """A cloud with the example catalogue."""
    return start_cloud(**CATALOGUE)


@pytest.fixture
def theone(cloud: Cloud) -> Api:
    """The user of the tutorial."""
    return cloud.user("theone", "W023")


@pytest.fixture
def shared() -> Path:
    """The folder of the conformance material."""
    folder = Path(os.environ.get("EDGESCHED_SHARED", ROOT.parent / "shared"))
    assert folder.is_dir(), f"{folder} is missing: set EDGESCHED_SHARED"
    return folder
