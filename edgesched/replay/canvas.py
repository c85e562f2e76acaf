"""A picture as a list of shapes, written as SVG. `raster` draws the same shapes into a PNG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from typing import Final, Literal

FONT_PX: Final = 12
LETTER_PX: Final = 7
"""Width of a letter: the font is monospaced, so that texts can be cut to fit."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A filled rectangle."""

    x: int
    y: int
    width: int
    height: int
    color: str


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line, one pixel wide."""

    x1: int
    y1: int
    x2: int
    y2: int
    color: str


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `y` is its base line. `anchor` says which part of it stands at `x`."""

    x: int
    y: int
    text: str
    color: str = "#222222"
    anchor: Literal["start", "middle", "end"] = "start"


Shape = Rect | Line | Text


@dataclass(slots=True)
class Canvas:
    """Shapes on a white ground, in the order of drawing; colors are `#rrggbb`."""

    width: int
    height: int
    title: str = ""
    shapes: list[Shape] = field(default_factory=list)

    def to_svg(self) -> str:
        """Write the picture as an SVG document that needs nothing from elsewhere."""
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="monospace" font-size="{FONT_PX}">',
            f"<title>{_escaped(self.title)}</title>",
            f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>',
            *_elements(self.shapes),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"


def _elements(shapes: Iterable[Shape]) -> Iterator[str]:
    """Write shapes; lines of one color that follow each other become one path."""
    for key, group in groupby(shapes, key=lambda shape: shape.color if isinstance(shape, Line) else None):
        if key is None:
            yield from (_element(shape) for shape in group if not isinstance(shape, Line))
        else:
            lines = (line for line in group if isinstance(line, Line))
            yield f'<path d="{_path(lines)}" stroke="{key}" fill="none"/>'


def _path(lines: Iterable[Line]) -> str:
    parts: list[str] = []
    at = (-1, -1)
    for line in lines:
        if at != (line.x1, line.y1):
            parts.append(f"M{line.x1} {line.y1}")
        parts.append(f"L{line.x2} {line.y2}")
        at = (line.x2, line.y2)
    return "".join(parts)


def _element(shape: Rect | Text) -> str:
    if isinstance(shape, Rect):
        size = f'width="{shape.width}" height="{shape.height}"'
        return f'<rect x="{shape.x}" y="{shape.y}" {size} fill="{shape.color}"/>'
    place = f'x="{shape.x}" y="{shape.y}" fill="{shape.color}" text-anchor="{shape.anchor}"'
    return f'<text {place} xml:space="preserve">{_escaped(shape.text)}</text>'


def _escaped(text: str) -> str:
    return escape("".join(char if char.isprintable() else " " for char in text))
