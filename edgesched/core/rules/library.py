"""What the functions of the table do with values that are there.

Each takes the budget and the arguments in the order of the parameters, `NOTHING` where the default counts. Functions
of windows appear here for what is not a window itself: a list, a part of a series, a computed series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Final

from .arithmetic import binary, class_shown, magnitude
from .budget import Budget, RuleFault, bounded, len_of_range
from .comparison import compare, truth
from .series import Series, numpy_sum
from .verdict import Unknown

NOTHING: Final = object()
"""An argument that is not given."""
MAX_DIGITS: Final = 30
_NUMBERS: Final = frozenset((bool, int, float))

Implementation = Callable[..., Any]


def _given(value: Any, default: Any) -> Any:
    return default if value is NOTHING else value


def _integer(value: Any, what: str) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{what} must be an integer, not {class_shown(value)}")
    return int(value)


def _only(value: Any, function: str) -> Any:
    """The only value of a series; any other value as it is."""
    if value.__class__ is not Series:
        return value
    if len(value.values) != 1:
        raise TypeError(f"{function}() of {len(value.values)} values")
    return value.values[0]


# --- Python's functions


def _all(budget: Budget, values: Any) -> bool:
    return all(truth(value) for value in budget.lazily(iterable(values)))


def _any(budget: Budget, values: Any) -> bool:
    return any(truth(value) for value in budget.lazily(iterable(values)))


def iterable(value: Any) -> Any:
    """The value, if it can be gone through. Raises TypeError."""
    if value is None or value.__class__ in _NUMBERS:
        raise TypeError(f"{class_shown(value)} has no items")
    return value


def _bool(_budget: Budget, value: Any) -> bool:
    return truth(_given(value, False))


def _enumerate(budget: Budget, values: Any, start: Any) -> Any:
    return enumerate(budget.lazily(iterable(values)), _integer(_given(start, 0), "start"))


def _float(budget: Budget, value: Any) -> float:
    found = _only(_given(value, 0.0), "float")
    return float(_convertible(budget, found, "float"))


def _int(budget: Budget, value: Any, base: Any) -> int:
    found = _convertible(budget, _only(_given(value, 0), "int"), "int")
    if base is NOTHING:
        return int(bounded(int(found)))
    if not isinstance(found, str):
        raise TypeError("int() with a base takes a text")
    return int(bounded(int(found, _integer(base, "base"))))


def _convertible(budget: Budget, value: Any, function: str) -> Any:
    if isinstance(value, str):
        budget.charge(1 + len(value) // 4)
        if len(value) > 400:
            raise ValueError(f"{function}() of a text of {len(value)} characters")
    elif value.__class__ not in _NUMBERS:
        raise TypeError(f"{function}() does not take {class_shown(value)}")
    return value


def _len(_budget: Budget, value: Any) -> int:
    if value.__class__ is Series:
        return len(value.values)
    if isinstance(value, range):
        return len_of_range(value)
    if not isinstance(value, list | tuple | str):
        raise TypeError(f"{class_shown(value)} has no length")
    return len(value)


def _list(budget: Budget, values: Any) -> list[Any]:
    return [] if values is NOTHING else budget.listed(iterable(values))


def _tuple(budget: Budget, values: Any) -> tuple[Any, ...]:
    return () if values is NOTHING else tuple(budget.listed(iterable(values)))


def _extreme(op: str) -> Implementation:
    name = "max" if op == ">" else "min"
    fast = max if op == ">" else min

    def find(budget: Budget, values: Any, default: Any) -> Any:
        if isinstance(values, Series) and values.holds != "other" and values.values:
            budget.charge(len(values.values) // 10)
            return fast(values.values)
        better = compare(op, budget)
        best = NOTHING
        for value in budget.items(iterable(values)):
            if best is NOTHING or truth(better(value, best)):
                best = value
        if best is not NOTHING:
            return best
        if default is NOTHING:
            raise ValueError(f"{name}() of no values")
        return default

    return find


def _pow(budget: Budget, base: Any, exponent: Any, modulus: Any) -> Any:
    if modulus is NOTHING or modulus is None:
        return binary("**", "python", budget)(base, exponent)
    a, b, m = (_integer(value, "an argument of pow() with mod") for value in (base, exponent, modulus))
    budget.charge(1 + b.bit_length() * (m.bit_length() // 64 + 1))
    return pow(a, b, m)


def _range(_budget: Budget, start: Any, stop: Any, step: Any) -> range:
    first = _integer(start, "an argument of range()")
    if stop is NOTHING:
        return range(first)
    return range(first, _integer(stop, "an argument of range()"), _integer(_given(step, 1), "step"))


def _reversed(budget: Budget, values: Any) -> Any:
    if isinstance(values, range):
        return iter(values[::-1])
    if not isinstance(values, list | tuple | str | Series):
        raise TypeError(f"{class_shown(values)} cannot be reversed")
    return iter(list(budget.items(values))[::-1])


def _round(budget: Budget, number: Any, digits: Any) -> Any:
    places = _places(number, digits)
    budget.charge(10 if abs(number) < 1e22 else 100)
    return bounded(round(number)) if places is None else round(number, places)


def numpy_round(budget: Budget, number: Any, digits: Any) -> Any:
    """round() of numpy's floats, which scales, rounds and scales back."""
    places = _places(number, digits)
    budget.charge(10)
    if places is None:
        return bounded(round(number))
    if number.__class__ is not float:
        return round(number, places)
    if not math.isfinite(number):
        return number
    scale = 10.0 ** abs(places)
    scaled = number * scale if places >= 0 else number / scale
    if not math.isfinite(scaled):
        return number
    whole = math.copysign(float(round(scaled)), scaled)
    return whole / scale if places >= 0 else whole * scale


