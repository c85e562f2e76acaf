"""One `make install` on a bare Debian, under a real systemd: as the handbook says, and what systemd does with it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesched.adapters.broker import free_port
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.deploy.debian import Debian
from tests.waiting import wait_until

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parents[2]
WORST_EXPOSURE = 2.5
WAIT_S = 120.0
JOB = """\
name: myjob
plugins:
- name: sampler
  pluginSpec: {image: "registry.sagecontinuum.org/theone/imagesampler:0.3.0"}
nodes: {W023: true}
scienceRules: ["schedule(sampler): True"]
"""


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    """A bare Debian with a checkout of this project and the wheels that an index would give, after `make install`."""
    folder = tmp_path_factory.mktemp("debian")
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    constraints = ["-c", "requirements/constraints.txt"]
    subprocess.run(
        [*pip, "wheel", "-qq", "-w", str(wheels), *constraints, ".[amqp]"], cwd=ROOT, check=True, timeout=600
    )
    subprocess.run([*pip, "wheel", "-qq", "-w", str(wheels), "setuptools>=77"], cwd=folder, check=True, timeout=300)
    for wheel in wheels.glob("edgesched-*"):
        wheel.unlink()
    with Debian(folder / "root") as debian:
        source = debian.root / "root" / "edgesched"
        source.mkdir()
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
        packed = ["tar", "--null", "-T", "-", "--ignore-failed-read", "-cf", "-"]
        archive = subprocess.run(packed, input=names, cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
        subprocess.run(["tar", "-xf", "-", "-C", str(source)], input=archive, check=True, timeout=60)
        subprocess.run(["cp", "-r", str(wheels), str(debian.root / "root")], check=True, timeout=60)
        debian.run("make", "-C", "/root/edgesched", "install", "WHEELS=/root/wheels", timeout_s=600)
        yield debian


def told(debian: Debian, name: str) -> str:
    """A property of the service."""
    return debian.run("systemctl", "show", "--value", "-p", name, "edgesched")


def events(debian: Debian, name: str) -> list[dict[str, Any]]:
    """The agent's log lines of one name, from the journal."""
    lines = debian.run("journalctl", "-u", "edgesched", "-o", "cat", "--no-pager").splitlines()
    return [each for line in lines if line.startswith("{") and (each := json.loads(line)).get("event") == name]


def test_everything_is_in_place_and_what_is_missing_is_said(debian: Debian) -> None:
    """Program, unit, user, settings; the unit starts the agent, and `systemctl status` names what it lacks."""
    assert debian.run("edgesched", "version").startswith("edgesched ")
    assert debian.run("systemctl", "is-enabled", "edgesched") == "enabled"
    assert debian.run("stat", "-c", "%a %U", "/etc/edgesched/edgesched.env") == "600 root"
    assert debian.run("getent", "passwd", "edgesched").endswith("/usr/sbin/nologin")
    missing = "no cluster: /etc/edgesched/kubeconfig does not exist"
    wait_until(lambda: missing in told(debian, "StatusText"), WAIT_S, what="the agent to say what is missing")
    assert missing in debian.run("systemctl", "status", "edgesched", "--no-pager", check=False)
    assert debian.run("stat", "-c", "%a %U", "/var/lib/edgesched") == "700 edgesched"


def test_systemd_has_nothing_against_it(debian: Debian) -> None:
    """`verify` is silent, and the exposure of the installed unit is low."""
    assert debian.run("systemd-analyze", "verify", "--man=no", "edgesched.service") == ""
    report = debian.run("systemd-analyze", "security", "--no-pager", "edgesched.service")
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", report)
    assert found is not None, report
    assert float(found[1]) <= WORST_EXPOSURE, report


