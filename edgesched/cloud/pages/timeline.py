"""The timeline of a job's runs as SVG: a row for each plugin on each node, a bar for each run.

Failed and missed runs carry a mark, not only a colour, and every bar has a title for pointers and screen readers. The
names of the rows are a picture of their own that stays in place while the runs scroll on a narrow screen. Neither has a
style or a script of its own, so a strict Content-Security-Policy leaves them whole.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from edgesched.cloud.answers import rfc3339
from edgesched.cloud.pages.markup import esc, span_text
from edgesched.core.model import DAY_NS, HOUR_NS, MINUTE_NS, NS_PER_S

WIDTH: Final = 770
LABELS: Final = 190
ROW: Final = 26
BAR: Final = 14
TOP: Final = 24
NARROWEST: Final = 3.0
MOST_ROWS: Final = 40
STEPS_NS: Final = (
    10 * NS_PER_S, 30 * NS_PER_S, MINUTE_NS, 5 * MINUTE_NS, 15 * MINUTE_NS, HOUR_NS, 3 * HOUR_NS, 6 * HOUR_NS, DAY_NS,
    7 * DAY_NS, 30 * DAY_NS,
)  # fmt: skip


def timeline(runs: list[Row[Any]], now_ns: int) -> str:
    """Return the picture of some runs up to now, empty without runs."""
    if not runs:
        return ""
    lanes: dict[tuple[str, str], list[Row[Any]]] = {}
    for run in sorted(runs, key=lambda run: run.queued_ns):
        lanes.setdefault((run.vsn, run.plugin), []).append(run)
    shown = dict(sorted(lanes.items())[:MOST_ROWS])
    axis = _Axis(min(run.queued_ns for run in runs), now_ns)
    height = TOP + ROW * len(shown) + 6
    failed = sum(run.state == "failed" for run in runs)
    label = f"{len(runs)} runs, {failed} failed, over {span_text(axis.end_ns - axis.start_ns)}"
    names = [f"{vsn} {plugin}" for vsn, plugin in shown]
    parts = [
        '<div class="timeline">',
        f'<svg class="names" width="{LABELS}" height="{height}" aria-hidden="true">',
        *(_name(TOP + index * ROW, name) for index, name in enumerate(names)),
        "</svg>",
        '<section class="wide" tabindex="0" aria-label="Timeline">',
        f'<svg width="{WIDTH}" height="{height}" role="img" aria-label="{esc(label)}">',
        f"<title>{esc(label)}</title>",
        *_ticks(axis, height),
    ]
    for index, (name, lane) in enumerate(zip(names, shown.values(), strict=True)):
        parts += _lane(axis, TOP + index * ROW, name, lane, now_ns)
    parts.append("</svg></section></div>")
    return "\n".join(parts) + "\n"


class _Axis:
    """Maps times to places."""

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self.end_ns = max(end_ns, start_ns + MINUTE_NS)
        self.start_ns = min(start_ns, self.end_ns - MINUTE_NS)

    def x(self, ts_ns: int) -> float:
        """Return the place of a time, kept inside the picture."""
        share = (ts_ns - self.start_ns) / (self.end_ns - self.start_ns)
        return 4 + min(max(share, 0.0), 1.0) * (WIDTH - 8)


def _ticks(axis: _Axis, height: int) -> list[str]:
    span_ns = axis.end_ns - axis.start_ns
    step_ns = next((step for step in STEPS_NS if span_ns / step <= 8), STEPS_NS[-1])
    first_ns = -(-axis.start_ns // step_ns) * step_ns
    parts = []
    for ts_ns in range(first_ns, axis.end_ns + 1, step_ns):
        x = axis.x(ts_ns)
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height}"/>')
        label_x = min(max(x, 28), WIDTH - 28)
        label = _tick_text(ts_ns, step_ns)
        parts.append(f'<text class="tick" x="{label_x:.1f}" y="12" text-anchor="middle">{label}</text>')
    return parts


def _tick_text(ts_ns: int, step_ns: int) -> str:
    exact = rfc3339(ts_ns)
    if step_ns >= DAY_NS:
        return exact[5:10]
    return exact[11:19] if step_ns < MINUTE_NS else exact[11:16]


def _name(y: int, label: str) -> str:
    name = label if len(label) <= 27 else label[:26] + "…"
    return (
        f'<text x="0" y="{y + ROW / 2 + 4:.0f}">{esc(name)}<title>{esc(label)}</title></text>'
        f'<line x1="0" x2="{LABELS}" y1="{y + ROW}" y2="{y + ROW}"/>'
    )


def _lane(axis: _Axis, y: int, label: str, lane: list[Row[Any]], now_ns: int) -> list[str]:
    middle = y + ROW / 2
    parts = [f'<line class="lane" x1="0" x2="{WIDTH}" y1="{y + ROW}" y2="{y + ROW}"/>']
    for run in lane:
        start = axis.x(run.started_ns or run.queued_ns)
        end = axis.x(run.ended_ns or now_ns)
        width = max(end - start, NARROWEST)
        title = f"{label}: {run.state}{' - ' + run.reason if run.reason else ''}"
        parts.append(
            f'<g class="run {esc(run.state)}"><title>{esc(title)}</title>'
            f'<rect x="{start:.1f}" y="{middle - BAR / 2:.1f}" width="{width:.1f}" height="{BAR}" rx="2"/>'
        )
        if run.state in ("failed", "missed"):
            x = start + width / 2
            cross = f'd="M{x - 4:.1f} {middle - 4:.1f}l8 8m0 -8l-8 8"'
            parts.append(
                f'<path class="mark halo" {cross}/><path class="mark" {cross}/>'
                if run.state == "failed"
                else f'<circle class="mark" cx="{x:.1f}" cy="{middle:.1f}" r="3.5"/>'
            )
        parts.append("</g>")
    return parts
