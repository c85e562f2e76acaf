"""Arithmetic on numbers and series, with Python's meaning or, for what stems from a series, numpy's.

Only numbers, booleans and series: a text or a list is refused before anything is computed. Integers stay within
2**1024, which also bounds the cost of every operation; powers and shifts are judged by their operands.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final, Literal

from .budget import ITEMS_A_STEP, Budget, RuleFault, bounded
from .series import Holds, Series

Mode = Literal["python", "numpy", "numpy bool"]
"""Whose rules hold for two scalars; `numpy bool`: both are booleans and one at least is numpy's."""

_NUMBERS: Final = frozenset((bool, int, float))
_MAX_BITS: Final = 1024
_WORD: Final = 1 << 64


def _number(value: Any, op: str) -> None:
    if value.__class__ not in _NUMBERS:
        raise TypeError(f"`{op}` takes numbers and series, not {class_shown(value)}")


def class_shown(value: Any) -> str:
    """What a value is, in the words of the rule language."""
    if value is None:
        return "None"
    if isinstance(value, Series):
        return "a series"
    known = {"str": "a text", "list": "a list", "tuple": "a tuple", "range": "a range", "bool": "a bool"}
    return known.get(value.__class__.__name__, "a number" if value.__class__ in _NUMBERS else "an iterator")


def _power(a: Any, b: Any) -> Any:
    if a.__class__ is not float and b.__class__ is not float:
        if b >= 0 and (int(a).bit_length() - 1) * int(b) > _MAX_BITS:
            raise RuleFault("an integer beyond 2**1024")
        if b < 0 and a in (-1, 1):
            return float(a) if b % 2 else 1.0
    found = a**b
    if found.__class__ is complex:
        raise RuleFault("a root of a negative number")
    return found


def _numpy_power(a: Any, b: Any) -> Any:
    if a.__class__ is not float and b.__class__ is not float:
        if b < 0:
            raise ValueError("an integer to a negative power; write 2.0 for 2")
        return _power(a, b)
    x, y = float(a), float(b)
    try:
        found = x**y
    except ZeroDivisionError:
        return -math.inf if math.copysign(1.0, x) < 0 and y % 2 == 1 else math.inf
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    return math.nan if found.__class__ is complex else found


def _numpy_divide(a: Any, b: Any) -> float:
    if b:
        return float(a / b)
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)


def _numpy_floor_divide(a: Any, b: Any) -> Any:
    if b:
        return a // b
    return 0 if a.__class__ is not float and b.__class__ is not float else _numpy_divide(a, b)


def _numpy_modulo(a: Any, b: Any) -> Any:
    if b:
        return a % b
    return 0 if a.__class__ is not float and b.__class__ is not float else math.nan


def _shift_left(a: Any, b: Any) -> Any:
    if b > _MAX_BITS and a:
        raise RuleFault("an integer beyond 2**1024")
    return a << min(b, _MAX_BITS + 1)


def _shift_right(a: Any, b: Any) -> Any:
    return a >> min(b, 2 * _MAX_BITS)


def _no_minus(_a: Any, _b: Any) -> Any:
    raise TypeError("`-` does not take two comparisons")


Scalar = Callable[[Any, Any], Any]

