"""What Prometheus itself says of the metrics: `promtool check metrics` over pages of running processes."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from edgesched.adapters.broker import free_port
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.cloud.api import Cloud, job_text
from tests.e2e.processes import Command
from tests.e2e.world import GOOD_AND_BROKEN

ROOT = Path(__file__).resolve().parents[2]
JOB = GOOD_AND_BROKEN.format(name="metrics")


@pytest.fixture(scope="module")
def promtool() -> str:
    """Debian's promtool; a machine without a way to it skips, CI does not."""
    found = subprocess.run([ROOT / "tools" / "promtool.sh"], capture_output=True, text=True, timeout=110, check=False)
    if found.returncode != 0 and "CI" not in os.environ:
        pytest.skip(f"no promtool: {found.stderr[-200:]}")
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def said(promtool: str, page: str) -> str:
    """What promtool says of a page, empty when it finds nothing."""
    done = subprocess.run(
        [promtool, "check", "metrics"], input=page, capture_output=True, text=True, timeout=60, check=False
    )
    assert bool(done.returncode) == bool(done.stderr)
    return done.stderr


def page(url: str) -> str:
    """The metrics of a process."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        text: str = response.read().decode()
        return text


def test_it_finds_what_is_wrong(promtool: str) -> None:
    """A unit that is none, a counter that does not say so, a name in capitals, no help."""
    wrong = "# TYPE aB_ms counter\naB_ms 1\n"
    for words in ("no help text", '"_total" suffix', "abbreviated units", "camelCase"):
        assert words in said(promtool, wrong)


def test_the_agents_page(promtool: str, tmp_path: Path) -> None:
    """After runs that ended well and badly, with a broker that is away, so that labels and histograms are filled."""
    (tmp_path / "job.yaml").write_text(JOB)
    port = free_port()
    outcomes = (Outcome(image="*broken*", run_s=0.2, exit_code=(3,)), Outcome(run_s=0.2))
    with SimCluster(Scenario(outcomes)) as cluster:
        flags = ["--kube-server", cluster.url, "--wes=false", f"--job={tmp_path / 'job.yaml'}", "--node", "W023"]
        flags += ["--http-listen", f"127.0.0.1:{port}", "--mqtt-uri", f"mqtt://127.0.0.1:{free_port()}"]
        with Command("run", "--log-format", "json", *flags) as agent:
            agent.await_event("plugin.failed", 60)
            agent.await_event("plugin.complete", 60)
            text = page(f"http://127.0.0.1:{port}")
    assert said(promtool, text) == ""
    assert 'edgesched_failures_total{reason="Error"} 1' in text.replace(".0\n", "\n")


def test_the_clouds_page(promtool: str, tmp_path: Path) -> None:
    """Two gauges have the reference's names, which dashboards read; nothing else is said against the page."""
    cloud = Cloud(tmp_path / "cloud", {})
    cloud.start()
    try:
        cloud.user("theone", "W023").submitted(job_text("one"))
        text = page(cloud.url)
    finally:
        cloud.stop()
    assert said(promtool, text).splitlines() == [
        'scheduler_jobs_count non-histogram and non-summary metrics should not have "_count" suffix',
        'scheduler_jobs_total non-counter metrics should not have "_total" suffix',
    ]
