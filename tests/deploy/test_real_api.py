"""The manifests on a real API server of Kubernetes 1.20.2, the oldest that the field runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.test_manifests import BUILDS, DEPLOY
from tests.kube.realkube import RealKube

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]
KUBECTL = Path(sys.executable).with_name("kubectl")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKube]:
    """A kube-apiserver with etcd, for this file alone: what is applied stays."""
    with RealKube("api", tmp_path_factory.mktemp("manifests") / "k") as kube:
        yield kube


def kubectl(server: RealKube, *words: str) -> list[str]:
    """Run kubectl as an administrator; its lines."""
    command = [str(KUBECTL), "--kubeconfig", str(server.kubeconfig), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", BUILDS)
def test_one_command_applies_it_and_changes_nothing_the_second_time(server: RealKube, name: str) -> None:
    """`kubectl apply -k` as it stands in the handbook: every object is taken, and no default fights with a field."""
    folder = str(DEPLOY / name)
    try:
        assert kubectl(server, "apply", "-k", folder)
        again = kubectl(server, "apply", "-k", folder)
        # a server of that age completes the claims of a StatefulSet in a way that no file can say
        changed = [line for line in again if not line.endswith(" unchanged") and not line.startswith("statefulset")]
        assert changed == []
    finally:
        # the next build says otherwise of what the pods are made by and where their state is
        for kind in ("deployment", "daemonset", "persistentvolumeclaim"):
            kubectl(server, "-n", "default", "delete", kind, "--all", "--wait=false")
