"""Numbers and strings as Python writes them (Python 3 reference, section 2.4), from token text to value.

Differences: no bytes, no f-strings, no complex numbers; integers beyond 2**1024 are refused, as everywhere in rules.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

BIGGEST_INT: Final = 1 << 1024
"""Integers of rules are between -BIGGEST_INT and BIGGEST_INT."""

_PREFIX = re.compile("[a-zA-Z]*")
_ESCAPE = re.compile(
    r"\\(?:(\r\n|[\n\r])|([\\'\"abfnrtv])|([0-7]{1,3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})"
    r"|N\{([^}]*)\}|([xuUN]))"
)
_SINGLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class LiteralError(ValueError):
    """A literal that is none; `hint` says what to write. The caller knows the place."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def number(text: str) -> int | float:
    """Value of a number token. Raises LiteralError for leading zeros and for integers beyond 2**1024."""
    digits = text.replace("_", "")
    if digits[:2].lower() in ("0x", "0o", "0b"):
        value = int(digits, 0)
    elif not digits.isdigit():
        return float(digits)
    elif digits[0] == "0" and digits.strip("0"):
        raise LiteralError(f"{text} has leading zeros", f"write {digits.lstrip('0')}")
    else:
        value = int(digits) if len(digits) < 400 else BIGGEST_INT + 1
    if value > BIGGEST_INT:
        raise LiteralError("an integer beyond 2**1024")
    return value


def string(text: str) -> str:
    """Value of a string token with its quotes and prefix. Raises LiteralError."""
    prefix = _PREFIX.match(text)[0].lower()  # type: ignore[index]  # matches at least the empty prefix
    if "f" in prefix:
        raise LiteralError("f-strings are not part of the language", "write the text itself")
    if "b" in prefix:
        raise LiteralError("bytes are not part of the language", "leave the b before the quote out")
    if prefix not in ("", "r", "u"):
        raise LiteralError(f"{prefix} before a quote means nothing")
    quoted = text[len(prefix) :]
    width = 3 if quoted[:3] in ("'''", '"""') and len(quoted) >= 6 else 1
    body = quoted[width:-width]
    if prefix == "r" or "\\" not in body:
        return body
    return _ESCAPE.sub(_unescape, body)


def _unescape(match: re.Match[str]) -> str:
    joined, single, octal, hex2, hex4, hex8, name, broken = match.groups()
    if joined is not None:
        return ""
    if single is not None:
        return _SINGLE.get(single, single)
    if octal is not None:
        return chr(int(octal, 8))
    if name is not None:
        try:
            return unicodedata.lookup(name)
        except KeyError:
            raise LiteralError(f"no character has the name {name[:40]}") from None
    if broken is not None:
        raise LiteralError(f"\\{broken} is cut short", "write two backslashes for a backslash")
    code = int(hex2 or hex4 or hex8, 16)
    if code > 0x10FFFF:
        raise LiteralError("a character beyond U+10FFFF")
    return chr(code)
