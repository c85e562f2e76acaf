"""A folder that goes with the process, whose ruins the next one clears away.

A process that is killed cannot remove its folder. So each holds a lock (flock) on its own for as long as it lives, and
each new one removes the folders of the same kind that nobody holds any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

YOUNG_S: Final = 60.0
"""A folder this much older than ours or less may be one that is not locked yet."""
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TempFolder:
    """A private folder below the system's folder for such things. `kind`: a word in its name."""

    def __init__(self, kind: str) -> None:
        prefix = f"edgesched-{kind}.d-"
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._lock = os.open(self.path, _OPEN)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        born_s = os.fstat(self._lock).st_mtime
        for other in self.path.parent.glob(f"{prefix}*"):
            if other != self.path:
                with contextlib.suppress(OSError):  # somebody else's, or somebody else removes it
                    _clear_away(other, born_s)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder. Safe to call twice."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def _clear_away(folder: Path, now_s: float) -> None:
    lock = os.open(folder, _OPEN)
    try:
        found = os.fstat(lock)
        if found.st_uid == os.geteuid() and now_s - found.st_mtime > YOUNG_S:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    finally:
        os.close(lock)
