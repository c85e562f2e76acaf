"""The back-up and restore of docs/operators.md, word by word, around stops of the agent."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from pathlib import Path

from edgesched.adapters.broker import free_port
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.e2e.processes import Command
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
JOB = """\
name: backup
plugins:
- name: sampler
  pluginSpec: {image: "registry.sagecontinuum.org/theone/imagesampler:0.3.0"}
nodes: {W023: true}
scienceRules:
- "schedule(sampler, cooldown=1h): True"
"""


def commands(begin: str) -> str:
    """The indented lines of the page that follow a sentence."""
    text = (ROOT / "docs" / "operators.md").read_text().partition(begin)[2]
    found = re.match(r"\s*\n((?: {4}.*\n)+)", text)
    assert found, begin
    return found[1]


def run(script: str, state: Path) -> None:
    """Run commands of the page as the user that we are, on another folder; systemd's lines are the test's own."""
    script = script.replace("sudo -u edgesched ", "").replace("sudo ", "").replace("/var/lib/edgesched", str(state))
    script = "\n".join(line for line in script.splitlines() if "systemctl" not in line)
    subprocess.run(["bash", "-euc", script], check=True, timeout=60)


def test_a_copy_brings_back_the_history(tmp_path: Path) -> None:
    """A copy of a stopped agent's state, the state lost, the copy restored: the run is known, and is not repeated."""
    (tmp_path / "job.yaml").write_text(JOB)
    state = tmp_path / "state"
    port = free_port()
    with SimCluster(Scenario((Outcome(run_s=0.2),))) as cluster:
        flags = ["run", "--kube-server", cluster.url, "--wes=false", f"--job={tmp_path / 'job.yaml'}", "--node", "W023"]
        flags += ["--http-listen", f"127.0.0.1:{port}", "--state-dir", str(state), "--log-format", "json"]
        with Command(*flags) as agent:
            agent.await_event("plugin.complete", 60)
            assert agent.end() == 0
        run(commands("the second that a copy takes:"), state)
        (state / "state.db").write_bytes(b"lost")
        run(commands("To restore the copy:"), state)
        with Command(*flags) as agent:
            restored = agent.await_event("state.restored", 60)
            assert (restored["jobs"], restored["runs"]) == (1, 1)
            agent.await_event("pods.adopted", 60)

            def plugins() -> list[dict[str, object]]:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/plugins", timeout=10) as response:
                    found: list[dict[str, object]] = json.load(response)
                    return found

            wait_until(lambda: plugins() and plugins()[0]["runs"] == 1, 30)
            assert not agent.events("state.corrupt")
            assert not agent.events("plugin.queued")
