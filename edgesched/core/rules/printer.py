"""Tree -> text such that `parse(to_text(tree)) == tree`; brackets only where precedence needs them."""

from __future__ import annotations

from typing import Final

from . import ast

TERNARY, OR, AND, NOT, COMPARISON = range(5)
OPERATOR_LEVELS: Final = {
    "|": 5,
    "^": 6,
    "&": 7,
    "<<": 8,
    ">>": 8,
    "+": 9,
    "-": 9,
    "*": 10,
    "/": 10,
    "//": 10,
    "%": 10,
    "**": 12,
}
"""How tightly binary operators bind, as in the table of Python's reference."""
SIGN, POWER, ATOM = 11, 12, 13


def to_text(node: ast.Node) -> str:
    """The text of a tree, on one line."""
    return _text(node, TERNARY)


def _text(node: ast.Node, level: int) -> str:
    """The text of a node as an operand of something that binds as tightly as `level`."""
    own, text = _printed(node)
    return f"({text})" if own < level else text


def _printed(node: ast.Node) -> tuple[int, str]:
    match node:
        case ast.Unary(op="not"):
            return NOT, f"not {_text(node.operand, NOT)}"
        case ast.Unary():
            return SIGN, f"{node.op}{_text(node.operand, SIGN)}"
        case ast.Binary():
            return _binary(node)
        case ast.Compare():
            rest = "".join(f" {op} {_text(operand, COMPARISON + 1)}" for op, operand in node.rest)
            return COMPARISON, _text(node.first, COMPARISON + 1) + rest
        case ast.Logic():
            own = OR if node.op == "or" else AND
            return own, f" {node.op} ".join(_text(operand, own + 1) for operand in node.operands)
        case ast.IfElse():
            then, test = _text(node.then, OR), _text(node.test, OR)
            return TERNARY, f"{then} if {test} else {_text(node.other, TERNARY)}"
        case _:
            return ATOM, _atom(node)


def _atom(node: ast.Node) -> str:
    match node:
        case ast.Literal():
            return _literal(node)
        case ast.Name():
            return node.id
        case ast.Sequence():
            return _sequence(node)
        case ast.Call():
            return _call(node)
        case ast.Attribute():
            value = _text(node.value, ATOM)
            return f"({value}).{node.name}" if value[-1].isdigit() else f"{value}.{node.name}"
        case ast.Subscript():
            return f"{_text(node.value, ATOM)}[{_index(node.index)}]"
        case ast.Comprehension():
            return f"[{_comprehension(node)}]" if node.kind == "list" else f"({_comprehension(node)})"
        case _:
            raise AssertionError(node)


def _literal(node: ast.Literal) -> str:
    if node.value == float("inf"):
        return "1e999"
    text = repr(node.value)
    return text.encode("ascii", "backslashreplace").decode() if node.kind == "str" else text


def _sequence(node: ast.Sequence) -> str:
    inside = ", ".join(_text(item, TERNARY) for item in node.items)
    if node.kind == "list":
        return f"[{inside}]"
    return f"({inside},)" if len(node.items) == 1 else f"({inside})"


def _call(node: ast.Call) -> str:
    function = _text(node.function, ATOM)
    alone = node.args[0] if len(node.args) == 1 and not node.keywords else None
    if isinstance(alone, ast.Comprehension) and alone.kind == "generator":
        return f"{function}({_comprehension(alone)})"
    arguments = [_text(argument, TERNARY) for argument in node.args]
    arguments += [f"{keyword.name}={_text(keyword.value, TERNARY)}" for keyword in node.keywords]
    return f"{function}({', '.join(arguments)})"


def _index(index: ast.Node | ast.Slice) -> str:
    if not isinstance(index, ast.Slice):
        return _text(index, TERNARY)
    lower, upper, step = (
        _text(part, TERNARY) if part is not None else "" for part in (index.lower, index.upper, index.step)
    )
    return f"{lower}:{upper}:{step}" if step else f"{lower}:{upper}"


def _binary(node: ast.Binary) -> tuple[int, str]:
    own = OPERATOR_LEVELS[node.rest[0][0]]
    if own == POWER:
        return own, f"{_text(node.first, ATOM)} ** {_text(node.rest[0][1], SIGN)}"
    rest = "".join(f" {op} {_text(operand, own + 1)}" for op, operand in node.rest)
    return own, _text(node.first, own + 1) + rest


def _comprehension(node: ast.Comprehension) -> str:
    return _text(node.element, TERNARY) + "".join(_clause(clause) for clause in node.clauses)


def _clause(clause: ast.Clause) -> str:
    conditions = "".join(f" if {_text(condition, OR)}" for condition in clause.conditions)
    return f" for {_target(clause.target, outermost=True)} in {_text(clause.iterable, OR)}{conditions}"


def _target(target: ast.Target, *, outermost: bool = False) -> str:
    if target.id:
        return target.id
    inside = ", ".join(_target(name) for name in target.names) + ("," if len(target.names) == 1 else "")
    return inside if outermost else f"({inside})"
