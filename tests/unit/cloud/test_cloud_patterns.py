"""Patterns of the data query."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesched.cloud.patterns import Pattern
from edgesched.errors import InputError

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\.", "(a|b)", "(ab|)", "(?:b)"])
PIECES = st.tuples(ATOMS, st.sampled_from(["", "*", "+", "?"])).map("".join)
PATTERNS = st.lists(st.lists(PIECES, max_size=4).map("".join), min_size=1, max_size=3).map("|".join)


@given(PATTERNS, st.text("ab.c", max_size=8))
def test_agrees_with_the_standard_library(pattern: str, text: str) -> None:
    """Whatever both understand, both answer alike."""
    assert Pattern(pattern).matches(text) == (re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("env.*", "env.temperature", True),
        ("W023|W024", "W024", True),
        ("W023|W024", "W0", False),
        (".*plugin-raingauge.*", "registry/x/plugin-raingauge:0.4", True),
        ("sys\\.scheduler.*", "sys.scheduler.status.plugin.failed", True),
        ("\\d+|x", "42", True),
        ("[0-9a-f]+|x", "beef", True),
    ],
)
def test_what_people_write(pattern: str, text: str, expected: bool) -> None:
    """The patterns of public queries."""
    assert Pattern(pattern).matches(text) is expected


def test_time_grows_with_the_text_only() -> None:
    """The expression that keeps a backtracking engine busy for ever is answered at once."""
    pattern = Pattern("(a*)*(a*)*(a|aa)+b")
    began_s = time.process_time()
    assert not pattern.matches("a" * 2000 + "c")
    assert time.process_time() - began_s < 2


@pytest.mark.parametrize("pattern", ["(a", "a)", "[a", "*a", "a{2}|b", "\\k|b", "a**", "(" * 30 + ")" * 30, "x" * 600])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """A refusal names the pattern; nothing else escapes."""
    with pytest.raises(InputError, match="pattern"):
        Pattern(pattern)