@pytest.fixture(scope="module")
def running(debian: Debian) -> Iterator[Debian]:
    """The agent with what it lacked: a kubeconfig of its own, the node's name, a job."""
    with SimCluster(Scenario((Outcome(run_s=0.5),))) as cluster:
        kubeconfig = cluster.write_kubeconfig(debian.root / "root" / "kubeconfig")
        assert kubeconfig.exists()
        install = ["install", "-o", "edgesched", "-m", "0600", "/root/kubeconfig", "/etc/edgesched/kubeconfig"]
        debian.run(*install)
        settings = debian.root / "etc" / "edgesched" / "edgesched.env"
        port = free_port()
        more = f"WAGGLE_NODE_VSN=W023\nEDGESCHED_JOBS=/etc/edgesched/jobs\nEDGESCHED_HTTP_LISTEN=127.0.0.1:{port}\n"
        settings.write_text(settings.read_text() + more + "EDGESCHED_WES=false\n")
        debian.write("/etc/edgesched/jobs/myjob.yaml", JOB)
        # the watchdog's minute, shortened
        debian.write("/etc/systemd/system/edgesched.service.d/test.conf", "[Service]\nWatchdogSec=5\nRestartSec=1\n")
        debian.run("systemctl", "daemon-reload")
        debian.run("systemctl", "restart", "edgesched")
        debian.url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
        yield debian


def test_it_runs_a_plugin(running: Debian) -> None:
    """Active when READY has come; a plugin completes; the journal and `edgesched status` tell of it."""
    assert running.run("systemctl", "is-active", "edgesched") == "active"
    wait_until(lambda: events(running, "plugin.complete"), WAIT_S, what="a run of the plugin")
    wait_until(lambda: told(running, "StatusText").startswith("1 jobs in force"), WAIT_S)
    url = running.url  # type: ignore[attr-defined]
    status = running.run("edgesched", "status", "--url", url)
    assert "ready" in status.splitlines()
    assert "sampler" in status
    assert "completed" in running.run("edgesched", "explain", "sampler", "--url", url)
    assert running.run("edgesched", "pause", "--all", "--state-dir", "/var/lib/edgesched").startswith("everything is")
    assert running.run("edgesched", "resume", "--all", "--state-dir", "/var/lib/edgesched")


@pytest.mark.parametrize(("signal", "result"), [("KILL", "signal"), ("STOP", "watchdog")])
def test_systemd_starts_it_again(running: Debian, signal: str, result: str) -> None:
    """A killed agent comes back, and so does one that hangs, whose watchdog starves; its jobs are in force again."""
    wait_until(lambda: running.run("systemctl", "is-active", "edgesched", check=False) == "active", WAIT_S)
    before, pid = int(told(running, "NRestarts")), told(running, "MainPID")
    running.run("systemctl", "kill", "--kill-whom=main", f"--signal=SIG{signal}", "edgesched")
    wait_until(lambda: int(told(running, "NRestarts")) > before, WAIT_S, what="systemd to start it again")
    failures = running.run("journalctl", "-u", "edgesched", "-o", "cat", "--no-pager")
    assert f"Failed with result '{result}'" in failures
    wait_until(lambda: told(running, "MainPID") not in {"0", pid}, WAIT_S)
    wait_until(lambda: told(running, "StatusText").startswith("1 jobs in force"), WAIT_S)
    assert events(running, "state.restored")[-1]["jobs"] == 1


def test_it_stops_when_it_is_told_to(running: Debian) -> None:
    """`systemctl stop` ends it well: what it says last is that it stopped, and the unit has not failed."""
    running.run("systemctl", "stop", "edgesched")
    assert told(running, "Result") == "success"
    assert events(running, "agent.stopped")
    running.run("systemctl", "start", "edgesched")


def test_uninstall_keeps_what_is_not_the_programs(running: Debian) -> None:
    """The last test: the unit and the program go; settings and state stay."""
    running.run("make", "-C", "/root/edgesched", "uninstall")
    assert told(running, "LoadState") == "not-found"
    assert running.run("ls", "/etc/edgesched/edgesched.env", "/var/lib/edgesched/state.db")
    assert not (running.root / "opt" / "edgesched").exists()