def _places(number: Any, digits: Any) -> int | None:
    if number.__class__ not in _NUMBERS:
        raise TypeError(f"round() takes a number, not {class_shown(number)}")
    if digits is NOTHING or digits is None:
        return None
    places = _integer(digits, "ndigits of round()")
    if abs(places) > MAX_DIGITS:
        raise RuleFault(f"round() to {places if abs(places) < 10**9 else 'very many'} digits; from -30 to 30 go")
    return places


def _sorted(budget: Budget, values: Any, reverse: Any) -> list[Any]:
    found = budget.listed(iterable(values))
    for value in found:
        if value.__class__ is Series:
            raise TypeError("series have no order")
        budget.weigh(value)
    if any(isinstance(value, list | tuple) for value in found):
        for _ in range(len(found).bit_length()):
            budget.weigh(found)
    else:
        budget.charge(len(found) * len(found).bit_length() // 8)
    found.sort(reverse=truth(_given(reverse, False)))
    return found


def _str(budget: Budget, value: Any) -> str:
    found = _given(value, "")
    budget.weigh(found)
    waiting = [found]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, list | tuple):
            waiting.extend(inner)
        elif inner is not None and not isinstance(inner, bool | int | float | str):
            raise TypeError(f"str() does not take {class_shown(inner)}")
    return str(found)


def _sum(budget: Budget, values: Any, start: Any) -> Any:
    total = _given(start, 0)
    if isinstance(values, str):
        raise TypeError("sum() takes numbers, not a text")
    if isinstance(values, Series) and values.holds == "float" and total.__class__ in _NUMBERS:
        for value in budget.items(values):
            total += value
        return total
    add = binary("+", "python", budget)
    for value in budget.items(iterable(values)):
        total = add(total, value)
    return total


def _zip(budget: Budget, *iterables: Any) -> Any:
    return zip(*(budget.lazily(iterable(values)) for values in iterables), strict=False)


# --- functions of measured values


def _numbers(budget: Budget, values: Any, function: str) -> list[float]:
    found: list[Any] = list(budget.items(iterable(values)))
    for value in found:
        if not isinstance(value, int | float):
            raise TypeError(f"{function}() takes numbers, not {class_shown(value)}")
    return [float(value) for value in found]


def _some(found: list[Any], function: str, least: int = 1) -> list[Any]:
    if len(found) < least:
        raise Unknown(lambda: f"{function}() of {len(found) or 'no'} value{'' if len(found) == 1 else 's'}")
    return found


