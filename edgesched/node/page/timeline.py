"""The runs of the last 24 hours as SVG: a row for each plugin, a bar for each run, failed and missed ones marked.

The picture has no style of its own, so it holds under a strict Content-Security-Policy. Bars that lie within a pixel of
each other are drawn as one: a plugin that runs every minute would make 1,440 of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from edgesched.core.model import DAY_NS, HOUR_NS, NS_PER_S
from edgesched.node.page.markup import esc
from edgesched.node.runhistory import PastRun

WIDTH: Final = 960
LEFT: Final = 180
ROW: Final = 24
TOP: Final = 22
MOST_ROWS: Final = 30
LABEL_CHARS: Final = 24
TICK_HOURS: Final = 3


def timeline(runs: Iterable[PastRun], now_ns: int) -> str:
    """Return the picture, a sentence when there was no run."""
    lanes: dict[tuple[str, str], list[PastRun]] = {}
    for run in runs:
        lanes.setdefault((run.plugin, run.job_id), []).append(run)
    if not lanes:
        return "<p>No run in the last 24 hours.</p>\n"
    shown = sorted(lanes.items())[:MOST_ROWS]
    all_runs = [run for lane in lanes.values() for run in lane]
    failed = sum(run.outcome == "failed" for run in all_runs)
    label = f"{len(all_runs)} runs of {len(lanes)} plugins in the last 24 hours, {failed} failed"
    height = TOP + ROW * len(shown) + 4
    parts = [
        '<section class="wide" aria-label="Timeline" tabindex="0">',
        f'<svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{esc(label)}">',
        f"<title>{esc(label)}</title>",
        *_ticks(now_ns, height),
    ]
    for index, ((plugin, job_id), lane) in enumerate(shown):
        parts += _lane(TOP + index * ROW, plugin, job_id, lane, now_ns)
    more = len(lanes) - len(shown)
    return "\n".join([*parts, "</svg>", "</section>", *([f"<p>and {more} more plugins</p>"] if more else [])]) + "\n"


def _x(ts_ns: int, now_ns: int) -> float:
    share = 1.0 - (now_ns - ts_ns) / DAY_NS
    return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - 8)


def _ticks(now_ns: int, height: int) -> list[str]:
    step_ns = TICK_HOURS * HOUR_NS
    parts = []
    for ts_ns in range((now_ns - DAY_NS) // step_ns * step_ns + step_ns, now_ns + 1, step_ns):
        x = _x(ts_ns, now_ns)
        hour = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).strftime("%H:%M")
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height}"/>')
        parts.append(f'<text class="tick" x="{min(x, WIDTH - 18):.1f}" y="12" text-anchor="middle">{hour}</text>')
    return parts


def _lane(y: int, plugin: str, job_id: str, lane: list[PastRun], now_ns: int) -> list[str]:
    name = plugin if len(plugin) <= LABEL_CHARS else plugin[: LABEL_CHARS - 1] + "…"
    parts = [f'<text x="0" y="{y + 16}">{esc(name)}<title>{esc(plugin)} of job {esc(job_id)}</title></text>']
    end_x, end_outcome = -1.0, ""
    for run in lane:
        start, end = _x(run.started_ns or run.queued_ns, now_ns), _x(run.ended_ns or now_ns, now_ns)
        end = max(end, start + 2.0)
        if end <= end_x + 1.0 and run.outcome == end_outcome:
            continue
        end_x, end_outcome = end, run.outcome
        told = f"{plugin}: {run.outcome}" + (f", {run.reason}" if run.reason else "")
        parts.append(
            f'<g class="run {esc(run.outcome)}"><title>{esc(told)}</title>'
            f'<rect x="{start:.1f}" y="{y + 4}" width="{end - start:.1f}" height="14"/>'
        )
        middle = (start + end) / 2
        if run.outcome == "failed":
            cross = f'd="M{middle - 4:.1f} {y + 7}l8 8m0 -8l-8 8"'
            parts.append(f'<path class="halo" {cross}/><path {cross}/>')
        elif run.outcome == "missed":
            parts.append(f'<circle cx="{middle:.1f}" cy="{y + 11}" r="3.5"/>')
        parts.append("</g>")
    return parts
