"""Series of values inside an evaluation: what numpy's one-dimensional arrays are to the reference.

Plain lists of Python values with a mark of what they hold; rules see few enough values that a vector library would
cost more than it saves, and its import alone costs more memory than the rest of the agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

Holds = Literal["float", "bool", "int", "other"]


class Series:
    """`values` in order; `holds`: the class of all of them, `other` for texts and mixtures."""

    __slots__ = ("holds", "values")

    def __init__(self, values: list[Any], holds: Holds) -> None:
        self.values = values
        self.holds: Holds = holds


_CLASSES: Final[dict[frozenset[type], Holds]] = {
    frozenset((float,)): "float",
    frozenset((bool,)): "bool",
    frozenset((int,)): "int",
    frozenset((int, bool)): "int",
    frozenset((int, float)): "float",
    frozenset((int, float, bool)): "float",
    frozenset((float, bool)): "float",
    frozenset(): "float",
}


def of(values: Iterable[Any]) -> Series:
    """A series of values as they come; numbers of several classes become floats."""
    found = list(values)
    holds = _CLASSES.get(frozenset(map(type, found)), "other")
    if holds == "float":
        found = [float(value) for value in found]
    elif holds == "int":
        found = [int(value) for value in found]
    return Series(found, holds)


def measured(values: list[Any]) -> Series:
    """A series of stored samples: floats, or other values as they came."""
    return Series(values, "float" if frozenset(map(type, values)) <= {float} else "other")


def numpy_sum(values: list[float]) -> float:
    """The sum in the order in which numpy adds: eight strands, in halves above 128 values.

    Floats do not add up to the same in every order; `.sum()`, `.mean()` and `avg` are numpy's in the reference, and
    a rule that compares with `==` can tell.
    """
    n = len(values)
    if n < 8:
        total = -0.0
        for value in values:
            total += value
        return total + 0.0 if n else 0.0
    if n <= 128:
        strands = list(values[:8])
        whole = n - n % 8
        for i in range(8, whole, 8):
            for k in range(8):
                strands[k] += values[i + k]
        a, b, c, d, e, f, g, h = strands
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
        for value in values[whole:]:
            total += value
        return total
    half = n // 2
    half -= half % 8
    return numpy_sum(values[:half]) + numpy_sum(values[half:])
