"""Recorded measurements: NDJSON files, plain or gzip, in either spelling of a measurement.

Exports of real nodes hold lines that no rule can use (null values, binary data). They are counted and left out; a file
without a single good line is refused, it is something else.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edgesched.core.messages import parse_measurement_line
from edgesched.core.model import Measurement
from edgesched.errors import InputError

MOST_MEASUREMENTS: Final = 20_000_000
_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(slots=True)
class History:
    """Measurements in the order of their time.

    `lines`: how many were read, `refused`: how many of them were no measurement, `first_refusal`: why, with the line.
    `first_ns`, `last_ns`: the span of all good lines, also of those that nobody wanted.
    """

    measurements: list[Measurement] = field(default_factory=list)
    lines: int = 0
    refused: int = 0
    first_refusal: str = ""
    first_ns: int | None = None
    last_ns: int | None = None


def read_history(file: str, *, names: Container[str] | None = None) -> History:
    """Read a file, or standard input for `-`; keep the measurements with the wanted `names` (all when None).

    Raises: InputError: the file cannot be read, or no line of it is a measurement.
    """
    history = History()
    try:
        with _open(file) as lines:
            _take(history, lines, names)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{file}: {reason}") from error
    if history.refused and history.refused == history.lines:
        raise InputError(f"{file}: no line of it is a measurement; {history.first_refusal}")
    history.measurements.sort(key=lambda measurement: measurement.ts_ns)
    return history


def _take(history: History, lines: Iterator[str], names: Container[str] | None) -> None:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        history.lines += 1
        try:
            measurement = parse_measurement_line(line, line=number)
        except InputError as error:
            history.refused += 1
            history.first_refusal = history.first_refusal or f"line {number}: {error}"
            continue
        ts_ns = measurement.ts_ns
        history.first_ns = ts_ns if history.first_ns is None else min(history.first_ns, ts_ns)
        history.last_ns = ts_ns if history.last_ns is None else max(history.last_ns, ts_ns)
        if names is None or measurement.name in names:
            history.measurements.append(measurement)
            if len(history.measurements) > MOST_MEASUREMENTS:
                raise InputError(f"more than {MOST_MEASUREMENTS:,} measurements", hint="cut the file with --from, --to")


@contextmanager
def _open(file: str) -> Iterator[Iterator[str]]:
    if file == "-":
        yield iter(sys.stdin)
        return
    path = Path(file)
    with path.open("rb") as start:
        zipped = start.read(2) == _GZIP_MAGIC
    if zipped:
        with gzip.open(path, "rt", encoding="utf-8-sig") as unpacked:
            yield iter(unpacked)
    else:
        with path.open(encoding="utf-8-sig") as lines:
            yield iter(lines)
