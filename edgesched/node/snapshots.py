"""Warm windows after a restart: the samples of all windows, written at the stop and now and then; the run history, too.

Wear. A snapshot is as large as the windows are; an interval of ten minutes makes 144 a day. When that would be more
than `WEAR_BYTES_A_DAY`, snapshots are taken less often, so that a day's writing stays below it. A snapshot in which
nothing is new is not written. After a kill the samples since the last snapshot are missing; windows then say so.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any, Final

from edgesched.adapters.statedir import StateDir
from edgesched.core.model import Instant
from edgesched.core.plan.state import NodeState
from edgesched.core.windows import WindowStore
from edgesched.errors import EdgeSchedError
from edgesched.node import runhistory
from edgesched.node.engine import Engine
from edgesched.node.runhistory import RunHistory
from edgesched.ports import Notice

FILE: Final = "windows.json.z"
WEAR_BYTES_A_DAY: Final = 200 * 2**20
DAY_S: Final = 86_400
LOOK_S: Final = 5.0
LARGEST: Final = 256 * 2**20


class Snapshots:
    """Writes the windows of a node, and its `history` if it has one, to its state directory. `run` is a thread's body.

    `interval_s`: 0 writes at the stop only.
    """

    def __init__(
        self,
        folder: StateDir,
        engine: Engine[NodeState],
        *,
        interval_s: float,
        notice: Notice,
        history: RunHistory | None = None,
    ) -> None:
        self._folder = folder
        self._history = history
        self._told = 0
        self._engine = engine
        self._interval_s = interval_s
        self._notice = notice
        self._written: object = None
        self.size = 0
        self.count = 0

    @property
    def pause_s(self) -> float:
        """Seconds between two snapshots, as the size of the last one allows."""
        return max(self._interval_s, self.size * DAY_S / WEAR_BYTES_A_DAY)

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Write a snapshot every interval until `stop` is set."""
        last_s = time.monotonic()
        while not stop.wait(LOOK_S):
            beat()
            if self._interval_s and time.monotonic() - last_s >= self.pause_s:
                last_s = time.monotonic()
                try:
                    snapshot = self._engine.ask(_taken)
                except TimeoutError:
                    continue
                self.write(snapshot)

    def write_last(self, state: NodeState, now: Instant) -> None:
        """Write the windows at the stop, when no engine runs any more."""
        self.write(_taken(state, now))

    def write(self, snapshot: dict[str, Any]) -> None:
        """Write a snapshot unless nothing is new in it; a failure is told and costs nothing else."""
        self._write_history()
        if snapshot["names"] == self._written:
            return
        content = zlib.compress(json.dumps(snapshot, separators=(",", ":")).encode(), 1)
        try:
            self._folder.replace(FILE, content)
        except OSError as error:
            self._notice("windows.unwritten", level="warning", error=str(error), size=len(content))
            return
        self._written = snapshot["names"] if len(content) < 2**20 else None
        self.size = len(content)
        self.count += 1
        self._notice("windows.written", level="debug", size=self.size, next_in_s=round(self.pause_s))

    def _write_history(self) -> None:
        if self._history is None or self._history.told == self._told:
            return
        told = self._history.told
        try:
            self._folder.replace(runhistory.FILE, self._history.dump())
        except OSError as error:
            self._notice("runs.unwritten", level="warning", error=str(error))
        else:
            self._told = told


def warm(windows: WindowStore, folder: StateDir, now_ns: int, notice: Notice) -> None:
    """Give windows the samples of the last snapshot, if there is one that makes sense."""
    content = folder.read(FILE)
    if content is None:
        return
    try:
        unpacked = zlib.decompressobj().decompress(content, LARGEST)
        windows.restore(json.loads(unpacked), now_ns)
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, EdgeSchedError) as error:
        notice("windows.unreadable", level="warning", error=str(error) or type(error).__name__, size=len(content))


def _taken(state: NodeState, now: Instant) -> dict[str, Any]:
    return state.windows.snapshot(now.ts_ns)
