"""The state directory: one holder, private files, whole or not at all, and readable when it cannot be written."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edgesched.adapters.statedir import StateDir
from edgesched.core.model import Instant
from edgesched.core.windows import WindowStore
from edgesched.errors import ConfigError
from edgesched.node.snapshots import FILE, warm
from tests.unit.node.fakes import Notices

PROGRAM = """
import json, os, resource, signal, sys, threading
from pathlib import Path
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.events import Booted
from edgesched.node.durable import open_durable
from tests.unit.node.fakes import ManualClock, Notices
from tests.unit.plan.driver import Driver, goal

folder, mode = Path(sys.argv[1]), sys.argv[2]
if mode == "read":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
notices = Notices()
durable = open_durable(folder, PlanSettings(vsn="W023"), clock=ManualClock(), boot_id="b1", notice=notices)
if mode == "write":
    threading.Thread(target=durable.committer.run, args=(threading.Event(), lambda: None), daemon=True).start()
    node = Driver()
    node.state = durable.state
    effects = node.start(goal("schedule(p): cronjob('p', '* * * * *')"))
    durable.committer.commit(node.state, effects, False)
    if sys.argv[3] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    durable.store.close()
    os._exit(0)
thread = threading.Thread(target=durable.committer.run, args=(threading.Event(), lambda: None), daemon=True)
thread.start()
node = Driver()
node.state = durable.state
durable.committer.commit(node.state, node.send(Booted("b2")), False)
print(json.dumps({"jobs": list(durable.state.jobs), "said": [name for name, _, _ in notices.lines]}))
sys.stdout.flush()
os._exit(0)
"""


def child(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *words], check=False, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("end", ["kill", "close"])
def test_a_directory_that_cannot_be_written_is_read(tmp_path: Path, end: str) -> None:
    """The disk is full at the start: the last goals are in force all the same, and it is said."""
    done = child(tmp_path / "state", "write", end)
    assert done.returncode == (-signal.SIGKILL if end == "kill" else 0), done.stderr
    done = child(tmp_path / "state", "read")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["jobs"] == ["7"]
    assert "state.unavailable" in found["said"]


@pytest.mark.node  # mounting needs root
@pytest.mark.parametrize("end", ["kill", "close"])
def test_a_read_only_file_system_is_read(tmp_path: Path, end: str) -> None:
    """As after an error of the card: everything can be read and nothing written."""
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], check=True, timeout=10)
    try:
        child(tmp_path / "state", "write", end)
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True, timeout=10)
        done = child(tmp_path / "state", "read")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["jobs"] == ["7"]
        assert "state.unavailable" in found["said"]
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True, timeout=10)


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """Two holders never; after the end of one the next gets it."""
    first = StateDir(tmp_path / "state")
    with pytest.raises(ConfigError, match=rf"in use by another agent \(process {os.getpid()}\)"):
        StateDir(tmp_path / "state")
    first.close()
    StateDir(tmp_path / "state").close()


def test_a_directory_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    """A file in its place is a mistake of the operator, not a bad disk."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be used.*--state-dir"):
        StateDir(tmp_path / "file" / "state")


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """A write that fails leaves the old content and no rubbish; files are for their owner."""
    folder = StateDir(tmp_path / "state")
    folder.replace("x", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            folder.replace("x", b"new" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.read("x") == b"old"
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"lock", "x"}
    assert stat.S_IMODE((tmp_path / "state" / "x").stat().st_mode) == 0o600
    folder.close()


@pytest.mark.parametrize("content", [b"garbage", b"x\x9c", b"x\x9c\xab\xae\x05\x00\x01u\x00\xf9"])
def test_a_snapshot_that_makes_no_sense_is_told_and_ignored(tmp_path: Path, content: bytes) -> None:
    """Windows start cold then; nothing else happens."""
    folder, notices = StateDir(tmp_path / "state"), Notices()
    folder.replace(FILE, content)
    windows = WindowStore()
    warm(windows, folder, Instant(1, 1).ts_ns, notices)
    assert len(notices.named("windows.unreadable")) == 1
    folder.close()
