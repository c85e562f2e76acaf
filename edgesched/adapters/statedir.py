"""The folder of what outlives the process: one agent at a time, private files, whole or not at all.

An agent holds a lock (flock) on the file `lock` for as long as it lives; the kernel lets go of it when the process
ends, however it ends. Files are replaced by rename, so a reader finds the old content or the new one, never a part.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Final

from edgesched.errors import ConfigError

LOCK: Final = "lock"
PATIENCE_S: Final = 2.0
"""A process that was killed lets go a moment after it is gone, when its last thread is."""
_FAULTS: Final = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""What a disk does on a bad day; the agent goes on without it."""


class StateDir:
    """A state directory that is ours as long as this object lives. Raises ConfigError: it cannot be, one line why.

    `fault`: why nothing can be written there now, empty when it can.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault = ""
        self._lock = -1
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _FAULTS:
                raise ConfigError(
                    f"the state directory {path} cannot be used: {error.strerror}",
                    hint="make it a directory that the agent can write, or name another one with --state-dir",
                ) from error
            self.fault = str(error.strerror)
            with contextlib.suppress(OSError):
                self._lock = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        self._take()

    def close(self) -> None:
        """Let go of the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None when there is none or it cannot be read."""
        try:
            return (self.path / name).read_bytes()
        except OSError:
            return None

    def replace(self, name: str, content: bytes) -> None:
        """Write a file durably, for its owner only. Raises OSError; the old content is still there then."""
        fresh = self.path / f"{name}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.replace(fresh, self.path / name)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise

    def _take(self) -> None:
        if self._lock < 0:
            return
        deadline_s = time.monotonic() + PATIENCE_S
        pause = threading.Event()
        while not self._taken() and time.monotonic() < deadline_s:
            pause.wait(0.02)
        if not self._taken():
            holder = self._holder()
            self.close()
            raise ConfigError(
                f"the state directory {self.path} is in use by another agent{holder}",
                hint="stop that one first, or give this one a --state-dir of its own",
            )
        if not self.fault:
            with contextlib.suppress(OSError):
                os.ftruncate(self._lock, 0)
                os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holder(self) -> str:
        found = (self.read(LOCK) or b"").strip()
        return f" (process {found.decode()})" if found.isdigit() else ""
