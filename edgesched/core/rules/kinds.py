"""What is known of a value before it is evaluated.

The reference hands out numpy arrays. Their elements, and what is computed from them, are numpy scalars, which differ
from Python's numbers in ways that a rule can see: `x / 0` is infinite instead of an error, `True + True` is True,
`(x > 1) is True` never holds. Values here are plain Python objects; whether numpy's rules apply follows from where a
value comes from, so it is known beforehand and costs nothing at run time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """`name`: see the constants below. `numpy`: a scalar with numpy's rules. `element`: of what it yields; `items`: of
    each place of a tuple, where they are known.
    """

    name: str
    numpy: bool = False
    element: Kind | None = None
    items: tuple[Kind, ...] = ()

    def __str__(self) -> str:
        return _SHOWN.get(self.name, self.name)


_SHOWN: Final = {
    "bool": "a bool",
    "int": "a number",
    "float": "a number",
    "number": "a number",
    "str": "a text",
    "none": "None",
    "list": "a list",
    "tuple": "a tuple",
    "range": "a range",
    "iterator": "an iterator",
    "series": "a series",
    "any": "a value",
}

BOOL: Final = Kind("bool")
INT: Final = Kind("int")
FLOAT: Final = Kind("float")
NUMBER: Final = Kind("number")
STR: Final = Kind("str")
NONE: Final = Kind("none")
ANY: Final = Kind("any")
NUMPY_BOOL: Final = Kind("bool", numpy=True)
NUMPY_INT: Final = Kind("int", numpy=True)
NUMPY_FLOAT: Final = Kind("float", numpy=True)
SAMPLE: Final = Kind("any", numpy=True)
"""An element of `v()`: a number with numpy's rules, or a text."""

NUMERIC: Final = frozenset(("bool", "int", "float", "number"))
ITERABLE: Final = frozenset(("list", "tuple", "range", "iterator", "series", "str"))


def series(element: Kind = SAMPLE) -> Kind:
    """A series with elements of a kind."""
    return Kind("series", element=element)


def listing(name: str, element: Kind | None) -> Kind:
    """A list, tuple, range or iterator with elements of a kind."""
    return Kind(name, element=element)


def items(*places: Kind) -> Kind:
    """A tuple with a kind for each place."""
    return Kind("tuple", element=join(places), items=places)


def element(kind: Kind) -> Kind:
    """Kind of what iteration or an index yields."""
    if kind.name == "str":
        return STR
    return kind.element or ANY


def join(kinds: Iterable[Kind]) -> Kind:
    """The kind of a value that is one of several."""
    found = dict.fromkeys(kinds)
    if len(found) == 1:
        return next(iter(found))
    if not found:
        return ANY
    names = {kind.name for kind in found}
    if names <= NUMERIC:
        return Kind(names.pop() if len(names) == 1 else "number", numpy=all(kind.numpy for kind in found))
    if len(names) == 1 and names <= ITERABLE:
        return Kind(names.pop(), element=join(element(kind) for kind in found))
    return SAMPLE if all(kind.numpy for kind in found) else ANY


def arithmetic(op: str, left: Kind, right: Kind) -> Kind:
    """Kind of `left op right` for operands that can be numbers or series."""
    if "series" in (left.name, right.name):
        inner = arithmetic(op, *(element(kind) if kind.name == "series" else kind for kind in (left, right)))
        return series(Kind(inner.name, numpy=True))
    numpy = left.numpy or right.numpy
    names = {left.name, right.name}
    if names == {"bool"}:
        if op in ("&", "|", "^") or (numpy and op in ("+", "*")):
            return Kind("bool", numpy=numpy)
        return Kind("float" if op == "/" else "int", numpy=numpy)
    if "any" in names:
        return Kind("any", numpy=numpy)
    if op == "/" or ("float" in names and op in ("+", "-", "*", "//", "%", "**")):
        return Kind("float", numpy=numpy)
    if "number" in names or op == "**":
        return Kind("number", numpy=numpy)
    return Kind("int", numpy=numpy)


def comparison(op: str, left: Kind, right: Kind) -> Kind:
    """Kind of `left op right` for one comparison of a chain."""
    if op in ("in", "not in", "is", "is not"):
        return BOOL
    if "series" in (left.name, right.name):
        return series(NUMPY_BOOL)
    lists = {left.name, right.name} & {"list", "tuple"}
    if lists and (left.numpy or right.numpy):
        return ANY if SAMPLE in (left, right) else series(NUMPY_BOOL)
    return Kind("bool", numpy=(left.numpy or right.numpy) and STR not in (left, right))
