"""The pictures of docs/architecture.md against the code."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tools import diagrams


@pytest.mark.parametrize("name", diagrams.pictures())
def test_a_picture_is_up_to_date(name: str) -> None:
    """Whoever moves an import or adds an event draws anew: make docs-diagrams."""
    assert (diagrams.FOLDER / name).read_text() == diagrams.pictures()[name]
    ET.fromstring(diagrams.pictures()[name])


def test_what_is_drawn_implies_all_imports() -> None:
    """Leaving out implied arrows loses no way and invents none."""
    edges = diagrams.imports()
    drawn = diagrams.reduced(edges)
    assert drawn < edges
    reached = set(drawn)
    while True:
        further = {(start, last) for start, end in reached for first, last in drawn if first == end} | reached
        if further == reached:
            break
        reached = further
    assert edges <= reached


def test_every_event_and_every_effect_has_its_place() -> None:
    """An event that nobody makes or an effect that nobody carries out is a defect, of the code or of the tool."""
    made, done = diagrams.origins(), diagrams.outlets()
    assert {event for _, event in made} == {kind.__name__ for kind in diagrams.get_args(diagrams.events.Event)}
    assert {effect for effect, _ in done} == {kind.__name__ for kind in diagrams.get_args(diagrams.effects.Effect)}
    assert {port for _, port in done} == {"PodRunner", "EventPublisher", "Scoreboard", "log"}


def test_arrows_that_others_imply_are_left_out() -> None:
    """Also over more than one stop."""
    edges = {("a", "b"), ("b", "c"), ("c", "d"), ("a", "c"), ("a", "d"), ("b", "d"), ("a", "e")}
    assert diagrams.reduced(edges) == {("a", "b"), ("b", "c"), ("c", "d"), ("a", "e")}
