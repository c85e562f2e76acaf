"""The systemd service: the unit file, what the agent tells systemd, and its installation."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesched.adapters.broker import free_port
from edgesched.node.connections import Connections
from edgesched.node.sentinel import Sentinel
from edgesched.node.supervisor import Supervisor
from edgesched.node.systemd import Notifier
from edgesched.simcluster import SimCluster
from tests.e2e.processes import Command
from tests.unit.node.fakes import ManualClock, Notices
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "systemd" / "edgesched.service"
WORST_EXPOSURE = 2.5


class NotifySocket:
    """What systemd listens on: keeps the datagrams that it gets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while (text := self._socket.recv(4096).decode()) != "end":
            self.lines.append(text)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(b"end", str(self.path))
        self._thread.join(10)
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[NotifySocket]:
    """A notify socket."""
    listening = NotifySocket(tmp_path / "notify")
    yield listening
    listening.close()


def analyze(*arguments: str) -> str:
    """Run systemd-analyze of Debian's systemd; it must be content and say nothing against the unit."""
    program = shutil.which("systemd-analyze")
    assert program is not None, "missing Debian package; run: tools/apt.sh systemd"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/opt/edgesched/bin/edgesched", sys.executable))
    return path


def test_systemd_accepts_the_unit(unit: Path) -> None:
    """No unknown setting, no wrong value."""
    told = [line for line in analyze("verify", "--man=no", str(unit)).splitlines() if "edgesched" in line]
    assert told == []


def test_a_wrong_setting_would_be_noticed(unit: Path) -> None:
    """The check above can fail."""
    unit.write_text(unit.read_text().replace("WatchdogSec=60", "WatchdogSecs=60"))
    assert "WatchdogSecs" in analyze("verify", "--man=no", str(unit))


def test_the_unit_is_hardened(unit: Path) -> None:
    """systemd's own measure of exposure, 0 (none) to 10, stays low."""
    report = analyze("security", "--offline=true", str(unit))
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", report)
    assert found is not None, report
    assert float(found[1]) <= WORST_EXPOSURE, report


def test_ready_watchdog_status_and_stopping_are_told(systemd: NotifySocket) -> None:
    """The agent as a process under a notify socket, from its start to SIGTERM."""
    with SimCluster() as cluster:
        flags = ["--kube-server", cluster.url, "--wes=false", "--http-listen", f"127.0.0.1:{free_port()}"]
        env = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "2000000"}
        with Command("run", "--node", "W023", *flags, env=env) as agent:
            wait_until(lambda: systemd.lines.count("WATCHDOG=1") >= 2, 60, what="the watchdog")
            assert systemd.lines.count("READY=1") == 1
            wait_until(lambda: any(line.startswith("STATUS=0 jobs in force") for line in systemd.lines), 30)
            assert agent.end() == 0
        assert systemd.lines[-1] == "STOPPING=1"


def test_a_refusal_to_start_is_told_as_the_status(systemd: NotifySocket, tmp_path: Path) -> None:
    """`systemctl status` shows why a unit that does not come up does not."""
    env = {"NOTIFY_SOCKET": str(systemd.path), "KUBECONFIG": str(tmp_path / "none"), "STATE_DIRECTORY": str(tmp_path)}
    with Command("run", env=env) as agent:
        assert agent.ended(60) == 1
    wait_until(lambda: systemd.lines, 10)
    assert systemd.lines[0].startswith("STATUS=refused to start: no cluster:")
    assert "READY=1" not in systemd.lines


def test_a_hung_engine_starves_the_watchdog(systemd: NotifySocket) -> None:
    """The sentinel goes on living, but it feeds the watchdog only while the engine's heartbeat is young."""
    supervisor = Supervisor(Notices())
    hang = threading.Event()

    def engine(stop: threading.Event, beat: object) -> None:
        assert callable(beat)
        while not stop.wait(0.01):
            if not hang.is_set():
                beat()

    supervisor.add("engine", engine, phase="engine", limit_s=0.3)
    notifier = Notifier({"NOTIFY_SOCKET": str(systemd.path)})
    looks = Connections({}, ManualClock())
    supervisor.add("sentinel", Sentinel(supervisor, looks, notifier, lambda: "fine", look_every_s=0.02).run)
    supervisor.start()
    try:
        wait_until(lambda: "WATCHDOG=1" in systemd.lines)
        hang.set()
        wait_until(lambda: supervisor.stuck() == ["engine"])
        wait_until(lambda: _quiet(systemd), 10, what="the watchdog to starve")
    finally:
        supervisor.stop()


def _quiet(systemd: NotifySocket) -> bool:
    """Nothing came for ten looks."""
    before = len(systemd.lines)
    threading.Event().wait(0.2)
    return len(systemd.lines) == before


def test_without_systemd_nothing_is_sent(tmp_path: Path) -> None:
    """No socket, or one that is gone, is no trouble."""
    assert Notifier({"WATCHDOG_USEC": "1"}).watchdog_s == 0
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_install_and_uninstall(tmp_path: Path) -> None:
    """`make install` into an empty root gives a program, a unit that names it, and settings nobody else reads."""
    env = {**os.environ, "DESTDIR": str(tmp_path / "root"), "INSTALL_DIR": "/opt/edgesched", "PYTHON": sys.executable}
    script = str(ROOT / "tools" / "install.sh")
    subprocess.run([script, "install"], env=env, check=True, timeout=600)
    root = tmp_path / "root"
    place = root / "opt/edgesched"
    done = subprocess.run(
        [place / "bin/python", "-m", "edgesched.cli.main", "version"], capture_output=True, check=True
    )
    assert done.stdout.startswith(b"edgesched ")
    assert (place / "bin/edgesched").read_text().startswith("#!/opt/edgesched/bin/python")
    assert (root / "usr/local/bin/edgesched").readlink() == Path("/opt/edgesched/bin/edgesched")
    assert "ExecStart=/opt/edgesched/bin/edgesched run" in (root / "etc/systemd/system/edgesched.service").read_text()
    settings = root / "etc/edgesched/edgesched.env"
    assert settings.stat().st_mode & 0o777 == 0o600
    settings.write_text("WAGGLE_NODE_VSN=W023\n")
    subprocess.run([script, "install"], env=env, check=True, timeout=600)
    assert settings.read_text() == "WAGGLE_NODE_VSN=W023\n"
    assert (root / "opt/edgesched.old").is_dir()
    subprocess.run([script, "uninstall"], env=env, check=True, timeout=60)
    assert not place.exists()
    assert not (root / "etc/systemd/system/edgesched.service").exists()
    assert settings.exists()
