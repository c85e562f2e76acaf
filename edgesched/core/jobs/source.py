"""Where a character of a job file's value stands in the file.

YAML rewrites what people write: it joins folded lines, drops indentation, replaces escapes. Every style but double
quotes only adds and removes blanks (and doubles single quotes), so the *visible* characters of a value are those of
its source in the same order. Pairing them up places each character exactly; blanks take the place after the last
visible one. When the pairing does not come out even, the start of the value is the answer.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

BLANKS: Final = " \t\r\n\x85\u2028\u2029"
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|\r\n|.)", re.DOTALL)
_NAMED_ESCAPES: Final = {
    "0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v",
    "n": "\n", "r": "\r", "t": "\t", "\t": "\t", " ": " ", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
    "\n": "", "\r": "", "\r\n": "", "\x85": "", "\u2028": "", "\u2029": "",
}  # fmt: skip


class Source:
    """A text with its lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(match.end() for match in _BREAK.finditer(text))]

    def place(self, index: int) -> tuple[int, int]:
        """Return line and column, from 1, of the character at `index`."""
        line = bisect_right(self._starts, index)
        return line, index - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return a line without its end, empty when there is none of that number."""
        if not 1 <= number <= len(self._starts):
            return ""
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n\x85\u2028\u2029")


def source_index(value: str, offset: int, raw: str, style: str) -> int:
    """Return the index in `raw`, the source of a scalar, of the character at `offset` of its `value`.

    `style`: the YAML style, one of `'`, `"`, `|`, `>`, empty for plain.
    """
    visible = list(_visible(raw, style))
    expected = [index for index, char in enumerate(value) if char not in BLANKS]
    if [char for char, _ in visible] != [value[index] for index in expected]:
        return 0
    after = bisect_right(expected, min(max(offset, 0), len(value)))
    if after == 0:
        return visible[0][1] if visible else 0
    at = visible[after - 1][1] + (offset - expected[after - 1])
    limit = visible[after][1] if after < len(visible) else len(raw)
    return min(at, max(limit - 1, visible[after - 1][1] + 1), len(raw))


def _visible(raw: str, style: str) -> Iterator[tuple[str, int]]:
    if style == '"':
        return _visible_in_double_quotes(raw)
    if style == "'":
        return _visible_in_single_quotes(raw)
    start = 0
    if style in ("|", ">"):
        header = _BREAK.search(raw)
        start = header.end() if header else len(raw)
    return ((char, start + index) for index, char in enumerate(raw[start:]) if char not in BLANKS)


def _visible_in_single_quotes(raw: str) -> Iterator[tuple[str, int]]:
    index = 1
    while index < len(raw) - 1:
        char = raw[index]
        if char not in BLANKS:
            yield char, index
        index += 2 if char == "'" else 1


def _visible_in_double_quotes(raw: str) -> Iterator[tuple[str, int]]:
    index = 1
    while index < len(raw) - 1:
        escape = _ESCAPE.match(raw, index)
        char = _unescape(escape.group()) if escape else raw[index]
        if char and char not in BLANKS:
            yield char, index
        index = escape.end() if escape else index + 1


def _unescape(escape: str) -> str:
    code = escape[1:]
    if code[0] in "xuU" and len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number <= 0x10FFFF else ""
    return _NAMED_ESCAPES.get(code, code)
