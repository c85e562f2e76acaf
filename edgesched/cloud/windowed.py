"""Aggregates of the data query: one value a window, or one for the whole range.

Windows are aligned to the epoch and stand under the time of their end, cut at the end of the range, as the public data
API's store does it. Only numbers count; a window without numbers has no record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Final

FUNCTIONS: Final[dict[str, Callable[[list[float]], float]]] = {
    "mean": lambda values: math.fsum(values) / len(values),
    "min": min,
    "max": max,
    "sum": math.fsum,
    "count": len,
}


def windowed(records: Iterable[tuple[int, str]], name: str, window_ns: int, end_ns: int) -> Iterator[tuple[int, str]]:
    """Yield (time in ns, value as JSON) of each window; `records` are (time, value as JSON) in the order of time."""
    function = FUNCTIONS[name]
    numbers = ((ts_ns, number) for ts_ns, text in records if (number := _number(text)) is not None)
    for window, group in groupby(numbers, key=lambda pair: pair[0] // window_ns if window_ns else 0):
        pairs = list(group)
        stamp_ns = min((window + 1) * window_ns, end_ns) if window_ns else pairs[-1][0]
        yield stamp_ns, json.dumps(function([number for _, number in pairs]))


def _number(text: str) -> float | None:
    value = json.loads(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None
