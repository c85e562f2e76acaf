"""A short run of `make fuzz`."""

from __future__ import annotations

import random

import pytest

from tools.fuzz import exercise, run
from tools.fuzz_inputs import BOMBS, Inputs


def test_five_thousand_inputs() -> None:
    """No input crashes, hangs or fills the memory."""
    assert [str(failure) for failure in run(Inputs(20_240), range(5000))] == []


def test_inputs_can_be_made_again() -> None:
    """An input depends on seed and index alone, so that a failure can be looked at."""
    assert [Inputs(5).make(i) for i in range(50)] == [Inputs(5).make(i) for i in range(50)]


@pytest.mark.parametrize("text", BOMBS)
def test_bombs_that_are_not_loaded_are_answered_too(text: str) -> None:
    """The same shapes with small numbers go through the same paths."""
    assert exercise(text.replace("{h}", "3"), random.Random(1)).longest_s < 1
