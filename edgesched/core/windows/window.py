"""What rules see of a window."""

from __future__ import annotations

from .moving import NEVER, MovingWindow
from .readings import Reading, Tally, reading
from .spec import Value, WindowSpec


class Window(MovingWindow):
    """A window that can be asked; made by `WindowStore.require`, shared by all who require the same spec.

    Aggregates other than `count` are None while the window is empty. `sum mean median stddev percentile delta` raise
    `NotNumericError` while it holds a value that is no number; `count min max last any all` take any value as Python
    does. A window of kind `rate` takes numbers only.
    """

    def __init__(self, spec: WindowSpec, now_ns: int, observed_since_ns: int) -> None:
        super().__init__(spec, now_ns, observed_since_ns)
        self._readings: dict[tuple[str, float], Reading] = {}
        self._tallies: dict[tuple[str, type, Value], Tally] = {}

    def timed(self, now_ns: int) -> list[tuple[int, Value]]:
        """(ts_ns, value) in time order, ties by series; for `rate` the time is the start of the bin."""
        self.settle(now_ns)
        return list(self._timed())

    def values(self, now_ns: int) -> list[Value]:
        """The values in time order, ties by series. Raises NotNumericError for a rate of other values than numbers."""
        self.settle(now_ns)
        return self.content()

    def ask(self, aggregate: str, q: float = 50.0) -> Reading:
        """Have an aggregate kept up to date; returns the fast function now_ns -> value of that aggregate.

        `aggregate`: a name in `AGGREGATES`; `q` in 0..100 belongs to `percentile`.
        """
        key = (aggregate, q if aggregate == "percentile" else 0.0)
        known = self._readings.get(key)
        if known is None:
            known = self._readings[key] = reading(self, aggregate, q)
        return known

    def compare(self, op: str, constant: Value) -> Tally:
        """Have `value OP constant` counted; `op` one of `< <= > >= == !=`, `constant` hashable."""
        key = (op, type(constant), constant)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(self, op, constant)
        return tally

    def count(self, now_ns: int) -> int:
        """Number of values."""
        n: int = self.ask("count")(now_ns)
        return n

    def sum(self, now_ns: int) -> float | None:
        """Exact sum, rounded once."""
        total: float | None = self.ask("sum")(now_ns)
        return total

    def mean(self, now_ns: int) -> float | None:
        """Exact mean, rounded once."""
        mean: float | None = self.ask("mean")(now_ns)
        return mean

    def min(self, now_ns: int) -> Value:
        """Smallest value, NaN when one is NaN; among other values than numbers as Python decides."""
        return self.ask("min")(now_ns)

    def max(self, now_ns: int) -> Value:
        """Greatest value, NaN when one is NaN; among other values than numbers as Python decides."""
        return self.ask("max")(now_ns)

    def last(self, now_ns: int) -> Value:
        """Newest value; of several at the same time that of the last series."""
        return self.ask("last")(now_ns)

    def median(self, now_ns: int) -> float | None:
        """The middle value, or the mean of the middle two."""
        median: float | None = self.ask("median")(now_ns)
        return median

    def percentile(self, now_ns: int, q: float) -> float | None:
        """The q-th percentile, 0..100, linear between neighbours as numpy has it by default."""
        percentile: float | None = self.ask("percentile", q)(now_ns)
        return percentile

    def stddev(self, now_ns: int) -> float | None:
        """Standard deviation of a sample (n - 1); None with fewer than two values."""
        stddev: float | None = self.ask("stddev")(now_ns)
        return stddev

    def delta(self, now_ns: int) -> float | None:
        """Newest value minus oldest value."""
        delta: float | None = self.ask("delta")(now_ns)
        return delta

    def any(self, now_ns: int) -> bool | None:
        """Whether one value is true (not zero, not empty)."""
        found: bool | None = self.ask("any")(now_ns)
        return found

    def all(self, now_ns: int) -> bool | None:
        """Whether every value is true."""
        found: bool | None = self.ask("all")(now_ns)
        return found

    def observed_ns(self, now_ns: int) -> int:
        """How much of the window has been observed, 0..since_ns."""
        return max(0, min(self.since_ns, now_ns - self.observed_since_ns))

    def covered(self, now_ns: int) -> bool:
        """Whether the window has been observed for its whole length: only then does absence mean anything."""
        return now_ns - self.since_ns >= self.observed_since_ns

    def next_change(self, now_ns: int) -> int | None:
        """First ns after `now_ns` at which the content may differ although nothing arrives, None: never."""
        self.settle(now_ns)
        return self.calm_until if self.calm_until < NEVER else None
