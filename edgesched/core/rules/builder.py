"""From grammar rules to the tree: one method a rule, called while the parser reduces (no lark tree is made)."""

from __future__ import annotations

from collections.abc import Callable
from keyword import kwlist
from typing import Any, Final, Literal

from lark import Token

from edgesched.errors import RuleSyntaxError

from . import ast, literals

KEYWORDS = frozenset(kwlist)
"""Python's keywords: no variable has one of these names."""

MAX_DEPTH: Final = 64
"""How deep a tree may be."""

Parts = list[Any]


def _chain(parts: Parts) -> tuple[ast.Node, tuple[tuple[str, ast.Node], ...]]:
    return parts[0], tuple((str(op), operand) for op, operand in zip(parts[1::2], parts[2::2], strict=True))


def _constant(value: bool | None, kind: Literal["bool", "none"]) -> Callable[[Builder, Parts], ast.Literal]:
    def build(_self: Builder, parts: Parts) -> ast.Literal:
        return ast.Literal(value, kind, line=parts[0].line, column=parts[0].column)

    return build


class Builder:
    """Methods have the names of the grammar's rules and aliases; each gets what stands on the right side."""

    def start(self, parts: Parts) -> ast.Node:
        found: ast.Node = parts[0]
        return found

    true = _constant(True, "bool")
    false = _constant(False, "bool")
    none = _constant(None, "none")

    def name(self, parts: Parts) -> ast.Name:
        token = parts[0]
        if token in KEYWORDS:
            raise RuleSyntaxError(f"`{token}` is a keyword of Python", line=token.line, column=token.column)
        return ast.Name(str(token), line=token.line, column=token.column)

    def number(self, parts: Parts) -> ast.Literal:
        token = parts[0]
        try:
            value = literals.number(token)
        except literals.LiteralError as error:
            raise RuleSyntaxError(error.message, hint=error.hint, line=token.line, column=token.column) from None
        return ast.Literal(value, "int" if type(value) is int else "float", line=token.line, column=token.column)

    def string(self, parts: Parts) -> ast.Literal:
        text = ""
        for token in parts:
            try:
                text += literals.string(token)
            except literals.LiteralError as error:
                raise RuleSyntaxError(error.message, hint=error.hint, line=token.line, column=token.column) from None
        return ast.Literal(text, "str", line=parts[0].line, column=parts[0].column)

    def if_else(self, parts: Parts) -> ast.IfElse:
        then, test, other = parts
        return ast.IfElse(test, then, other, line=then.line, column=then.column)

    def logic_or(self, parts: Parts) -> ast.Logic:
        return ast.Logic("or", tuple(parts[::2]), line=parts[1].line, column=parts[1].column)

    def logic_and(self, parts: Parts) -> ast.Logic:
        return ast.Logic("and", tuple(parts[::2]), line=parts[1].line, column=parts[1].column)

    def unary(self, parts: Parts) -> ast.Unary:
        op, operand = parts
        return ast.Unary(str(op), operand, line=op.line, column=op.column)

    def binary(self, parts: Parts) -> ast.Binary:
        first, rest = _chain(parts)
        return ast.Binary(first, rest, line=parts[1].line, column=parts[1].column)

    def not_in(self, parts: Parts) -> Token:
        return Token.new_borrow_pos("IN", "not in", parts[0])

    def is_not(self, parts: Parts) -> Token:
        return Token.new_borrow_pos("IS", "is not", parts[0])

    def compare(self, parts: Parts) -> ast.Compare:
        first, rest = _chain(parts)
        return ast.Compare(first, rest, line=parts[1].line, column=parts[1].column)

    def keyword(self, parts: Parts) -> ast.Keyword:
        token, value = parts
        self.name([token])
        return ast.Keyword(str(token), value, line=token.line, column=token.column)

    def call(self, parts: Parts) -> ast.Call:
        function, _, *arguments = parts
        _refuse_chain(function)
        args: list[ast.Node] = []
        keywords: list[ast.Keyword] = []
        for argument in arguments:
            if isinstance(argument, ast.Keyword):
                if any(known.name == argument.name for known in keywords):
                    raise _refused(f"argument {argument.name} is given twice", argument)
                keywords.append(argument)
            elif keywords:
                raise _refused("an argument without a name stands after one with a name", argument)
            else:
                args.append(_generator(argument) if isinstance(argument, tuple) else argument)
        return ast.Call(function, tuple(args), tuple(keywords), line=function.line, column=function.column)

    def subscript(self, parts: Parts) -> ast.Subscript:
        value, bracket, index = parts
        _refuse_chain(value)
        return ast.Subscript(value, index, line=bracket.line, column=bracket.column)

    def slice(self, parts: Parts) -> ast.Slice:
        first = next(i for i, part in enumerate(parts) if isinstance(part, Token))
        colon = parts[first]
        ends: list[list[ast.Node]] = [[]]
        for part in parts:
            if isinstance(part, Token):
                ends.append([])
            else:
                ends[-1].append(part)
        lower, upper, step = (end[0] if end else None for end in (*ends, [])[:3])
        return ast.Slice(lower, upper, step, line=colon.line, column=colon.column)

    def attribute(self, parts: Parts) -> ast.Attribute:
        value, dot, name = parts
        _refuse_chain(value)
        return ast.Attribute(value, str(name), line=dot.line, column=dot.column)

    def list_display(self, parts: Parts) -> ast.Sequence:
        return ast.Sequence("list", tuple(parts[1:]), line=parts[0].line, column=parts[0].column)

    def tuple_display(self, parts: Parts) -> ast.Sequence:
        return ast.Sequence("tuple", tuple(parts[1:]), line=parts[0].line, column=parts[0].column)

    def generator(self, parts: Parts) -> tuple[ast.Node, tuple[ast.Clause, ...]]:
        return parts[0], tuple(parts[1:])

    def generator_display(self, parts: Parts) -> ast.Comprehension:
        bracket, (element, clauses) = parts
        return ast.Comprehension("generator", element, clauses, line=bracket.line, column=bracket.column)

    def list_comprehension(self, parts: Parts) -> ast.Comprehension:
        bracket, (element, clauses) = parts
        return ast.Comprehension("list", element, clauses, line=bracket.line, column=bracket.column)

    def clause(self, parts: Parts) -> ast.Clause:
        word, target, iterable, *conditions = parts
        return ast.Clause(target, iterable, tuple(conditions), line=word.line, column=word.column)

    def condition(self, parts: Parts) -> ast.Node:
        found: ast.Node = parts[0]
        return found

    def target_name(self, parts: Parts) -> ast.Target:
        self.name(parts)
        return ast.Target(id=str(parts[0]), line=parts[0].line, column=parts[0].column)

    def target_tuple(self, parts: Parts) -> ast.Target:
        return ast.Target(tuple(parts), line=parts[0].line, column=parts[0].column)


def _refuse_chain(value: ast.Node) -> None:
    """Refuse `a[0][0]...` while it is being read, so that a long one costs no more than a short one."""
    length, found = 0, value
    while True:
        match found:
            case ast.Subscript() | ast.Attribute():
                found = found.value
            case ast.Call():
                found = found.function
            case _:
                return
        length += 1
        if length >= MAX_DEPTH:
            raise _refused(f"the condition is more than {MAX_DEPTH} levels deep", value)


def _generator(made: tuple[ast.Node, tuple[ast.Clause, ...]]) -> ast.Comprehension:
    element, clauses = made
    return ast.Comprehension("generator", element, clauses, line=element.line, column=element.column)


def _refused(message: str, at: ast.Node | ast.Keyword) -> RuleSyntaxError:
    return RuleSyntaxError(message, line=at.line, column=at.column)
