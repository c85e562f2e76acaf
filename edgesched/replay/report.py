"""A replay as a table for people and as JSON for programs."""

from __future__ import annotations

from typing import Any, Final

from edgesched.core.model import NS_PER_S
from edgesched.core.shown import shown
from edgesched.replay.moments import Span, rfc3339, short_time
from edgesched.replay.story import Firing, Story

ROWS: Final = 200


def table(story: Story, span: Span, vsn: str, *, rows: int = ROWS) -> list[str]:
    """Return the report as lines: what happened in the order of time, then one line a rule. `rows`: at most, 0 all."""
    lines = [f"{short_time(span.from_ns, whole=True)} to {short_time(span.to_ns, whole=True)} UTC on node {shown(vsn)}"]
    happened = [(firing.ts_ns, _firing_cells(firing)) for firing in story.firings]
    happened += [
        (
            missed.ts_ns,
            ("missed", shown(missed.plugin, 40), f"slot {shown(missed.slot, 40)}", shown(missed.reason, 100)),
        )
        for missed in story.missed
    ]
    happened.sort(key=lambda row: row[0])
    if not happened:
        lines += ["", "nothing would have happened"]
    else:
        kept = happened if rows == 0 else happened[:rows]
        cells = [("TIME", "ACTION", "OBJECT", "OUTCOME", "WHY")]
        cells += [(short_time(ts_ns, whole=True), *row) for ts_ns, row in kept]
        lines += ["", *_columns(cells)]
        if len(kept) < len(happened):
            lines.append(f"... {len(happened) - len(kept)} more (--rows 0 shows all)")
    lines += ["", *_rules(story)]
    lines += [f"problem: {shown(problem, 300)}" for problem in dict.fromkeys(story.problems)]
    return lines


def document(story: Story, span: Span, vsn: str) -> dict[str, Any]:
    """Return the report as JSON values; times in RFC 3339."""
    return {
        "node": vsn,
        "from": rfc3339(span.from_ns),
        "to": rfc3339(span.to_ns),
        "fired": [_firing_values(firing) for firing in story.firings],
        "missed": [
            {
                "time": rfc3339(missed.ts_ns),
                "plugin": missed.plugin,
                "slot": missed.slot,
                "cron": missed.cron,
                "reason": missed.reason,
            }
            for missed in story.missed
        ],
        "rules": [
            {
                "rule": rule.text,
                "fired": rule.fired,
                "true_s": round(rule.total_s(True), 3),
                "false_s": round(rule.total_s(False), 3),
                "unknown_s": round(rule.total_s(None), 3),
                "unknown_reason": next((spell.reason for spell in reversed(rule.spells) if spell.value is None), ""),
            }
            for rule in story.rules
        ],
        "problems": list(dict.fromkeys(story.problems)),
        "complete": not story.cut,
    }


def _firing_values(firing: Firing) -> dict[str, Any]:
    values: dict[str, Any] = {
        "time": rfc3339(firing.ts_ns),
        "ts": firing.ts_ns,
        "action": firing.action,
        "object": firing.object,
        "why": firing.why,
        "outcome": firing.outcome,
    }
    extra = {"slot": firing.slot, "values": firing.values, "value": firing.value, "reason": firing.reason}
    values.update({name: text for name, text in extra.items() if text})
    for name, ts_ns in (("launched", firing.launched_ns), ("ended", firing.ended_ns)):
        if ts_ns is not None:
            values[name] = rfc3339(ts_ns)
    return values


def _firing_cells(firing: Firing) -> tuple[str, str, str, str]:
    outcome = firing.outcome
    if firing.action != "schedule":
        outcome = shown(firing.value, 40)
    elif firing.launched_ns is not None and firing.ended_ns is not None:
        outcome += f" after {_seconds((firing.ended_ns - firing.launched_ns) / NS_PER_S)}"
    if firing.reason:
        outcome += f" ({shown(firing.reason, 60)})"
    why = shown(firing.why, 160)
    if firing.slot:
        why += f" [slot {shown(firing.slot, 30)}]"
    # for a condition of one clause its text is there already
    values = firing.values.removeprefix(f"{firing.why} is true").strip(" ()")
    if values:
        why += f" [{shown(values, 240)}]"
    return firing.action, shown(firing.object, 40), outcome, why


def _rules(story: Story) -> list[str]:
    cells = [("FIRED", "TRUE", "FALSE", "UNKNOWN", "RULE")]
    for rule in story.rules:
        times = (_seconds(rule.total_s(value)) for value in (True, False, None))
        cells.append((str(rule.fired), *times, shown(rule.text, 160)))  # type: ignore[arg-type]
    return _columns(cells)


def _columns(rows: list[tuple[str, ...]] | list[tuple[str, str, str, str, str]]) -> list[str]:
    """Align the cells of all columns but the last."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])).rstrip()
        for row in rows
    ]


def _seconds(seconds: float) -> str:
    if seconds < 0.001:
        return "0 s"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 86_400:.3g} d"
