"""Patterns of the data query, matched in linear time.

The data API takes regular expressions from everybody. Python's `re` backtracks: one line of text and an expression
such as `(a*)*b` hold a processor for hours. So the expressions that people write here (`env.*`, `W023|W024`,
`.*raingauge.*`) are run by a small automaton that never goes back: it keeps the set of states in which it could be.
Literals, `.`, `[...]`, `\\x`, groups, `|`, `*`, `+`, `?`; everything else is refused. A pattern matches the whole text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edgesched.errors import InputError

LONGEST: Final = 512
DEEPEST: Final = 20
_CLASSES: Final = {
    "d": "0123456789",
    "w": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_",
    "s": " \t\n\r\f\v",
}
_SPECIAL: Final = frozenset("()*+?|[]{}^$\\")


@dataclass(slots=True)
class _State:
    """A state: reads one character (`chars` None: any) to `following`, or goes on without reading to `free`."""

    chars: frozenset[str] | None = None
    negated: bool = False
    reads: bool = False
    following: int = -1
    free: list[int] = field(default_factory=list)

    def takes(self, char: str) -> bool:
        return self.chars is None or (char in self.chars) != self.negated


class Pattern:
    """A compiled pattern. Raises InputError for what is no pattern of ours."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise InputError(f"a pattern has at most {LONGEST} characters")
        self._text = text
        self._at = 0
        self._depth = 0
        self._states: list[_State] = []
        self._end = self._new()
        self._start = self._alternatives(self._end)
        if self._at < len(text):
            raise self._error("a bracket closes that was not opened")

    def matches(self, text: str) -> bool:
        """Say whether the pattern matches the whole text."""
        now = self._closure({self._start})
        for char in text:
            states = (self._states[index] for index in now)
            now = self._closure({state.following for state in states if state.reads and state.takes(char)})
            if not now:
                return False
        return self._end in now

    def _closure(self, wanted: set[int]) -> set[int]:
        found: set[int] = set()
        left = list(wanted)
        while left:
            index = left.pop()
            if index not in found:
                found.add(index)
                left += self._states[index].free
        return found

    # -- building: each part is built for the state that follows it, and returns its own first state ------------------

    def _new(self, *free: int) -> int:
        self._states.append(_State(free=list(free)))
        return len(self._states) - 1

    def _alternatives(self, then: int) -> int:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error("too many groups in one another")
        starts = [self._sequence(then)]
        while self._peek() == "|":
            self._at += 1
            starts.append(self._sequence(then))
        self._depth -= 1
        return self._new(*starts)

    def _sequence(self, then: int) -> int:
        """Build a sequence of repeated atoms, the last one first so that each knows what follows."""
        start = here = self._new()
        while self._peek() not in ("", "|", ")"):
            end = self._new()
            first = self._atom(end)
            here_free = self._states[here].free
            sign = self._peek()
            if sign in ("*", "+", "?"):
                self._at += 1
                if sign != "?":
                    self._states[end].free.append(first)
                if sign != "+":
                    here_free.append(end)
            here_free.append(first)
            here = end
        self._states[here].free.append(then)
        return start

    def _atom(self, then: int) -> int:
        char = self._take()
        if char == "(":
            if self._text.startswith("?:", self._at):
                self._at += 2
            start = self._alternatives(then)
            if self._take() != ")":
                raise self._error("a group is not closed")
            return start
        if char == ".":
            return self._reader(None, then)
        if char == "[":
            return self._bracket(then)
        if char == "\\":
            escaped = self._take()
            if escaped.lower() in _CLASSES:
                return self._reader(frozenset(_CLASSES[escaped.lower()]), then, negated=escaped.isupper())
            if not escaped or escaped.isalnum():
                raise self._error(f"\\{escaped} has no meaning here")
            return self._reader(frozenset(escaped), then)
        if char in _SPECIAL:
            raise self._error(f"{char} has no meaning here")
        return self._reader(frozenset(char), then)

    def _bracket(self, then: int) -> int:
        negated = self._peek() == "^"
        self._at += negated
        chars: set[str] = set()
        while (char := self._take()) != "]" or not chars:
            if not char:
                raise self._error("a [ is not closed")
            if char == "\\":
                char = self._take()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._take()
                if not 0 <= ord(last) - ord(char) <= 1024:
                    raise self._error("a range goes backwards or is too large")
                chars.update(map(chr, range(ord(char), ord(last) + 1)))
            else:
                chars.add(char)
        return self._reader(frozenset(chars), then, negated=negated)

    def _reader(self, chars: frozenset[str] | None, then: int, *, negated: bool = False) -> int:
        self._states.append(_State(chars, negated, reads=True, following=then))
        return len(self._states) - 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _error(self, what: str) -> InputError:
        return InputError(f"pattern {self._text[:60]!r}: {what}", hint="use . * + ? | ( ) [ ] and plain characters")


def is_pattern(text: str) -> bool:
    """Say whether a filter value is a pattern; every other value is compared as it is."""
    return "*" in text or "|" in text