def _avg(budget: Budget, values: Any) -> float:
    if isinstance(values, int | float):
        return float(values)
    if not isinstance(values, Series | list | tuple | range):
        raise TypeError(f"avg() takes a series or a list, not {class_shown(values)}")
    flat: Iterable[Any] = budget.items(values)
    if isinstance(values, list | tuple) and any(isinstance(value, Series | list | tuple) for value in values):
        parts = [list(budget.items(value)) for value in values]
        if len({len(part) for part in parts}) > 1:
            raise ValueError("avg() of lists of different lengths")
        flat = chain.from_iterable(parts)
    found = _numbers(budget, list(flat), "avg")
    return numpy_sum(found) / len(found) if found else math.nan


def _count(budget: Budget, values: Any) -> int:
    if isinstance(values, Series) and values.holds == "bool":
        return sum(budget.items(values))
    return sum(1 for _ in budget.items(iterable(values)))


def _last(budget: Budget, values: Any) -> Any:
    return _some(list(budget.items(iterable(values))), "last")[-1]


def percentile(found: list[float], q: float) -> float:
    """The q-th percentile of some numbers, linear between neighbours."""
    ordered = sorted(found)
    place = (len(ordered) - 1) * q / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def checked_quantile(q: Any) -> float:
    """q of percentile(). Raises RuleFault or TypeError."""
    if not isinstance(q, int | float):
        raise TypeError(f"q of percentile() must be a number, not {class_shown(q)}")
    if not 0 <= q <= 100:
        raise RuleFault("q of percentile() must be from 0 to 100")
    return float(q)


def _median(budget: Budget, values: Any) -> float:
    return percentile(_some(_numbers(budget, values, "median"), "median"), 50.0)


def _percentile(budget: Budget, values: Any, q: Any) -> float:
    wanted = checked_quantile(q)
    return percentile(_some(_numbers(budget, values, "percentile"), "percentile"), wanted)


def _stddev(budget: Budget, values: Any) -> float:
    found = _some(_numbers(budget, values, "stddev"), "stddev", 2)
    mean = math.fsum(found) / len(found)
    spread: float = math.fsum((value - mean) ** 2 for value in found)
    return math.sqrt(spread / (len(found) - 1))


def _delta(budget: Budget, values: Any) -> float:
    found: list[float] = _some(_numbers(budget, values, "delta"), "delta")
    return found[-1] - found[0]


IMPLEMENTATIONS: Final[dict[str, Implementation]] = {
    "abs": lambda budget, value: magnitude(value, budget),
    "all": _all,
    "any": _any,
    "bool": _bool,
    "enumerate": _enumerate,
    "float": _float,
    "int": _int,
    "len": _len,
    "list": _list,
    "max": _extreme(">"),
    "min": _extreme("<"),
    "pow": _pow,
    "range": _range,
    "reversed": _reversed,
    "round": _round,
    "sorted": _sorted,
    "str": _str,
    "sum": _sum,
    "tuple": _tuple,
    "zip": _zip,
    "avg": _avg,
    "count": _count,
    "last": _last,
    "median": _median,
    "percentile": _percentile,
    "stddev": _stddev,
    "delta": _delta,
}
"""By name of the function."""


def method_or_size(name: str, value: Any, budget: Budget) -> Any:
    """`.mean()` and the like, or `.size`, of a series. Raises TypeError for anything else."""
    if value.__class__ is not Series:
        raise TypeError(f"{class_shown(value)} has no attribute {name}")
    values = value.values
    if name == "size":
        return len(values)
    budget.charge(1 + len(values) // 10)
    if name in ("any", "all"):
        if value.holds == "other" and values:
            # numpy joins other objects by `or` and `and`
            return next((item for item in values if bool(item) is (name == "any")), values[-1])
        return any(values) if name == "any" else all(values)
    if name in ("max", "min"):
        return IMPLEMENTATIONS[name](budget, value, NOTHING)
    if value.holds == "other":
        raise TypeError(f".{name}() takes numbers, and the series holds other values")
    if name == "sum":
        return numpy_sum(values) if value.holds == "float" else sum(values)
    return numpy_sum([float(item) for item in values]) / len(values) if values else math.nan
