"""Text of a condition -> tree. The only place that knows lark.

Limits: 4 KiB of UTF-8, brackets and tree 64 deep, 1,000 nodes. The parser keeps its own stack, so no text can exhaust
Python's; trees within the limits are shallow enough for the recursion of the rooms that follow.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from lark import Lark
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from edgesched.errors import RuleSyntaxError

from . import ast, syntax_hints
from .builder import MAX_DEPTH, Builder

MAX_BYTES: Final = 4096
MAX_NODES: Final = 1000

_TOKENS = re.compile(
    r"""(?P<text>\"\"\"(?:[^"\\]|\\.|"(?!""))*\"\"\"|'''(?:[^'\\]|\\.|'(?!''))*'''|"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
    |(?P<comment>\#[^\n\r]*)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<join>\\\r?\n)|(?P<line>[\n\r])""",
    re.VERBOSE | re.DOTALL,
)


@functools.cache
def _lark() -> Lark:
    return Lark.open_from_package(
        "edgesched.core.rules",
        "grammar.lark",
        parser="lalr",
        lexer="basic",
        transformer=Builder(),
        maybe_placeholders=False,
    )


def parse(text: str) -> ast.Node:
    """Parse a condition.

    Raises RuleSyntaxError with the place (line and column from 1, in `text`) and, where the mistake is a known one,
    with a hint.
    """
    if len(text) > MAX_BYTES or (not text.isascii() and len(text.encode(errors="replace")) > MAX_BYTES):
        raise RuleSyntaxError(f"a condition is at most {MAX_BYTES // 1024} KiB long", line=1, column=1)
    if "\n" in text or "\r" in text or text.count("(") + text.count("[") > MAX_DEPTH:
        _refuse_lines_and_depth(text)
    try:
        tree: ast.Node = _lark().parse(text)  # type: ignore[assignment]  # the builder makes nodes
    except UnexpectedToken as error:
        at = len(text) if error.token.type == "$END" else error.token.start_pos or 0
        raise syntax_hints.explain(text, at, error.expected) from None
    except UnexpectedCharacters as error:
        raise syntax_hints.explain(text, error.pos_in_stream or 0, ()) from None
    _refuse_big(tree)
    return tree


def _refuse_lines_and_depth(text: str) -> None:
    """A line may end inside of brackets, behind a backslash, and before or after the condition."""
    end = len(text.rstrip(" \t\f\r\n"))
    depth, begun = 0, False
    for match in _TOKENS.finditer(text):
        begun = begun or bool(text[: match.start()].strip(" \t\f\r\n"))
        if match["open"]:
            depth += 1
            if depth > MAX_DEPTH:
                raise syntax_hints.error_at(text, match.start(), f"brackets are more than {MAX_DEPTH} deep")
        elif match["close"]:
            depth -= 1
        elif match["line"] and depth <= 0 and match.start() < end and begun:
            hint = "put brackets around a condition of several lines"
            raise syntax_hints.error_at(text, match.start(), "the line ends inside the condition", hint)


def _refuse_big(tree: ast.Node) -> None:
    nodes = 0
    level: list[ast.Node] = [tree]
    for _ in range(MAX_DEPTH):
        nodes += len(level)
        if nodes > MAX_NODES:
            raise RuleSyntaxError(f"the condition has more than {MAX_NODES} parts", line=1, column=1)
        level = [child for node in level for child in ast.children(node)]
        if not level:
            return
    deepest = level[0]
    message = f"the condition is more than {MAX_DEPTH} levels deep"
    raise RuleSyntaxError(message, line=deepest.line, column=deepest.column)
