"""The table of threads in docs/architecture.md against an agent that runs with all of them."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

from edgesched.adapters.broker import free_port
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.e2e.processes import Command

ROOT = Path(__file__).resolve().parents[2]
# only after a boot without a clock
NOT_NOW = {"clock"}


def described() -> set[str]:
    """The names in the table."""
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## The threads of an agent")[2]
    rows = [line.split("|")[1] for line in text.partition("\nA thread")[0].splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}


def test_every_thread_is_described(tmp_path: Path) -> None:
    """And nothing is described that is not there."""
    (tmp_path / "jobs").mkdir()
    port = free_port()
    with SimCluster(Scenario((Outcome(),))) as cluster:
        flags = ["--kube-server", cluster.url, f"--job={tmp_path / 'jobs'}", "--node", "W023", "--log-format", "json"]
        flags += ["--http-listen", f"127.0.0.1:{port}", "--state-dir", str(tmp_path / "state")]
        flags += [
            "--mqtt-uri",
            f"mqtt://127.0.0.1:{free_port()}",
            "--goalstream-url",
            f"http://127.0.0.1:{free_port()}",
        ]
        with Command("run", "--policy", "resourceaware", *flags) as agent:
            agent.await_event("agent.started", 60)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as response:
                names = json.load(response)["heartbeats"]
    running = {re.sub(r"-\d+$", "-N", name) for name in names}
    assert running == described() - NOT_NOW
