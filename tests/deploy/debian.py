"""A bare Debian with systemd as its first process, in a container of its own: what a node is before the agent comes.

Debian's base system, systemd, Python and make, and nothing else, made by debootstrap once per machine. systemd-nspawn
starts it beside the host, in the host's network, so that it reaches what a test has on loopback. Needs root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from tests.waiting import wait_until

CACHE = Path(os.environ.get("EDGESCHED_CACHE", Path.home() / ".cache" / "edgesched"))
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,make"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
BOOT_S = 120.0


def base() -> Path:
    """The archive of the bare system; made when it is not there."""
    archive = CACHE / "debian-systemd.tar"
    if not archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        work = CACHE / f"debian-systemd.{os.getpid()}"
        try:
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(work)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr
            new = archive.with_name(f"{archive.name}.{os.getpid()}")
            subprocess.run(["tar", "-C", str(work), "--exclude=./dev", "-cf", str(new), "."], check=True, timeout=300)
            new.rename(archive)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return archive


class Debian:
    """The running system under `root`. Use it as a context manager."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._log = root.with_suffix(".log")

    def __enter__(self) -> Self:
        self.root.mkdir(mode=0o755)
        subprocess.run(["tar", "-C", str(self.root), "-xf", str(base())], check=True, timeout=300)
        command = ["systemd-nspawn", "--register=no", "--keep-unit", "--console=pipe", "--boot", "-D", str(self.root)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(self._booted, BOOT_S, what="systemd to come up")
        except AssertionError as error:
            self._end()
            raise AssertionError(f"{error}\n{self._log.read_text()[-3000:]}") from error
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run("systemctl", "poweroff", check=False)
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._end()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)

    def _init(self) -> str:
        """The process id of the first process in there, as the host sees it; empty while there is none."""
        assert self._process.poll() is None, f"it ended: {self._log.read_text()[-3000:]}"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
        return next((pid for pid, name in names.items() if name == "systemd"), "")

    def _booted(self) -> bool:
        if not self._init():
            return False
        return self.run("systemctl", "is-system-running", check=False) in {"running", "degraded"}

    def run(self, *words: str, check: bool = True, timeout_s: float = 60.0) -> str:
        """Run a command in there and return what it prints, stripped; `check`: it must succeed."""
        command = ["nsenter", "-t", self._init(), "-a", "env", "-i", f"PATH={PATH}", "HOME=/root", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s, cwd="/")
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file in there, as root."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
