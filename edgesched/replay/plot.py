"""A replay as a picture: the measurements that the rules read, each rule's verdict over time, and when it acted.

Everything is reduced to pixel columns first (extremes of a series, the strongest verdict), so the picture of a month
is no larger than that of an hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from edgesched.core.model import DAY_NS, HOUR_NS, MINUTE_NS, NS_PER_S, Measurement
from edgesched.core.shown import shown
from edgesched.replay.canvas import LETTER_PX, Canvas, Line, Rect, Text
from edgesched.replay.moments import Span, short_time
from edgesched.replay.story import RuleStory, Story

WIDTH: Final = 1200
LEFT: Final = 70
RIGHT: Final = 20
COLUMNS: Final = WIDTH - LEFT - RIGHT
SERIES_HEIGHT: Final = 90
RULE_HEIGHT: Final = 46
MOST_PANELS: Final = 12
MOST_RULES: Final = 60

INK, GREY, FRAME = "#222222", "#777777", "#cccccc"
VERDICTS: Final = {True: "#2e7d32", False: "#e4e4e4", None: "#f3c04b"}
FIRED, MISSED = "#c62828", "#6a1b9a"
SERIES: Final = ("#1565c0", "#ef6c00", "#00838f", "#6d4c41", "#ad1457", "#558b2f")
_TICKS: Final = (
    NS_PER_S, 10 * NS_PER_S, MINUTE_NS, 5 * MINUTE_NS, 15 * MINUTE_NS, HOUR_NS, 3 * HOUR_NS, 6 * HOUR_NS, 12 * HOUR_NS,
    DAY_NS, 2 * DAY_NS, 7 * DAY_NS, 14 * DAY_NS, 28 * DAY_NS, 91 * DAY_NS, 364 * DAY_NS,
)  # fmt: skip


def plot(story: Story, measurements: Iterable[Measurement], span: Span, title: str) -> Canvas:
    """Draw a replay; `measurements`: those that were replayed."""
    panels = _panels(story.rules, measurements, span)
    rules = story.rules[:MOST_RULES]
    height = 50 + len(panels) * (SERIES_HEIGHT + 20) + len(rules) * RULE_HEIGHT + 50
    canvas = Canvas(WIDTH, height, title)
    canvas.shapes.append(Text(LEFT, 20, _cut(title)))
    _legend(canvas, 38)
    y = 50
    for name, columns in panels.items():
        _series(canvas, y, name, columns)
        y += SERIES_HEIGHT + 20
    for rule in rules:
        _rule(canvas, y, rule, story, span)
        y += RULE_HEIGHT
    _axis(canvas, y, span)
    return canvas


def _column(ts_ns: int, span: Span) -> int:
    """Return the pixel column of a time."""
    length_ns = max(1, span.to_ns - span.from_ns)
    return min(COLUMNS - 1, max(0, (ts_ns - span.from_ns) * COLUMNS // length_ns))


Columns = dict[int, tuple[float, float]]
Meta = tuple[tuple[str, str], ...]


def _panels(
    rules: Sequence[RuleStory], measurements: Iterable[Measurement], span: Span
) -> dict[str, dict[str, Columns]]:
    """Return, for each measurement that rules read and each of its series, the extremes by column."""
    names = list(dict.fromkeys(name for rule in rules for name in rule.names))[:MOST_PANELS]
    found: dict[str, dict[Meta, Columns]] = {name: {} for name in names}
    for measurement in measurements:
        series = found.get(measurement.name)
        value = measurement.value
        inside = span.from_ns <= measurement.ts_ns <= span.to_ns
        if series is None or not inside or not isinstance(value, int | float) or not math.isfinite(value):
            continue
        columns = series.setdefault(tuple(sorted(measurement.meta.items())), {})
        x = _column(measurement.ts_ns, span)
        low, high = columns.get(x, (value, value))
        columns[x] = (min(low, value), max(high, value))
    return {name: _labelled(series) for name, series in found.items()}


def _labelled(series: dict[Meta, Columns]) -> dict[str, Columns]:
    """Name each series by what distinguishes it from the others; a single one by its sensor."""
    pairs = [set(meta) for meta in series]
    common = (
        set.intersection(*pairs)
        if len(pairs) > 1
        else {pair for pair in pairs[0] if pair[0] != "sensor"}
        if pairs
        else set()
    )
    labelled: dict[str, Columns] = {}
    for meta, columns in series.items():
        labelled[" ".join(f"{key}={text}" for key, text in meta if (key, text) not in common)] = columns
    return labelled


def _series(canvas: Canvas, y: int, name: str, series: dict[str, Columns]) -> None:
    shapes = canvas.shapes
    shapes.append(Text(LEFT, y + 12, _cut(shown(name)), INK))
    top, bottom = y + 18, y + SERIES_HEIGHT
    shapes.append(Rect(LEFT, top, COLUMNS, bottom - top, "#fafafa"))
    values = [value for columns in series.values() for pair in columns.values() for value in pair]
    if not values:
        shapes.append(Text(LEFT + 8, top + 20, "no numbers in this time", GREY))
        return
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    shapes.append(Text(LEFT - 6, top + 10, f"{high:.4g}", GREY, "end"))
    shapes.append(Text(LEFT - 6, bottom, f"{low:.4g}", GREY, "end"))

    def row(value: float) -> int:
        return bottom - 2 - round((value - low) / spread * (bottom - top - 4))

    label_x = LEFT + (len(name) + 3) * LETTER_PX
    for number, (label, columns) in enumerate(series.items()):
        color = SERIES[number % len(SERIES)]
        last: tuple[int, int] | None = None
        for x, (least, most) in sorted(columns.items()):
            if last is not None:
                shapes.append(Line(LEFT + last[0], last[1], LEFT + x, row(least), color))
            shapes.append(Line(LEFT + x, row(least), LEFT + x, row(most), color))
            last = (x, row(most))
        if number < len(SERIES):
            text = shown(label, 60)
            if text and label_x + len(text) * LETTER_PX < WIDTH - RIGHT:
                shapes.append(Text(label_x, y + 12, text, color))
                label_x += (len(text) + 3) * LETTER_PX


def _rule(canvas: Canvas, y: int, rule: RuleStory, story: Story, span: Span) -> None:
    shapes = canvas.shapes
    shapes.append(Text(LEFT, y + 12, _cut(shown(rule.text, 400)), INK))
    shapes.append(Text(LEFT - 6, y + 30, f"{rule.fired}x", GREY, "end"))
    for left, right, value in _bands(rule, span):
        shapes.append(Rect(LEFT + left, y + 20, right - left, 12, VERDICTS[value]))
    marks = {
        _column(firing.ts_ns, span)
        for firing in story.firings
        if (firing.action, firing.object, firing.why) == (rule.action, rule.object, rule.condition)
    }
    for x in sorted(marks):
        shapes.append(Rect(LEFT + x - 1, y + 16, 2, 20, FIRED))
    if rule.action == "schedule":
        for x in sorted({_column(missed.ts_ns, span) for missed in story.missed if missed.plugin == rule.object}):
            shapes.append(Rect(LEFT + x - 1, y + 32, 2, 8, MISSED))


def _bands(rule: RuleStory, span: Span) -> list[tuple[int, int, bool | None]]:
    """Return runs of columns with one verdict; in a column with several, true wins, then unknown."""
    strength = {True: 2, None: 1, False: 0}
    columns: list[bool | None] = [False] * COLUMNS
    seen = [-1] * COLUMNS
    for spell in rule.spells:
        for x in range(_column(spell.from_ns, span), _column(spell.to_ns, span) + 1):
            if strength[spell.value] > seen[x]:
                columns[x], seen[x] = spell.value, strength[spell.value]
    bands: list[tuple[int, int, bool | None]] = []
    start = 0
    for x in range(1, COLUMNS + 1):
        if x == COLUMNS or columns[x] is not columns[start]:
            bands.append((start, x, columns[start]))
            start = x
    return bands


def _axis(canvas: Canvas, y: int, span: Span) -> None:
    shapes = canvas.shapes
    shapes.append(Line(LEFT, y + 6, LEFT + COLUMNS, y + 6, FRAME))
    length_ns = max(1, span.to_ns - span.from_ns)
    tick_ns = next((tick for tick in _TICKS if length_ns // tick <= 12), _TICKS[-1])
    tick_ns *= max(1, length_ns // tick_ns // 12)
    when_ns = -(-span.from_ns // tick_ns) * tick_ns
    while when_ns <= span.to_ns:
        x = LEFT + _column(when_ns, span)
        shapes.append(Line(x, y + 6, x, y + 11, GREY))
        shapes.append(
            Text(x, y + 24, short_time(when_ns, days=tick_ns >= DAY_NS, seconds=tick_ns < MINUTE_NS), GREY, "middle")
        )
        when_ns += tick_ns
    shapes.append(
        Text(LEFT, y + 42, f"{short_time(span.from_ns, whole=True)} to {short_time(span.to_ns, whole=True)} UTC", GREY)
    )


def _legend(canvas: Canvas, y: int) -> None:
    x = LEFT
    entries = (
        (VERDICTS[True], "true"), (VERDICTS[False], "false"), (VERDICTS[None], "unknown"), (FIRED, "acted"),
        (MISSED, "slot missed"),
    )  # fmt: skip
    for color, text in entries:
        canvas.shapes.append(Rect(x, y - 8, 10, 10, color))
        canvas.shapes.append(Text(x + 14, y, text, GREY))
        x += 14 + (len(text) + 2) * LETTER_PX


def _cut(text: str) -> str:
    most = COLUMNS // LETTER_PX
    return text if len(text) <= most else text[: most - 3] + "..."
