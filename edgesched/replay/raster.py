"""Shapes as a PNG, without an imaging library: 8-bit palette, one font of 5 by 7 dots.

Letters that the font lacks are shown as `?`, an ellipsis as `~`.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from edgesched.replay.canvas import LETTER_PX, Canvas, Line, Rect, Text

_FIRST: Final = 0x20
_GLYPHS: Final = bytes.fromhex(
    """
    0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649562050 0008070300 001c224100 0041221c00
    2a1c7f1c2a 08083e0808 0080703000 0808080808 0000606000 2010080402 3e5149453e 00427f4000 7249494946 2141494d33
    1814127f10 2745454539 3c4a494931 4121110907 3649494936 464949291e 0000140000 0040340000 0008142241 1414141414
    0041221408 0201590906 3e415d594e 7c1211127c 7f49494936 3e41414122 7f4141413e 7f49494941 7f09090901 3e41415173
    7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f021c027f 7f0408107f 3e4141413e 7f09090906 3e4151215e
    7f09192946 2649494932 03017f0103 3f4040403f 1f2040201f 3f4038403f 6314081463 0304780403 6159494d43 007f414141
    0204081020 004141417f 0402010204 4040404040 0003070800 2054547840 7f28444438 3844444428 384444287f 3854545418
    00087e0902 18a4a49c78 7f08040478 00447d4000 2040403d00 7f10284400 00417f4000 7c04780478 7c08040478 3844444438
    fc18242418 18242418fc 7c08040408 4854545424 04043f4424 3c4040207c 1c2040201c 3c4030403c 4428102844 4c9090907c
    4464544c44 0008364100 0000770000 0041360800 0201020402
    """
)
"""Five columns a letter from blank to tilde, lowest bit on top; the eighth row is for descenders."""


def to_png(canvas: Canvas) -> bytes:
    """Draw the canvas and return a PNG file."""
    raster = _Raster(canvas.width, canvas.height)
    for shape in canvas.shapes:
        if isinstance(shape, Rect):
            raster.rect(shape)
        elif isinstance(shape, Line):
            raster.line(shape)
        else:
            raster.text(shape)
    return raster.png()


class _Raster:
    """A picture of palette numbers, row by row."""

    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._height = height
        self._dots = bytearray(width * height)
        self._palette = {"#ffffff": 0}

    def rect(self, rect: Rect) -> None:
        color = self._number(rect.color)
        left, right = max(0, rect.x), min(self._width, rect.x + rect.width)
        if left >= right:
            return
        row = bytes((color,)) * (right - left)
        for y in range(max(0, rect.y), min(self._height, rect.y + rect.height)):
            self._dots[y * self._width + left : y * self._width + right] = row

    def line(self, line: Line) -> None:
        steps = max(abs(line.x2 - line.x1), abs(line.y2 - line.y1))
        color = self._number(line.color)
        for step in range(steps + 1):
            part = step / steps if steps else 0.0
            x = round(line.x1 + (line.x2 - line.x1) * part)
            self._dot(x, round(line.y1 + (line.y2 - line.y1) * part), color)

    def text(self, text: Text) -> None:
        width = len(text.text) * LETTER_PX
        left = text.x - {"start": 0, "middle": width // 2, "end": width}[text.anchor]
        color = self._number(text.color)
        for index, char in enumerate(text.text.replace("…", "~")):
            glyph = ord(char) - _FIRST
            if not 0 <= glyph < len(_GLYPHS) // 5:
                glyph = ord("?") - _FIRST
            for column in range(5):
                bits = _GLYPHS[glyph * 5 + column]
                for row in range(8):
                    if bits >> row & 1:
                        self._dot(left + index * LETTER_PX + column, text.y - 7 + row, color)

    def png(self) -> bytes:
        rows = b"".join(
            b"\0" + self._dots[y * self._width : (y + 1) * self._width] for y in range(self._height)
        )  # each row begins with its filter: none
        palette = b"".join(bytes.fromhex(color[1:]) for color in self._palette)
        header = struct.pack(">IIBBBBB", self._width, self._height, 8, 3, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)

    def _dot(self, x: int, y: int, color: int) -> None:
        if 0 <= x < self._width and 0 <= y < self._height:
            self._dots[y * self._width + x] = color

    def _number(self, color: str) -> int:
        return self._palette.setdefault(color, len(self._palette))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
