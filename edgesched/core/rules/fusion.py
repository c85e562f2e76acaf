"""Shapes that a window answers itself: its aggregates, and comparisons of its values with a constant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from edgesched.core.windows import Tally, Window, WindowSpec

from . import ast, window_parts
from .calls import PlainCall, SortedCall
from .comparison import as_float
from .part import Part

MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
"""What `a OP b` is when it is read from the right."""


class Fusion:
    """Recognises the shapes in the calls of one condition."""

    def __init__(
        self, calls: Mapping[int, SortedCall], windows: Mapping[WindowSpec, Window], care: window_parts.Care
    ) -> None:
        self._calls = calls
        self._windows = windows
        self._care = care

    def window(self, node: ast.Node) -> Window | None:
        """The window of a call of `v` or `rate`."""
        call = self._calls.get(id(node))
        return self._windows[call] if isinstance(call, WindowSpec) else None

    def aggregate(self, node: ast.Node) -> tuple[Part, Window, str] | None:
        """An aggregate of a whole window: the part, the window and the aggregate's name there."""
        call = self._calls.get(id(node))
        if (
            isinstance(call, PlainCall)
            and not call.many
            and call.function.name in (*window_parts.AGGREGATES, "percentile")
        ):
            window = self.window(call.arguments[0]) if call.arguments[0] is not None else None
            if window is None:
                return None
            if call.function.name == "percentile":
                q = number(call.arguments[1])
                if q is None or not 0 <= q <= 100:
                    return None
                return window_parts.aggregate_part(window, "percentile", self._care, q), window, "percentile"
            if any(argument is not None for argument in call.arguments[1:]):
                return None
            name = window_parts.AGGREGATES[call.function.name]
            return window_parts.aggregate_part(window, name, self._care), window, name
        return None

    def tally(self, node: ast.Node | None) -> tuple[Window, Tally] | None:
        """`window OP constant`, either way round."""
        if not isinstance(node, ast.Compare):
            return None
        for side, other, turned in sides(node):
            window, bound = self.window(side), as_float(constant_of(other))
            if window is not None and bound is not None:
                return window, window.compare(turned, bound)
        return None

    def tally_of_loop(self, node: ast.Node | None) -> tuple[Window, Tally] | None:
        """`x OP constant for x in window`."""
        if not isinstance(node, ast.Comprehension) or len(node.clauses) != 1 or node.clauses[0].conditions:
            return None
        clause, element = node.clauses[0], node.element
        window = self.window(clause.iterable)
        if window is None or not clause.target.id or not isinstance(element, ast.Compare) or len(element.rest) != 1:
            return None
        (op, right) = element.rest[0]
        bound = number(right)
        named = isinstance(element.first, ast.Name) and element.first.id == clause.target.id
        if op not in MIRRORED or bound is None or not named:
            return None
        return window, window.compare(op, as_float(bound))


def sides(node: ast.Compare) -> Iterator[tuple[ast.Node, ast.Node, str]]:
    """Both readings of a single comparison: (operand, the other one, operator); none of a chain or of `in` and `is`."""
    op, right = node.rest[0]
    if len(node.rest) == 1 and op in MIRRORED:
        yield node.first, right, op
        yield right, node.first, MIRRORED[op]


def constant_of(node: ast.Node | None) -> bool | int | float | str | None:
    """The value of a literal that values can be counted against; None for other nodes."""
    if isinstance(node, ast.Literal):
        return node.value
    return number(node)


def number(node: ast.Node | None) -> float | None:
    """The value of a number that is written out, also with a sign."""
    if isinstance(node, ast.Unary) and node.op in ("-", "+"):
        inner = number(node.operand)
        return None if inner is None else (-inner if node.op == "-" else inner)
    if isinstance(node, ast.Literal) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return node.value
    return None
