"""What the check hands on: the tree with what was learned about it."""

from __future__ import annotations

from dataclasses import dataclass

from edgesched.core.findings import Finding

from . import ast
from .calls import Needs, SortedCall
from .kinds import Kind


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding; `fatal` ones refuse the condition also at run time."""

    finding: Finding
    fatal: bool


@dataclass(slots=True)
class Checked:
    """A tree and what the check learned about it; `kinds` and `calls` are by the `id` of a node."""

    tree: ast.Node
    needs: Needs
    kinds: dict[int, Kind]
    calls: dict[int, SortedCall]
    problems: list[Problem]
    loops: bool
    places: list[tuple[str, ast.Node]]
    """Plugins named in `cronjob()` and `after()`, with the call."""
