"""The bounds of one evaluation: how much work it may do and how large its integers may become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from .literals import BIGGEST_INT
from .series import Series

MAX_STEPS: Final = 100_000
ITEMS_A_STEP: Final = 10
"""Items that an operation on a whole series goes through in one step."""


class RuleFault(Exception):  # noqa: N818  # an error of a rule, told as a verdict
    """An evaluation that cannot go on: an error verdict with this text."""


class Budget:
    """Counts the steps of one evaluation. A step is about one operation of Python."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps = 0

    def charge(self, steps: int) -> None:
        """Spend steps. Raises RuleFault when there are none left."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise RuleFault(f"more than {MAX_STEPS} steps")

    def items(self, values: Any) -> Iterable[Any]:
        """Go through a value, paying for each item (a sized one is paid for at once). Raises TypeError."""
        if isinstance(values, Series):
            self.charge(len(values.values) // ITEMS_A_STEP)
            return values.values
        if isinstance(values, list | tuple | str):
            self.charge(len(values))
            return values
        if isinstance(values, range):
            self.charge(min(len_of_range(values), MAX_STEPS + 1))
            return values
        return self._counted(iter(values))

    def lazily(self, values: Any) -> Iterable[Any]:
        """Go through a value that may be left before its end: a long range is paid for item by item."""
        if isinstance(values, range) and len_of_range(values) > MAX_STEPS - self.steps:
            return self._counted(iter(values))
        return self.items(values)

    def _counted(self, values: Iterator[Any]) -> Iterator[Any]:
        for value in values:
            self.charge(1)
            yield value

    def listed(self, values: Any) -> list[Any]:
        """The items of a value as a new list."""
        left = MAX_STEPS - self.steps
        found = list(islice(self.items(values), left + 1))
        if len(found) > left:
            self.charge(left + 1)
        return found

    def weigh(self, value: Any) -> None:
        """Pay for everything inside a value, as often as it is there: before it is compared or shown whole."""
        waiting = [value]
        while waiting:
            found = waiting.pop()
            if isinstance(found, list | tuple):
                self.charge(len(found) + 1)
                waiting.extend(found)
            elif isinstance(found, str):
                self.charge(len(found) // 64)
            elif isinstance(found, int):
                self.charge(found.bit_length() // 32)


def len_of_range(values: range) -> int:
    """Number of items, also where it is beyond what `len` can tell."""
    return max(0, (values.stop - values.start + values.step - (1 if values.step > 0 else -1)) // values.step)


def bounded(value: Any) -> Any:
    """The value, if it is no integer beyond 2**1024. Raises RuleFault."""
    if value.__class__ is int and not -BIGGEST_INT <= value <= BIGGEST_INT:
        raise RuleFault("an integer beyond 2**1024")
    return value
