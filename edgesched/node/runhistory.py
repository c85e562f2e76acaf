"""The runs of the last 24 hours, for the timeline: heard from the decisions in the log, bounded, lost at a restart.

The planner forgets a run when its pod is gone; this is what remains of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from edgesched.core.model import DAY_NS
from edgesched.ports import Clock

KEPT_RUNS: Final = 3000
ENDS: Final = {"plugin.complete": "completed", "plugin.failed": "failed", "plugin.missed": "missed"}
STARTS: Final = frozenset({"plugin.queued", "plugin.scheduled", "plugin.running"})


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


class RunHistory:
    """Keeps the newest `KEPT_RUNS` runs that ended within a day or have not ended. Callable from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, PastRun] = OrderedDict()

    def hear(self, event: str, fields: dict[str, Any]) -> None:
        """Take one line of the log."""
        run_id = fields.get("run")
        if not run_id or (event not in ENDS and event not in STARTS):
            return
        now_ns = self._clock.now().ts_ns
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                run = self._runs[run_id] = PastRun(str(fields.get("job", "")), str(fields.get("plugin", "")), now_ns)
                if len(self._runs) > KEPT_RUNS:
                    self._runs.popitem(last=False)
            if event in ENDS:
                run.ended_ns, run.outcome, run.reason = now_ns, ENDS[event], str(fields.get("reason", ""))
            else:
                run.outcome = event.partition(".")[2]
                if event != "plugin.queued" and not run.started_ns:
                    run.started_ns = now_ns

    def runs(self) -> list[PastRun]:
        """Return copies of the runs of the last 24 hours, oldest first."""
        oldest_ns = self._clock.now().ts_ns - DAY_NS
        with self._lock:
            for run_id in [key for key, run in self._runs.items() if 0 < run.ended_ns < oldest_ns]:
                del self._runs[run_id]
            return [
                PastRun(run.job_id, run.plugin, run.queued_ns, run.started_ns, run.ended_ns, run.outcome, run.reason)
                for run in self._runs.values()
            ]
