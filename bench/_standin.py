"""A stand-in for the reference's rule checker, which is on no registry.

It works the way that one is described: `eval` of the condition's text, a pandas frame of all measurements, one mask
over the whole frame a call, and `iterrows` over what the mask leaves to compare the meta of each row. What it must
match are the reference's rates, not its code: `bench/rules.py` prints both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from croniter import croniter

from edgesched.core.model import Measurement

EXECUTION = "sys.scheduler.plugin.lastexecution"


class StandIn:
    """Evaluates conditions over a frame of measurements."""

    def __init__(self, measurements: list[Measurement], now_ns: int) -> None:
        self.now = pd.Timestamp(now_ns, unit="ns", tz="UTC")
        self.frame = pd.DataFrame(
            {
                "timestamp": pd.to_datetime([m.ts_ns for m in measurements], unit="ns", utc=True),
                "name": pd.Series([m.name for m in measurements], dtype=object),
                "value": pd.Series([m.value for m in measurements], dtype=object),
            }
        )
        self.keys = list(dict.fromkeys(key for m in measurements for key in m.meta))
        for key in self.keys:
            self.frame[f"meta.{key}"] = pd.Series([m.meta.get(key, "") for m in measurements], dtype=object)
        functions = (self.v, self.rate, self.avg, self.time, self.cronjob, self.after)
        self.names: dict[str, Any] = {function.__name__: function for function in functions}

    def evaluate(self, condition: str) -> bool:
        """The verdict."""
        return bool(eval(condition, dict(self.names)))

    def _selected(self, name: str, since: str) -> pd.DataFrame:
        start = self.now + pd.Timedelta(since)
        recent = self.frame[(self.frame["timestamp"] >= start) & (self.frame["timestamp"] < self.now)]
        return recent[recent["name"] == name]

    def _rows(self, name: str, since: str, meta: dict[str, str]) -> list[Any]:
        found = []
        for _, row in self._selected(name, since).iterrows():
            of_row = {key: row[f"meta.{key}"] for key in self.keys}
            if all(of_row.get(key) == text for key, text in meta.items()):
                found.append((row["timestamp"], row["value"]))
        return found

    def v(self, name: str, since: str = "-1m", **meta: str) -> Any:
        """The values."""
        return np.array([value for _, value in self._rows(name, since, meta)])

    def rate(self, name: str, since: str = "-1m", window: str = "1s", unit: str = "1s") -> Any:
        """Mean slopes in bins."""
        found = self._selected(name, since)
        series = pd.Series(found["value"].astype(float).to_numpy(), index=pd.DatetimeIndex(found["timestamp"]))
        elapsed = series.index.to_series().diff().dt.total_seconds() / pd.Timedelta(unit).total_seconds()
        slopes = series.diff() / elapsed
        return slopes[slopes >= 0].resample(pd.Timedelta(window)).mean().dropna().to_numpy()

    @staticmethod
    def avg(values: Any) -> float:
        """The mean."""
        return float(np.average(values))

    def time(self, unit: str) -> int:
        """A field of the time."""
        return int(getattr(self.now, unit))

    def _last_run(self, plugin: str) -> Any:
        for _, row in self._selected(EXECUTION, "-1m").iloc[::-1].iterrows():
            if row["value"] == plugin:
                return row["timestamp"]
        return None

    def cronjob(self, plugin: str, expression: str) -> bool:
        """Whether the latest slot is a minute old at most and the plugin has not run in that time."""
        if not croniter.is_valid(expression):
            return False
        slot = croniter(expression, self.now.to_pydatetime()).get_prev()
        return bool(self.now.timestamp() - slot < 60) and self._last_run(plugin) is None

    def after(self, plugin: str, since: int) -> bool:
        """Whether the last run is more than `since` seconds ago."""
        last = self._last_run(plugin)
        return last is not None and (self.now - last).total_seconds() > since
