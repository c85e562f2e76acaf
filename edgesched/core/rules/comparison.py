"""Comparing, looking into, indexing and the truth of values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from .arithmetic import broadcast, class_shown
from .budget import ITEMS_A_STEP, Budget
from .part import Run
from .series import Series, of
from .verdict import Unknown

ORDER: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
AGAINST: Final[dict[str, Callable[[Run, float], Run]]] = {
    "<": lambda run, bound: lambda now: run(now) < bound,
    "<=": lambda run, bound: lambda now: run(now) <= bound,
    ">": lambda run, bound: lambda now: run(now) > bound,
    ">=": lambda run, bound: lambda now: run(now) >= bound,
    "==": lambda run, bound: lambda now: run(now) == bound,
    "!=": lambda run, bound: lambda now: run(now) != bound,
}
"""A number compared with a constant one: what most rules do, so it is worth a function without a call inside."""

_SIMPLE: Final = frozenset((bool, int, float, str, type(None)))


def truth(value: Any) -> bool:
    """The truth of a value. Raises Unknown for a series of several values."""
    if value.__class__ is Series:
        if len(value.values) > 1:
            n = len(value.values)
            raise Unknown(lambda: f"{n} values: say any(), all() or last()")
        return bool(value.values and value.values[0])
    return bool(value)


def compare(op: str, budget: Budget) -> Callable[[Any, Any], Any]:
    """The function of two values for a comparison operator; element-wise when one is a series. It raises TypeError."""
    if op in ("in", "not in"):
        found = op == "in"
        return lambda a, b: contains(a, b, budget) is found
    if op in ("is", "is not"):
        same = op == "is"
        return lambda a, b: is_same(a, b) is same
    test = ORDER[op]

    def operate(a: Any, b: Any) -> Any:
        if a.__class__ in _SIMPLE and b.__class__ in _SIMPLE:
            return _ordered(test, a, b)
        if a.__class__ is Series or b.__class__ is Series:
            return _elementwise(test, a, b, budget)
        budget.weigh(a)
        budget.weigh(b)
        return _ordered(test, a, b)

    return operate


def _ordered(test: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    try:
        return test(a, b)
    except TypeError:
        raise TypeError(f"{class_shown(a)} and {class_shown(b)} have no order") from None


def as_float(value: Any) -> Any:
    """An integer as numpy sees it beside a measured value: as a float, if it has at most 64 bits."""
    return float(value) if value.__class__ is int and -(1 << 63) <= value < 1 << 63 else value


def _elementwise(test: Callable[[Any, Any], Any], a: Any, b: Any, budget: Budget) -> Series:
    left, right = _operand(a), _operand(b)
    if left.holds == "float" and right.holds == "other":
        right = Series([as_float(value) for value in right.values], "other")
    elif right.holds == "float" and left.holds == "other":
        left = Series([as_float(value) for value in left.values], "other")
    values, others = broadcast(left, right, budget)
    return Series([_ordered(test, x, y) for x, y in zip(values, others, strict=True)], "bool")


def _operand(value: Any) -> Series:
    if value.__class__ is Series:
        series: Series = value
        return series
    if isinstance(value, list | tuple | range):
        return of(value[:100_001])
    return Series([value], "other")


def contains(item: Any, container: Any, budget: Budget) -> bool:
    """`item in container`. Raises TypeError."""
    if container.__class__ is Series:
        budget.charge(1 + len(container.values) // ITEMS_A_STEP)
        return any(value == item for value in container.values)
    if isinstance(container, str):
        if not isinstance(item, str):
            raise TypeError(f"`in` looks for a text in a text, not for {class_shown(item)}")
        budget.charge(1 + len(container) // 64)
        return item in container
    if isinstance(container, range):
        whole = isinstance(item, int) or (isinstance(item, float) and item.is_integer())
        return whole and int(item) in container
    if isinstance(container, bool | int | float | None):
        raise TypeError(f"`in` looks into a list or a text, not into {class_shown(container)}")
    equal = compare("==", budget)
    return any(value is item or truth(equal(value, item)) for value in budget.lazily(container))


def is_same(a: Any, b: Any) -> bool:
    """`a is b`. Equal constants are one object, as they are within one expression of Python."""
    return a is b or (a.__class__ is b.__class__ and a.__class__ in (int, str) and a == b)


def item(value: Any, index: Any, budget: Budget) -> Any:
    """`value[index]`, where `index` may be a slice. Raises TypeError, IndexError or ValueError."""
    if value.__class__ is Series:
        return _series_item(value, index, budget)
    if not isinstance(value, list | tuple | str | range):
        raise TypeError(f"{class_shown(value)} has no items")
    if isinstance(index, slice):
        if not isinstance(value, range):
            budget.charge(1 + len(value) // ITEMS_A_STEP)
        return value[index]
    if not isinstance(index, int):
        raise TypeError(f"an index is an integer, not {class_shown(index)}")
    try:
        return value[index]
    except IndexError:
        raise IndexError(f"there is no item {index}: {class_shown(value)} has {len(value)}") from None


def _series_item(series: Series, index: Any, budget: Budget) -> Any:
    values = series.values
    if isinstance(index, slice):
        budget.charge(1 + len(values) // ITEMS_A_STEP)
        return Series(values[index], series.holds)
    if index.__class__ is int:
        try:
            return values[index]
        except IndexError:
            raise IndexError(f"there is no value {index}: the series has {len(values)}") from None
    chosen = of(index) if isinstance(index, list) else index
    if chosen.__class__ is Series and chosen.holds == "bool":
        if len(chosen.values) != len(values):
            raise IndexError(f"{len(chosen.values)} comparisons do not choose from {len(values)} values")
        budget.charge(1 + len(values) // ITEMS_A_STEP)
        return Series([value for value, wanted in zip(values, chosen.values, strict=True) if wanted], series.holds)
    if chosen.__class__ is Series and chosen.holds == "int":
        budget.charge(1 + len(chosen.values))
        return Series([values[i] for i in chosen.values], series.holds)
    raise TypeError(f"an index is an integer, not {class_shown(index)}")
