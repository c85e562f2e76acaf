"""From the place where the parser stopped to a message that says what to change.

The parser knows only that a token cannot stand where it stands. People make a few dozen mistakes; each has an entry
here. The first that fits wins, so the order is from the special to the general.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from edgesched.errors import RuleSyntaxError

from .builder import KEYWORDS

_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}

_ANYWHERE: Final = (
    (r"\$\{|\{\{|<%|<\w[\w -]*>\s*[,)]|\.\.\.", "a template was not filled in", "replace {found} by its value"),
    (r"&(?:gt|lt|amp|quot|#\d+);", "HTML escapes stand in the condition", "write the character itself for {found}"),
    (r"\\[\"']", "a quote stands behind a backslash, as in text copied out of JSON", "leave the backslashes out"),
    (r"[\u201c-\u201f\xab\xbb]", "a typographic quote", 'write " for {found}'),
    (r"[\u2018-\u201b\xb4`]", "a typographic quote", "write ' for {found}"),
    (r"==+>", "`==>` belongs to the old knowledge base rules", "write schedule(plugin): condition"),
)
"""Mistakes that show in the text around the place: (pattern, message, hint)."""

_AT_PLACE: Final = (
    (r"&&", "`&&` is not an operator", "write `and`"),
    (r"\|\|", "`||` is not an operator", "write `or`"),
    (r"!(?!=)", "`!` is not an operator", "write `not`"),
    (r"(?i)and\b", "`{found}` is not an operator", "write `and` in lower case"),
    (r"(?i)or\b", "`{found}` is not an operator", "write `or` in lower case"),
    (r"(?i)not\b", "`{found}` is not an operator", "write `not` in lower case"),
    (r"=<", "`=<` is not an operator", "write `<=`"),
    (r"=>", "`=>` is not an operator", "write `>=`"),
    (r"===", "`===` is not an operator", "write `==`"),
    (r"<>", "`<>` is not an operator", "write `!=`"),
    (r":=", "`:=` is not part of the language", "repeat the expression"),
    (r"->", "`->` is not an operator", ""),
    (r"(?<![=<>!])=(?!=)", "`=` does not compare", "write `==`"),
    (r"\{", "dict and set displays are not part of the language", "write a list: [ ... ]"),
    (r"\*", "`*` cannot stand here: arguments are not unpacked", ""),
    (r"\?", "`?` is not an operator", "write `a if test else b`"),
    (r"[;]", "a condition is one expression", "leave the `;` out"),
    (r"[\uff01-\uff5e]", "a full-width character", "write its ASCII form"),
    (r"[\"']", "the text that starts here has no end", "close it with the same quote on the same line"),
    (r"\ufeff", "an invisible byte order mark", "delete it"),
    (r"[\xa0\u2000-\u200b\u202f\u3000]", "a blank that is not ASCII", "write an ordinary blank"),
)
"""Mistakes that show at the place itself."""


def error_at(text: str, at: int, message: str, hint: str = "") -> RuleSyntaxError:
    """An error about the character with index `at`."""
    line, column = place(text, at)
    return RuleSyntaxError(message, hint=hint, line=line, column=column)


def place(text: str, at: int) -> tuple[int, int]:
    """Line and column, from 1, of the character with index `at`."""
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1


def excerpt(text: str, line: int, column: int) -> str:
    """The line of an error and below it a caret, as two lines; empty when the place is unknown.

    Long lines are cut to some 30 characters around the place; control characters become blanks.
    """
    lines = text.split("\n")
    if not 1 <= line <= len(lines) or column < 1:
        return ""
    shown = "".join(char if char.isprintable() else " " for char in lines[line - 1])
    start = max(0, column - 31)
    left = "..." if start else ""
    part = shown[start : column + 30]
    right = "..." if len(shown) > column + 30 else ""
    return f"{left}{part}{right}\n{' ' * (len(left) + column - 1 - start)}^"


def explain(text: str, at: int, expected: Collection[str]) -> RuleSyntaxError:
    """The error for a text that cannot go on at index `at`; `expected`: tokens that could stand there."""
    if re.fullmatch(r"(\s|#[^\n]*)*", text):
        return error_at(text, 0, "the condition is empty", "write True for a rule that always holds")
    return _around(text, at) or _brackets(text, at) or _at_place(text, at) or _general(text, at, expected)


def _around(text: str, at: int) -> RuleSyntaxError | None:
    window_start = max(0, at - 6)
    for pattern, message, hint in _ANYWHERE:
        match = re.compile(pattern).search(text, window_start, at + 40)
        if match and match.start() <= at + 1 and match.end() >= at:
            return error_at(text, match.start(), message, hint.format(found=match[0].strip(" ,)")))
    if text[max(0, at - 2) : at] in ("''", '""') or text[at : at + 2] in ("''", '""'):
        return error_at(text, at, "a quote is doubled, as YAML does inside quotes", "write each quote once")
    return None


def _at_place(text: str, at: int) -> RuleSyntaxError | None:
    for start in (at - 1, at):
        for pattern, message, hint in _AT_PLACE:
            match = re.compile(pattern).match(text, max(start, 0))
            if match is None or (start < at and (len(match[0]) < 2 or match[0].isalpha())):
                continue
            if match[0] in ("and", "or", "not"):
                continue
            return error_at(text, match.start(), message.format(found=match[0]), hint)
    return None


def _brackets(text: str, at: int) -> RuleSyntaxError | None:
    """A bracket that is never closed, closed by another, or closed without being open."""
    ended = at >= len(text.rstrip())
    if not ended and text[at] not in ")]}":
        return None
    opened: list[tuple[str, int]] = []
    for match in re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[(\[{)\]}]").finditer(text, 0, at):
        bracket = match[0]
        if bracket in _CLOSING:
            opened.append((bracket, match.start()))
        elif bracket in ")]}" and opened:
            opened.pop()
    if ended and opened:
        bracket, start = opened[-1]
        return error_at(text, start, f"`{bracket}` is never closed", f"write the missing `{_CLOSING[bracket]}`")
    if ended:
        return None
    if not opened:
        return error_at(text, at, f"`{text[at]}` closes nothing", "leave it out")
    bracket, start = opened[-1]
    if _CLOSING[bracket] != text[at]:
        return error_at(text, at, f"`{text[at]}` does not close the `{bracket}` of column {place(text, start)[1]}")
    return None


def _general(text: str, at: int, expected: Collection[str]) -> RuleSyntaxError:
    if at >= len(text.rstrip()):
        before = text.rstrip()
        if before.endswith("."):
            return error_at(text, len(before) - 1, "a full stop at the end", "leave it out")
        return error_at(text, at, "the condition ends too early", "an operand is missing")
    word = re.compile(r"\w+|\S").match(text, at)
    found = word[0] if word else text[at]
    before = text[:at].rstrip()
    if found == ":":
        return error_at(
            text, at, "`:` cannot stand here", "a condition has no name; the rule is schedule(plugin): condition"
        )
    if found == "." and not text[at + 1 :].strip():
        return error_at(text, at, "a full stop at the end", "leave it out")
    last = re.search(r"\w+$", before)
    if last and last[0] in ("AND", "OR", "NOT"):
        return error_at(
            text, last.start(), f"`{last[0]}` is not an operator", f"write `{last[0].lower()}` in lower case"
        )
    if last and last[0] in KEYWORDS - {"True", "False", "None"}:
        return error_at(text, last.start(), f"`{last[0]}` is not part of the language")
    if found == "j" and before[-1:].isdigit():
        return error_at(text, at, "complex numbers are not part of the language")
    if "NAME" not in expected and re.match(r"\w|['\"]", found) and re.search(r"[\w'\")\]]$", before):
        return error_at(text, at, f"{found} follows a value", "a comma or an operator is missing between them")
    if found in KEYWORDS:
        return error_at(text, at, f"`{found}` cannot stand here", "an operand is missing before it")
    if found.isprintable():
        return error_at(text, at, f"`{found}` cannot stand here", "an operand is missing before it" if expected else "")
    return error_at(text, at, f"the character U+{ord(found):04X} cannot stand here", "delete it")
