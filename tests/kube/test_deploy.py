"""The manifests on a real API server of the release that Waggle nodes run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kube.realkube import RealKube

pytestmark = pytest.mark.apiserver

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
KUBECTL = Path(sys.executable).with_name("kubectl")


@pytest.mark.parametrize("name", ["base", "overlays/k3s", "overlays/test-node", "overlays/cloud"])
def test_the_server_takes_the_manifests(api_server: RealKube, name: str) -> None:
    """`kubectl apply -k` creates every object, and applying again changes none (claim templates get defaults)."""
    command = [KUBECTL, "--kubeconfig", api_server.kubeconfig, "apply", "-k", DEPLOY / name]
    first = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert first.returncode == 0, first.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    changed = [line for line in again.stdout.splitlines() if not line.endswith("unchanged")]
    assert [line for line in changed if not line.startswith("statefulset")] == []
