"""Files named on a command line, read whole and within bounds."""

from __future__ import annotations

import sys
from pathlib import Path

from edgesched.errors import InputError


def read_text(file: str, largest: int) -> str:
    """Read a text file, or standard input for `-`; `largest`: bytes that are accepted.

    Raises: InputError: one line that names the file and the reason.
    """
    try:
        if file == "-":
            content = sys.stdin.buffer.read(largest + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(largest + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{file}: {reason}") from error
    if len(content) > largest:
        raise InputError(f"{file}: larger than {largest:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}", hint="save it as UTF-8") from error
