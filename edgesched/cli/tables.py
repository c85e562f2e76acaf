"""Tables for terminals: columns as wide as needed, the widest one cut so that a line fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgesched.core.shown import shown

WIDTH: Final = 80
NARROWEST: Final = 8


def table(head: Sequence[str], rows: Sequence[Sequence[object]], width: int = WIDTH) -> str:
    """Return the rows under their heads; values are escaped, and cut where the line would be longer than `width`."""
    texts = [list(head), *[[_text(value) for value in row] for row in rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines = ["  ".join(_fit(text, room) for text, room in zip(row, widths, strict=True)).rstrip() for row in texts]
    return "\n".join(lines)


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    return shown(str(value))


def _fit(text: str, room: int) -> str:
    return text.ljust(room) if len(text) <= room else text[: room - 1] + "…"
