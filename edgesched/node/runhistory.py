"""The runs of the last 24 hours, for the timeline: heard from the decisions in the log, and bounded.

The planner forgets a run when its pod is gone; this is what remains of it. It is written with the windows, now and then
and at the stop. What happened between the last writing and a kill is in the plugins' stories, which are durable.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from typing import Any, Final

from edgesched.core.model import DAY_NS, SECOND_NS
from edgesched.core.plan.state import NodeState, PluginState
from edgesched.ports import Clock

FILE: Final = "runs.json.z"
LARGEST: Final = 4 * 2**20
KEPT_RUNS: Final = 3000
LONGEST_REASON: Final = 200
ENDS: Final = {"plugin.complete": "completed", "plugin.failed": "failed", "plugin.missed": "missed"}
STARTS: Final = frozenset({"plugin.queued", "plugin.scheduled", "plugin.running"})
SAME_NS: Final = SECOND_NS
"""The log tells of a run this much after the planner decided on it, at most; two runs are 10 s apart at least."""


@dataclass(slots=True)
class PastRun:
    """A run. Times are wall-clock ns; `ended_ns` 0 while it runs; `outcome`: its last state."""

    job_id: str
    plugin: str
    queued_ns: int
    started_ns: int = 0
    ended_ns: int = 0
    outcome: str = "queued"
    reason: str = ""

    def tell(self, event: str, reason: str, now_ns: int) -> None:
        """Take an event of its life."""
        if event in ENDS:
            self.ended_ns, self.outcome, self.reason = now_ns, ENDS[event], reason[:LONGEST_REASON]
        elif not self.ended_ns:
            self.outcome = event.partition(".")[2]
            if event != "plugin.queued" and not self.started_ns:
                self.started_ns = now_ns

    def is_same(self, other: PastRun) -> bool:
        """Is it the same run, told by somebody else?"""
        names = (self.job_id, self.plugin) == (other.job_id, other.plugin)
        return names and abs(self.queued_ns - other.queued_ns) < SAME_NS


class RunHistory:
    """Keeps the newest `KEPT_RUNS` runs that ended within a day or have not ended. Callable from any thread.

    `told` counts what it was told: the same number, the same runs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: dict[str, PastRun] = {}
        self.told = 0

    def hear(self, event: str, fields: dict[str, Any]) -> None:
        """Take one line of the log."""
        run_id = fields.get("run")
        if not run_id or (event not in ENDS and event not in STARTS):
            return
        now_ns = self._clock.now().ts_ns
        with self._lock:
            self.told += 1
            run = self._runs.get(run_id)
            if run is None:
                run = self._runs[run_id] = PastRun(str(fields.get("job", "")), str(fields.get("plugin", "")), now_ns)
                if len(self._runs) > KEPT_RUNS:
                    del self._runs[next(iter(self._runs))]
            run.tell(event, str(fields.get("reason", "")), now_ns)

    def runs(self) -> list[PastRun]:
        """Return copies of the runs of the last 24 hours, oldest first."""
        oldest_ns = self._clock.now().ts_ns - DAY_NS
        with self._lock:
            for run_id in [key for key, run in self._runs.items() if 0 < run.ended_ns < oldest_ns]:
                del self._runs[run_id]
            return [replace(run) for run in self._runs.values()]

    def dump(self) -> bytes:
        """Return all runs as the content of a file."""
        self.runs()
        with self._lock:
            rows = [[run_id, *astuple(run)] for run_id, run in self._runs.items()]
        return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)

    def restore(self, content: bytes | None, state: NodeState) -> None:
        """Take what a file and the plugins' stories tell of a former life. Raises ValueError, and keeps the stories."""
        known: dict[str, PastRun] = {}
        try:
            known = {} if content is None else _read(content)
        finally:
            for plugin in state.plugins.values():
                _merge(known, plugin)
            _name(known, state)
            for run_id, run in known.items():
                if not run.ended_ns and run_id not in state.runs:
                    # nobody will tell of its end any more
                    run.ended_ns = run.started_ns or run.queued_ns
            newest = sorted(known.items(), key=lambda item: item[1].queued_ns)[-KEPT_RUNS:]
            with self._lock:
                self._runs = dict(newest)


def _read(content: bytes) -> dict[str, PastRun]:
    try:
        rows = json.loads(zlib.decompressobj().decompress(content, LARGEST))
        return {str(run_id): _checked(PastRun(*fields)) for run_id, *fields in rows[-KEPT_RUNS:]}
    except (zlib.error, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _checked(run: PastRun) -> PastRun:
    texts, times = (run.job_id, run.plugin, run.outcome, run.reason), (run.queued_ns, run.started_ns, run.ended_ns)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(time, int) for time in times):
        raise ValueError("a run that is none")
    return run


def _merge(known: dict[str, PastRun], plugin: PluginState) -> None:
    """Complete what is known of a plugin's runs by its story."""
    mine = [run for run in known.values() if (run.job_id, run.plugin) == plugin.key]
    for told in _story(plugin):
        run = next((each for each in mine if each.is_same(told)), None)
        if run is None:
            known[f"{told.job_id}/{told.plugin}/{told.queued_ns}"] = told
        elif not run.ended_ns:
            run.started_ns = run.started_ns or told.started_ns
            run.ended_ns, run.outcome, run.reason = told.ended_ns, told.outcome, told.reason


def _story(plugin: PluginState) -> Iterator[PastRun]:
    """Read the runs out of a story. A plugin has one run at a time; the beginning of the first may be forgotten."""
    run: PastRun | None = None
    for line in plugin.story:
        if line.what == "plugin.queued":
            if run is not None:
                yield run
            run = PastRun(plugin.key.job_id, plugin.key.name, line.ts_ns)
        if run is not None and (line.what in ENDS or line.what in STARTS):
            run.tell(line.what, str(line.fields.get("reason", "")), line.ts_ns)
    if run is not None:
        yield run


def _name(known: dict[str, PastRun], state: NodeState) -> None:
    """Give the runs that the state still holds their ids, so that what is told of them later finds them."""
    for run_id, run in state.runs.items():
        if run_id not in known:
            held = PastRun(run.plugin_key.job_id, run.plugin_key.name, run.created.ts_ns)
            key = next((key for key, past in known.items() if past.is_same(held)), None)
            known[run_id] = held if key is None else known.pop(key)
