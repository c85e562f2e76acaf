"""The verdicts of the reference rule checker, and where ours differ on purpose (`deliberate.json`)."""

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edgesched.core.messages import parse_rfc3339
from edgesched.core.model import Measurement
from edgesched.core.rules import evaluate_text

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("EDGESCHED_SHARED", ROOT / "../shared")) / "conformance"
VECTORS = [json.loads(line) for line in (FOLDER / "vectors.jsonl").read_text().splitlines()]
DELIBERATE: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "deliberate.json").read_text())
LISTED = {id_: name for name, difference in DELIBERATE.items() for id_ in difference["ids"]}


@cache
def measurements(dataset: str) -> list[Measurement]:
    """Measurements of a data set."""
    found = json.loads((FOLDER / "datasets.json").read_text())[dataset]["measurements"]
    return [Measurement(m["name"], parse_rfc3339(m["timestamp"]), m["value"], m["meta"]) for m in found]


def answer(vector: dict[str, Any]) -> str:
    """Our word for a vector."""
    return evaluate_text(vector["condition"], measurements(vector["dataset"]), parse_rfc3339(vector["now"]))[0]


def agrees(vector: dict[str, Any], word: str) -> bool:
    """Whether our word is the reference's; what is an error there may be unknown here."""
    expected = {True: ("true",), False: ("false",), "error": ("error", "unknown")}[vector["expect"]]
    return word in expected


def test_the_vectors_are_there() -> None:
    """An empty file would make the other tests pass without a test."""
    assert len(VECTORS) == 1107


def test_portable_vectors_outside_of_the_deliberate_classes() -> None:
    """A portable vector that is not listed has the reference's answer."""
    wrong = [
        (vector["id"], vector["condition"], vector["expect"], answer(vector))
        for vector in VECTORS
        if vector["portable"] and vector["id"] not in LISTED and not agrees(vector, answer(vector))
    ]
    assert wrong == []


def test_deliberate_differences_do_differ() -> None:
    """A listed vector that agrees with the reference is listed for nothing."""
    by_id = {vector["id"]: vector for vector in VECTORS}
    idle = [id_ for id_ in LISTED if agrees(by_id[id_], answer(by_id[id_]))]
    assert idle == []


def test_deliberate_differences_are_few_and_have_reasons() -> None:
    """Each class of the README is there, with its reason; a vector is in one class only."""
    assert sorted(DELIBERATE) == [f"D{n}" for n in range(1, 10)]
    assert all(difference["reason"] for difference in DELIBERATE.values())
    assert Counter(id_ for d in DELIBERATE.values() for id_ in d["ids"]).most_common(1)[0][1] == 1
    assert 60 <= len(LISTED) <= 100


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.get("unsafe")], ids=lambda v: v["condition"][:40])
def test_unsafe_vectors_are_refused(vector: dict[str, Any]) -> None:
    """An escape from the language is refused or unknown."""
    assert answer(vector) in ("error", "unknown")
