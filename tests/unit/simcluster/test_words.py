"""Quantities, times and selectors of the embedded cluster, as Kubernetes writes them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from edgesched.simcluster import patch, times
from edgesched.simcluster.quantity import parse_quantity
from edgesched.simcluster.resources import PODS
from edgesched.simcluster.selectors import selector
from edgesched.simcluster.status import ApiError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", Fraction(1)),
        ("500m", Fraction(1, 2)),
        ("1.5", Fraction(3, 2)),
        (".5", Fraction(1, 2)),
        ("64Mi", Fraction(64 * 1024**2)),
        ("1k", Fraction(1000)),
        ("1e3", Fraction(1000)),
        ("1E-1", Fraction(1, 10)),
        ("2E", Fraction(2 * 10**18)),
        ("-1", Fraction(-1)),
        ("100n", Fraction(1, 10**7)),
    ],
)
def test_quantities_are_exact(text: str, value: Fraction) -> None:
    """Decimal and binary suffixes and exponents."""
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "lots", "1Q", "1 Mi", "1mi", "--1", "1e99", "1e"])
def test_what_is_no_quantity(text: str) -> None:
    """Refused, also exponents that would make giant numbers."""
    with pytest.raises(ValueError, match=r"quantity|exponent"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (601, "10m"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600 + 60, "8h"),
        (49 * 3600, "2d1h"),
        (9 * 86400, "9d"),
        (-5, "0s"),
    ],
)
def test_ages_are_kubectls(seconds: float, text: str) -> None:
    """At most two units, fewer the longer it is."""
    assert times.span_text(seconds) == text


def test_times_can_be_moved() -> None:
    """In whole seconds, forwards and back."""
    assert times.later_text("2026-01-01T00:00:00Z", 90) == "2026-01-01T00:01:30Z"
    assert times.later_text("2026-01-01T00:00:00Z", -1) == "2025-12-31T23:59:59Z"


@pytest.mark.parametrize("text", ["a=b,", "a in (b", "=b", "a=b c", "a>1", ",", "a in ()b"])
def test_what_is_no_selector(text: str) -> None:
    """400, never a crash."""
    with pytest.raises(ApiError) as caught:
        selector(PODS, text, "")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([{"op": "remove", "path": "/nope"}], 422),
        ([{"op": "add", "path": "/a/b/c", "value": 1}], 422),
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "replace", "path": "/l/9", "value": 2}], 422),
        ([{"op": "fly", "path": "/a"}], 400),
        ([{"op": "add", "path": ""}], 400),
        (["text"], 400),
        ({"op": "add"}, 400),
    ],
)
def test_a_wrong_json_patch_is_refused(operations: object, status: int) -> None:
    """With a Status, never a crash, and the object stays."""
    current = {"a": 1, "l": [1]}
    with pytest.raises(ApiError) as caught:
        patch.apply(current, operations, patch.JSON)
    assert caught.value.status == status
    assert current == {"a": 1, "l": [1]}


def test_a_strategic_patch_deletes_from_lists() -> None:
    """`$patch: delete` takes an item out, other items are joined by their key."""
    current = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    change = {"env": [{"name": "A", "$patch": "delete"}, {"name": "B", "value": "3"}, {"name": "C"}]}
    assert patch.apply(current, change, patch.STRATEGIC) == {"env": [{"name": "B", "value": "3"}, {"name": "C"}]}
