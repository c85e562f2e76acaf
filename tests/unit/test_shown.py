"""How text from outside is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesched.core.shown import SHOWN_CHARS, hide_passwords, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x7f\x85\x9b", "\\x7f\\x85\\x9b"),
        ("abc\u202edef", "abc\\u202edef"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("lone \ud800", "lone \\ud800"),
        ("größer 12 °C, 日本", "größer 12 °C, 日本"),
    ],
)
def test_controls_are_escaped_and_letters_are_not(text: str, expected: str) -> None:
    """What moves a cursor, hides or reorders text is spelt out; every script stays readable."""
    assert shown(text) == expected


def test_long_text_is_cut() -> None:
    """At most 200 characters, the last one an ellipsis."""
    assert shown("x" * 200) == "x" * 200
    assert shown("x" * 201) == "x" * 199 + "…"
    assert shown("abcdef", 4) == "abc…"


@given(st.text())
def test_nothing_shown_can_control_a_terminal(text: str) -> None:
    """Whatever comes in, one printable line of bounded length comes out."""
    told = shown(text)
    assert len(told) <= 6 * SHOWN_CHARS
    assert len(told.splitlines()) <= 1
    assert not any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://user:pw@host:1883", "mqtt://user:***@host:1883"),
        ("cannot reach amqps://a:b%40c@h/v, retrying", "cannot reach amqps://a:***@h/v, retrying"),
        ("redis://:secret@h", "redis://:***@h"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("user:pw@host", "user:pw@host"),
    ],
)
def test_passwords_in_addresses_are_hidden(text: str, expected: str) -> None:
    """The password of a URL goes, the rest stays."""
    assert hide_passwords(text) == expected
