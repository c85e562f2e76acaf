"""Facts from a list of measurements: what `eval` and the conformance vectors evaluate against.

There is no record of the agent's own here, so the messages that schedulers publish stand in for it: the last
`sys.scheduler.plugin.lastexecution` before now whose value is the plugin's name. (A running agent ignores them: any
plugin can publish one.) No slot is claimed but by such a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edgesched.core.model import Measurement, Site
from edgesched.core.windows import WindowStore
from edgesched.errors import RuleError

from .condition import GRACE_NS, compile_condition

LAST_EXECUTION: Final = "sys.scheduler.plugin.lastexecution"


class HistoryFacts:
    """What was known at `now_ns`. Windows take the measurements that were given before they were required, too."""

    def __init__(self, measurements: Iterable[Measurement], now_ns: int, site: Site | None = None) -> None:
        self.windows = WindowStore.with_history()
        self.site = site
        self.now_ns = now_ns
        self.measurements = list(measurements)
        self._runs: dict[str, int] = {}
        for measurement in self.measurements:
            if measurement.name == LAST_EXECUTION and measurement.ts_ns < now_ns:
                plugin = str(measurement.value)
                self._runs[plugin] = max(measurement.ts_ns, self._runs.get(plugin, measurement.ts_ns))

    def fill(self) -> None:
        """Give the windows that have been required their measurements."""
        wanted = self.windows.names()
        for measurement in self.measurements:
            if measurement.name in wanted:
                self.windows.append(measurement, self.now_ns)

    def last_run(self, plugin: str) -> int | None:
        """When the plugin last ran before now."""
        return self._runs.get(plugin)

    def slot_claimed(self, _expr: str, _fire_ns: int) -> bool:
        """Nothing claims slots here."""
        return False


def evaluate_text(
    condition: str,
    measurements: Iterable[Measurement],
    now_ns: int,
    *,
    site: Site | None = None,
    grace_ns: int = GRACE_NS,
) -> tuple[str, str]:
    """Evaluate a condition against a history: (`true`, `false`, `unknown` or `error`, the reason).

    A condition that cannot be compiled is an `error` with its message, place and hint.
    """
    try:
        compiled = compile_condition(condition, grace_ns=grace_ns)
    except RuleError as error:
        place = f"column {error.column}: " if error.column else ""
        return "error", f"{place}{error}"
    facts = HistoryFacts(measurements, now_ns, site)
    bound = compiled.bind(facts, now_ns)
    facts.fill()
    verdict = bound.evaluate(now_ns)
    return verdict.word, verdict.reason
