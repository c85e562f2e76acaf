"""`action(object[, key=value]...): condition`: text -> ScienceRule.

Two readings, the reference's first. The reference wants a word, `(`, the shortest text up to `):`, and the rest of one
line; it splits the middle at every comma and each piece at `=`. What it accepts means the same here, odd as it may be
(`schedule(a(b)): True` has the object `a(b)`). Ours adds:

- blanks where a person would put them: before the action, before `(`, between `)` and `:`;
- quotes around a whole value (or object) protect commas and `=`;
- typed values: `value=5` is the number 5, `value=true` a bool, `value='5'` a text. What is no number stays a text
  (`06:39:00`, `007`, `5m`).

Whether the parameters make sense is the business of `parameters`, whether the condition does that of `check`.
"""

from __future__ import annotations

import re
from typing import Final

from edgesched.core.model import ScienceRule
from edgesched.core.suggest import nearest
from edgesched.errors import RuleSyntaxError

from . import syntax_hints

ACTIONS: Final = ("schedule", "publish", "set")
MAX_BYTES: Final = 4096
"""A rule is at most this long, in UTF-8."""

_STRICT = re.compile(r"([A-Za-z0-9_]+)(\()(.*?)\)(:)(.*)")
_GENEROUS = re.compile(r"[ \t]*([A-Za-z0-9_]+)[ \t]*(\()(.*?)\)[ \t]*(:)(.*)")
_QUOTED = re.compile(r"""[ \t]*(["'])(?P<text>.*?)\1[ \t]*(?=,|$)""")
_KEYED = re.compile(r"""(?P<key>[^,=]*)=[ \t]*(["'])(?P<text>.*?)\2[ \t]*(?=,|$)""")
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_BARE = re.compile(r"""\s*(["']?)(?P<name>[A-Za-z0-9][\w.-]*)\1[ \t]*:(?!=)(?P<rest>.*)""")

Value = str | int | float | bool


def parse_rule(text: str) -> ScienceRule:
    """Take a rule apart; the condition is not looked at and may be empty, as may the object.

    Raises RuleSyntaxError with line, column and a hint when the text is no rule.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise _error(text, 0, f"a rule is at most {MAX_BYTES // 1024} KiB long")
    if "\n" in text:
        raise _error(text, text.index("\n"), "a rule stands on one line", "join its lines")
    match = _STRICT.fullmatch(text) or _GENEROUS.fullmatch(text)
    if match is None:
        raise _no_rule(text)
    action = match[1]
    if action not in ACTIONS:
        meant = nearest(action, ACTIONS)
        hint = f"did you mean {meant}?" if meant else f"an action is one of {', '.join(ACTIONS)}"
        raise _error(text, match.start(1), f"there is no action {action}", hint)
    object_, parameters = _arguments(text, match.start(3), match.end(3))
    rest = match[5]
    condition = rest.strip(" ")
    column = match.start(5) + len(rest) - len(rest.lstrip(" ")) + 1
    return ScienceRule(action, object_, parameters, condition, text, 1, column if condition else match.end(4) + 1)


def _arguments(text: str, start: int, end: int) -> tuple[str, dict[str, Value]]:
    """The object and the parameters between the brackets; start and end are indices into `text`."""
    inside = text[:end]
    quoted = _QUOTED.match(inside, start)
    if quoted:
        object_, at = quoted["text"], quoted.end()
    else:
        at = _piece_end(inside, start)
        object_ = inside[start:at].strip(" ").strip("'").strip('"')
    parameters: dict[str, Value] = {}
    while at < end:
        at += 1  # the comma
        keyed = _KEYED.match(inside, at)
        if keyed:
            parameters[keyed["key"].strip(" ")] = keyed["text"]
            at = keyed.end()
            continue
        stop = _piece_end(inside, at)
        key, value = _split(text, at, stop)
        parameters[key] = value
        at = stop
    return object_, parameters


def _piece_end(inside: str, start: int) -> int:
    comma = inside.find(",", start)
    return len(inside) if comma < 0 else comma


def _split(text: str, start: int, stop: int) -> tuple[str, Value]:
    piece = text[start:stop]
    at = start + len(piece) - len(piece.lstrip())
    if piece.count("=") != 1:
        shown = piece.strip() or "an empty parameter"
        hint = "write key=value" if "=" not in piece else "put quotes around a value that holds ="
        raise _error(text, at, f"{shown} is no parameter", hint)
    key, value = piece.split("=")
    return key.strip(" "), _typed(value.strip(" "))


def _typed(text: str) -> Value:
    """A number or bool when `text` is one and stands without quotes, else the text without quotes at its ends."""
    if text in ("True", "true"):
        return True
    if text in ("False", "false"):
        return False
    if len(text) <= 64 and _NUMBER.fullmatch(text):
        return float(text) if any(mark in text for mark in ".eE") else int(text)
    return text.strip('"').strip("'")


def _no_rule(text: str) -> RuleSyntaxError:
    if "==>" in text:
        message = "this is a rule of the old knowledge base (`fact ==> Action(x)`), which no scheduler reads any more"
        return _error(text, text.index("==>"), message, "write schedule(plugin): condition")
    bare = _BARE.fullmatch(text)
    if bare and bare["name"] not in ACTIONS:
        condition = bare["rest"].strip() or "True"
        message = "the rule names no action"
        return _error(text, bare.start("name"), message, f"write schedule({bare['name']}): {condition}")
    head = re.compile(r"\s*\w+\s*\(").match(text)
    if head is None and bare:
        at = bare.end("name")
        return _error(text, at, f"{bare['name']} has no object", f"write {bare['name']}(name): condition")
    if head is None:
        message = "a rule is written action(object): condition"
        return _error(text, 0, message, f"write schedule(plugin): {text.strip()}" if text.strip() else "")
    closing = text.find(")", head.end())
    if closing < 0 or (":" in text[head.end() : closing]):
        return _error(text, head.end() - 1, "`(` is never closed", "write schedule(plugin): condition")
    return _error(
        text, closing + 1, "a colon is missing between `)` and the condition", "write schedule(plugin): condition"
    )


def _error(text: str, at: int, message: str, hint: str = "") -> RuleSyntaxError:
    return syntax_hints.error_at(text, at, message, hint)