_PYTHON: Final[dict[str, Scalar]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": _power,
    "<<": _shift_left,
    ">>": _shift_right,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
_NUMPY: Final[dict[str, Scalar]] = _PYTHON | {
    "/": _numpy_divide,
    "//": _numpy_floor_divide,
    "%": _numpy_modulo,
    "**": _numpy_power,
}
_NUMPY_BOOL: Final[dict[str, Scalar]] = _NUMPY | {"+": operator.or_, "*": operator.and_, "-": _no_minus}
_TABLES: Final[dict[Mode, dict[str, Scalar]]] = {"python": _PYTHON, "numpy": _NUMPY, "numpy bool": _NUMPY_BOOL}


def binary(op: str, mode: Mode, budget: Budget) -> Scalar:
    """The function of two values for an operator. It raises TypeError, ArithmeticError, ValueError or RuleFault."""
    scalar = _TABLES[mode][op]

    def operate(a: Any, b: Any) -> Any:
        if a.__class__ is float and b.__class__ is float:
            return scalar(a, b)
        if a.__class__ is Series or b.__class__ is Series:
            return _elementwise(op, a, b, budget)
        _number(a, op)
        _number(b, op)
        found = scalar(a, b)
        if found.__class__ is int and not -_WORD < found < _WORD:
            budget.charge(found.bit_length() // 64)
            return bounded(found)
        return found

    return operate


def _elementwise(op: str, a: Any, b: Any, budget: Budget) -> Series:
    left, right = _operand(a, op), _operand(b, op)
    values, others = broadcast(left, right, budget)
    both_bool = left.holds == right.holds == "bool"
    scalar = (_NUMPY_BOOL if both_bool else _NUMPY)[op]
    if "float" in (left.holds, right.holds) and op in ("&", "|", "^", "<<", ">>"):
        raise TypeError(f"`{op}` does not take measured values, only comparisons and integers")
    holds = _held(op, left.holds, right.holds)
    found = [scalar(x, y) for x, y in zip(values, others, strict=True)]
    if holds == "int":
        found = [bounded(int(value)) for value in found]
    elif holds == "float":
        found = [float(value) for value in found]
    return Series(found, holds)


def _held(op: str, left: Holds, right: Holds) -> Holds:
    if op == "/" or "float" in (left, right):
        return "float"
    if left == right == "bool" and op in ("+", "*", "&", "|", "^"):
        return "bool"
    return "int"


def _operand(value: Any, op: str) -> Series:
    if value.__class__ is Series:
        if value.holds == "other":
            raise TypeError(f"`{op}` takes numbers, and the series holds other values")
        series: Series = value
        return series
    _number(value, op)
    return Series([value], {bool: "bool", int: "int", float: "float"}[value.__class__])  # type: ignore[arg-type]


def broadcast(left: Series, right: Series, budget: Budget) -> tuple[list[Any], list[Any]]:
    """Two lists of one length; a single value goes with any number of values. Raises ValueError."""
    a, b = left.values, right.values
    budget.charge(1 + (len(a) + len(b)) // ITEMS_A_STEP)
    if len(a) == len(b):
        return a, b
    if len(a) == 1:
        return a * len(b), b
    if len(b) == 1:
        return a, b * len(a)
    raise ValueError(f"a series of {len(a)} values and one of {len(b)}")


_SIGNS: Final[dict[str, Callable[[Any], Any]]] = {"-": operator.neg, "+": operator.pos, "~": operator.invert}


def unary(op: str, *, numpy_bool: bool, budget: Budget) -> Callable[[Any], Any]:
    """The function of one value for `-`, `+` or `~`."""
    scalar = _SIGNS[op]

    def operate(a: Any) -> Any:
        if a.__class__ is Series:
            return _unary_elementwise(op, scalar, a, budget)
        _number(a, op)
        if numpy_bool:
            return _invert_bool(op, a)
        return scalar(a)

    return operate


def _invert_bool(op: str, value: bool) -> bool:
    if op != "~":
        raise TypeError(f"`{op}` does not take a comparison")
    return not value


def _unary_elementwise(op: str, scalar: Callable[[Any], Any], a: Series, budget: Budget) -> Series:
    series = _operand(a, op)
    budget.charge(1 + len(series.values) // ITEMS_A_STEP)
    if series.holds == "bool":
        return Series([_invert_bool(op, value) for value in series.values], "bool")
    if series.holds == "float" and op == "~":
        raise TypeError("`~` does not take measured values, only comparisons and integers")
    return Series([scalar(value) for value in series.values], series.holds)


def magnitude(value: Any, budget: Budget) -> Any:
    """abs()."""
    if value.__class__ is Series:
        series = _operand(value, "abs()")
        budget.charge(1 + len(series.values) // ITEMS_A_STEP)
        return series if series.holds == "bool" else Series([abs(x) for x in series.values], series.holds)
    _number(value, "abs()")
    return abs(value)
