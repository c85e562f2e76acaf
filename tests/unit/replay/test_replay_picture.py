"""Pictures: SVG that any reader takes, PNG that is what it says."""

import struct
import xml.etree.ElementTree as ET
import zlib

import pytest

from edgesched.core.model import HOUR_NS, MINUTE_NS, Measurement
from edgesched.replay.canvas import Canvas, Line, Rect, Text
from edgesched.replay.moments import Span
from edgesched.replay.plot import COLUMNS, FIRED, LEFT, VERDICTS, plot
from edgesched.replay.raster import to_png
from edgesched.replay.story import Firing, RuleStory, Spell, Story

SVG = "{http://www.w3.org/2000/svg}"


def pixels(png: bytes) -> tuple[int, int, list[bytes], list[tuple[int, int, int]]]:
    """Return width, height, rows of palette numbers and the palette of a PNG, checking every chunk."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + length
    width, height, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    raw = zlib.decompress(chunks[b"IDAT"])
    rows = [raw[row * (width + 1) + 1 : (row + 1) * (width + 1)] for row in range(height)]
    palette = chunks[b"PLTE"]
    return width, height, rows, [tuple(palette[i : i + 3]) for i in range(0, len(palette), 3)]  # type: ignore[misc]


def test_shapes_in_a_png() -> None:
    """Rectangles, lines and letters put their color where they should, and nothing outside of the picture."""
    canvas = Canvas(
        40, 20, "t", [Rect(2, 3, 4, 5, "#ff0000"), Line(0, 19, 39, 19, "#00ff00"), Rect(35, -5, 90, 7, "#0000ff")]
    )
    canvas.shapes.append(Text(20, 12, "I", "#000000", "middle"))
    width, height, rows, palette = pixels(to_png(canvas))
    assert (width, height) == (40, 20)
    assert palette == [(255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)]
    assert rows[3][1:7] == bytes((0, 1, 1, 1, 1, 0))
    assert rows[7][2] == 1
    assert rows[8][2] == 0
    assert set(rows[19]) == {2}
    assert rows[1][34:] == bytes((0, 3, 3, 3, 3, 3))
    assert sum(row.count(4) for row in rows) == 11


def test_svg_escapes_what_it_shows() -> None:
    """A rule with markup in it is text, and the document stays XML."""
    root = ET.fromstring(Canvas(10, 10, "a<b", [Text(1, 2, "<script>&\x07\"'")]).to_svg())
    assert root.find(f"{SVG}title").text == "a<b"  # type: ignore[union-attr]
    assert root.find(f"{SVG}text").text == "<script>& \"'"  # type: ignore[union-attr]


@pytest.fixture
def story() -> Story:
    """One rule: unknown, true in the second half hour, and one firing."""
    rule = RuleStory("schedule(p): any(v('a.b') > 1)", "schedule", "p", "any(v('a.b') > 1)", ("a.b",), 1)
    rule.spells = [Spell(0, HOUR_NS // 2, None), Spell(HOUR_NS // 2, HOUR_NS, True)]
    return Story([Firing(HOUR_NS // 2, "schedule", "p", "any(v('a.b') > 1)")], rules=[rule])


def test_a_plot_shows_verdicts_firings_and_measurements(story: Story) -> None:
    """The bands share the width as the spells share the time; the mark stands where they meet."""
    measurements = [Measurement("a.b", minute * MINUTE_NS, minute, {"sensor": "x"}) for minute in range(60)]
    canvas = plot(story, measurements, Span(0, HOUR_NS), "j on W023")
    bands = [shape for shape in canvas.shapes if isinstance(shape, Rect) and shape.height == 12]
    assert [(band.color, band.x) for band in bands] == [(VERDICTS[None], LEFT), (VERDICTS[True], LEFT + COLUMNS // 2)]
    marks = [
        shape.x for shape in canvas.shapes if isinstance(shape, Rect) and (shape.color, shape.height) == (FIRED, 20)
    ]
    assert marks == [LEFT + COLUMNS // 2 - 1]
    texts = [shape.text for shape in canvas.shapes if isinstance(shape, Text)]
    assert {"a.b", "sensor=x", "59", "0", "1x", "00:30"} <= set(texts)
    assert ET.fromstring(canvas.to_svg()).tag == f"{SVG}svg"


def test_a_long_history_makes_no_larger_picture(story: Story) -> None:
    """A hundred thousand samples are reduced to the columns of the picture."""
    measurements = [Measurement("a.b", index * HOUR_NS // 100_000, index % 7, {}) for index in range(100_000)]
    canvas = plot(story, measurements, Span(0, HOUR_NS), "t")
    assert len(canvas.shapes) < 3 * COLUMNS
    assert len(to_png(canvas)) < 100_000


@pytest.mark.parametrize("length_ns", [1, 1_000_000_000, HOUR_NS, 400 * 24 * HOUR_NS, 40 * 366 * 24 * HOUR_NS])
def test_the_axis_has_a_few_ticks_whatever_the_length(length_ns: int) -> None:
    """From a nanosecond to decades the axis stays readable."""
    canvas = plot(Story(), [], Span(0, length_ns), "t")
    ticks = [shape for shape in canvas.shapes if isinstance(shape, Text) and shape.anchor == "middle"]
    assert 1 <= len(ticks) <= 22
