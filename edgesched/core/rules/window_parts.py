"""Parts that read windows: whole series, aggregates that the window keeps, and comparisons of them with constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from edgesched.core.windows import Tally, Window, WindowSpec

from .budget import ITEMS_A_STEP, Budget
from .comparison import AGAINST, ORDER
from .durations import duration_text
from .part import NEVER, Change, Part, Run
from .series import Series, measured, numpy_sum
from .verdict import Unknown

NEAR: Final = 1e-9
"""Sums closer to what they are compared with than this part of it are added up again in Python's order.

A window keeps exact sums. Python and numpy round after every addition, so a sum that is exactly 0.6 may be
0.6000000000000001 there, and `== 0.6` false. Only where the difference decides is the second sum made.
"""

AGGREGATES: Final = {
    "avg": "mean",
    "sum": "sum",
    "min": "min",
    "max": "max",
    "any": "any",
    "all": "all",
    "last": "last",
    "median": "median",
    "stddev": "stddev",
    "delta": "delta",
    "len": "count",
}
"""Function of the language -> aggregate of a window; `percentile` has an argument and stands for itself."""

_ORDERED: Final = frozenset(("mean", "sum"))


class Care:
    """Whether sums are to be made in Python's order just now."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = False


def missing(spec: WindowSpec) -> Callable[[], str]:
    """The reason for an empty window."""

    def why() -> str:
        keys = ", ".join(f"{key}={value}" for key, value in spec.meta)
        filtered = f" with {keys}" if keys else ""
        what = "no two values of" if spec.kind == "rate" else "no data for"
        return f"{what} {spec.name}{filtered} in the last {duration_text(spec.since_ns)}"

    return why


def content_change(window: Window) -> Change:
    """When the content of a window changes next."""

    def change(now: int) -> int:
        at = window.next_change(now)
        return NEVER if at is None else at

    return change


def series_part(window: Window, budget: Budget, *, empty_ok: bool) -> Part:
    """All values. An empty window is unknown, or, where nothing is an answer too, an empty series once covered."""
    why = missing(window.spec)

    def run(now: int) -> Series:
        values = window.values(now)
        if not values and not (empty_ok and window.covered(now)):
            raise Unknown(why if not empty_ok else uncovered(window, now))
        budget.charge(1 + len(values) // ITEMS_A_STEP)
        return measured(values)

    change = covered_change(window) if empty_ok else content_change(window)
    return Part(run, change, windows=(window,), pure=not empty_ok, heavy=True)


def uncovered(window: Window, now: int) -> Callable[[], str]:
    """The reason why nothing found is no statement yet."""
    seen, whole = duration_text(window.observed_ns(now)), duration_text(window.spec.since_ns)
    return lambda: f"{missing(window.spec)()}, of which {seen} of {whole} have been observed"


def covered_change(window: Window) -> Change:
    """When the content changes next, or the window is covered for its whole length."""
    content = content_change(window)

    def change(now: int) -> int:
        covered = window.observed_since_ns + window.spec.since_ns
        return min(content(now), covered if covered > now else NEVER)

    return change


def aggregate_part(window: Window, aggregate: str, care: Care, q: float = 50.0) -> Part:
    """An aggregate of a window; unknown when it is empty, or for stddev has one value only."""
    read = window.ask(aggregate, q)
    why = missing(window.spec)
    size = window.ask("count")
    ordered = _in_order(window, aggregate) if aggregate in _ORDERED and window.spec.kind == "v" else None

    def run(now: int) -> Any:
        found = read(now)
        if found is None or (found == 0 and aggregate == "count"):
            raise Unknown((lambda: f"one value of {window.spec.name}: stddev() needs two") if size(now) else why)
        return found

    def careful(now: int) -> Any:
        return ordered(now) if care.on and ordered is not None else run(now)

    change = content_change(window)
    return Part(run if ordered is None else careful, change, windows=(window,), pure=True, sums=ordered is not None)


def _in_order(window: Window, aggregate: str) -> Run:
    """sum() as Python adds, or the mean as numpy does; computed once for one content."""
    epoch, value = -1, 0.0
    why = missing(window.spec)

    def read(now: int) -> float:
        nonlocal epoch, value
        values = window.values(now)
        if not values:
            raise Unknown(why)
        if epoch != window.epoch:
            value = numpy_sum(values) / len(values) if aggregate == "mean" else _python_sum(values)
            epoch = window.epoch
        return value

    return read


def _python_sum(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def count_part(window: Window, tally: Tally | None) -> Part:
    """How many values there are, or for how many a comparison holds. None is a statement of absence: only of a window
    that has been observed for its whole length.
    """
    read = window.ask("count") if tally is None else tally.count

    def run(now: int) -> int:
        n: int = read(now)
        if n == 0 and not window.covered(now):
            raise Unknown(uncovered(window, now))
        return n

    return Part(run, covered_change(window), windows=(window,))


def tally_part(window: Window, tally: Tally, function: str) -> Part:
    """`any` or `all` of a comparison of the values with a constant, or `sum`: for how many it holds."""
    read = {"any": tally.any, "all": tally.all, "sum": tally.count}[function]
    why = missing(window.spec)
    size = window.ask("count")

    def run(now: int) -> Any:
        found = read(now)
        if found is None or (found == 0 and function == "sum" and not size(now)):
            raise Unknown(why)
        return found

    return Part(run, content_change(window), windows=(window,), pure=True)


def compared_part(part: Part, window: Window, aggregate: str, op: str, bound: float) -> Part:
    """An aggregate compared with a constant number."""
    test, run = ORDER[op], part.run
    if not part.sums:
        return Part(AGAINST[op](run, bound), part.change, windows=part.windows, pure=True)
    read, why, ordered = window.ask(aggregate), missing(window.spec), _in_order(window, aggregate)
    slack = abs(bound) * NEAR if math.isfinite(bound) else 0.0
    low, high = bound - slack, bound + slack

    def compare(now: int) -> bool:
        found = read(now)
        if found is None:
            raise Unknown(why)
        if low <= found <= high:
            found = ordered(now)
        decided: bool = test(found, bound)
        return decided

    return Part(compare, part.change, windows=part.windows, pure=True)
