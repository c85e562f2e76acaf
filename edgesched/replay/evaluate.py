"""One condition, at one time, on a set of recorded measurements: what `edgesched eval` answers.

The measurements are the whole history: what is not among them did not happen. Of plugins only the recorded executions
are known (`sys.scheduler.plugin.lastexecution`, whose value is the plugin's name).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edgesched.core.model import Measurement, Site
from edgesched.core.plan.announce import LAST_EXECUTION
from edgesched.core.rules import Verdict, compile_condition
from edgesched.core.windows import WindowStore


@dataclass(slots=True)
class RecordedFacts:
    """What a condition may ask of a recording."""

    windows: WindowStore = field(default_factory=WindowStore.with_history)
    site: Site | None = None
    _runs: dict[str, int] = field(default_factory=dict)

    def last_run(self, plugin: str) -> int | None:
        """Time of the last recorded execution."""
        return self._runs.get(plugin)

    def slot_claimed(self, expr: str, fire_ns: int) -> bool:  # noqa: ARG002 - the ledger of a recording is empty
        """No slot is known to be claimed; executions speak for themselves."""
        return False

    def take(self, measurement: Measurement, now_ns: int) -> None:
        """Add one measurement."""
        self.windows.append(measurement, now_ns)
        if measurement.name == LAST_EXECUTION and measurement.ts_ns <= now_ns and isinstance(measurement.value, str):
            self._runs[measurement.value] = max(measurement.ts_ns, self._runs.get(measurement.value, 0))


def evaluate_condition(
    text: str, measurements: Iterable[Measurement], now_ns: int, *, site: Site | None = None
) -> Verdict:
    """Evaluate a condition. Raises: RuleError: it is no condition of the language."""
    condition = compile_condition(text)
    facts = RecordedFacts(site=site)
    bound = condition.bind(facts, now_ns)
    for measurement in measurements:
        facts.take(measurement, now_ns)
    return bound.evaluate(now_ns)
