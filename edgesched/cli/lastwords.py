"""Why the agent refused to start: kept in its state directory for `edgesched status`, which then cannot ask it.

The directory is the one that systemd names (`STATE_DIRECTORY`), `EDGESCHED_STATE_DIR`, or the one of the packaged
service. Nothing is kept where there is none.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

PACKAGED: Final = Path("/var/lib/edgesched")
NAME: Final = "refused.txt"
LONGEST: Final = 2000


def state_directory() -> Path:
    """Return the state directory that the environment names, the packaged one without a name."""
    named = os.environ.get("EDGESCHED_STATE_DIR") or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(named) if named else PACKAGED


def write_last_words(text: str) -> None:
    """Keep why the agent refuses to start."""
    with contextlib.suppress(OSError):
        (state_directory() / NAME).write_text(text[:LONGEST] + "\n", encoding="utf-8")


def forget_last_words() -> None:
    """The agent runs."""
    with contextlib.suppress(OSError):
        (state_directory() / NAME).unlink(missing_ok=True)


def read_last_words() -> str | None:
    """Return why the agent refused to start, None when it did not or nobody may know."""
    try:
        return (state_directory() / NAME).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
