"""The tree of a condition. Frozen; equality ignores positions, so `parse(print(tree)) == tree`.

`line` and `column` count from 1 and say where a message about the node should point: at its operator for an
operation, at its first character otherwise. Chains of one precedence are flat (`a + b - c` is one `Binary`), so the
depth of a tree is the depth of its nesting and not the length of a sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal as Word
from typing import TypeAlias


def _place() -> int:
    place: int = field(default=0, compare=False, repr=False, kw_only=True)
    return place


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. `kind` tells 1 from 1.0 and from True, which are equal in Python."""

    value: bool | int | float | str | None
    kind: Word["bool", "int", "float", "str", "none"]
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Name:
    """A function or the variable of a comprehension."""

    id: str
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Sequence:
    """`[a, b]` or `(a, b)`."""

    kind: Word["list", "tuple"]
    items: tuple[Node, ...]
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Keyword:
    """`name=value` in a call."""

    name: str
    value: Node
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Call:
    """`function(args, keywords)`; `function` is a `Name` or an `Attribute` in every condition that passes the check."""

    function: Node
    args: tuple[Node, ...] = ()
    keywords: tuple[Keyword, ...] = ()
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Attribute:
    """`value.name`."""

    value: Node
    name: str
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Slice:
    """`lower:upper:step` inside a subscript."""

    lower: Node | None = None
    upper: Node | None = None
    step: Node | None = None
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Subscript:
    """`value[index]`."""

    value: Node
    index: Node | Slice
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Unary:
    """`not`, `-`, `+` or `~` before an operand."""

    op: str
    operand: Node
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Binary:
    """A chain of operators of one precedence, grouped from the left; `**` has one operator and groups to the right."""

    first: Node
    rest: tuple[tuple[str, Node], ...]
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Compare:
    """A chain of comparisons: `a < b <= c` means `a < b and b <= c`."""

    first: Node
    rest: tuple[tuple[str, Node], ...]
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Logic:
    """Two or more operands between which `and`, or `or`, stands."""

    op: Word["and", "or"]
    operands: tuple[Node, ...]
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class IfElse:
    """`then if test else other`."""

    test: Node
    then: Node
    other: Node
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Target:
    """What `for` binds: one name, or several (each a name or a target again) that unpack an item."""

    names: tuple[Target, ...] = ()
    id: str = ""
    line: int = _place()
    column: int = _place()

    def bound(self) -> Iterator[str]:
        """Names that are bound, from left to right."""
        if self.id:
            yield self.id
        for target in self.names:
            yield from target.bound()


@dataclass(frozen=True, slots=True)
class Clause:
    """`for target in iterable if condition if ...`."""

    target: Target
    iterable: Node
    conditions: tuple[Node, ...] = ()
    line: int = _place()
    column: int = _place()


@dataclass(frozen=True, slots=True)
class Comprehension:
    """`[element for ...]`, or `(element for ...)` for the kind `generator`."""

    kind: Word["list", "generator"]
    element: Node
    clauses: tuple[Clause, ...]
    line: int = _place()
    column: int = _place()


Node: TypeAlias = (
    Literal | Name | Sequence | Call | Attribute | Subscript | Unary | Binary | Compare | Logic | IfElse | Comprehension
)


def children(node: Node) -> tuple[Node, ...]:
    """The expressions directly inside a node, from left to right."""
    match node:
        case Sequence():
            return node.items
        case Call():
            return (node.function, *node.args, *(keyword.value for keyword in node.keywords))
        case Attribute():
            return (node.value,)
        case Subscript(index=Slice() as cut):
            return (node.value, *(part for part in (cut.lower, cut.upper, cut.step) if part is not None))
        case Subscript():
            return (node.value, node.index)  # type: ignore[return-value]  # the case above took the slices
        case Unary():
            return (node.operand,)
        case Binary() | Compare():
            return (node.first, *(operand for _, operand in node.rest))
        case Logic():
            return node.operands
        case IfElse():
            return (node.test, node.then, node.other)
        case Comprehension():
            inner = [part for clause in node.clauses for part in (clause.iterable, *clause.conditions)]
            return (node.element, *inner)
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, each before its children. Iterative: safe on any tree."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(reversed(children(found)))
