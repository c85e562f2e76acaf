"""What `promtool check metrics` asks of a page of metrics, and that the page can be read at all."""

from __future__ import annotations

import re

_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
_UNITS = ("seconds", "bytes", "ratio", "info", "total")
_WRONG_UNITS = re.compile(r"_(milliseconds|ms|minutes|hours|kilobytes|kb|mb|percent)(_|$)")


def complaints(page: str) -> list[str]:
    """Everything that is wrong with a page, one line each; empty when nothing is."""
    found: list[str] = []
    family, kind, told, seen = "", "", set[str](), set[str]()
    if not page.endswith("\n"):
        found.append("the last line is not ended")
    for line in page.splitlines():
        if line.startswith("# HELP "):
            family, _, about = line[7:].partition(" ")
            if family in told:
                found.append(f"{family}: told twice")
            told.add(family)
            if not about:
                found.append(f"{family}: no help")
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            if name != family:
                found.append(f"{name}: type without help")
            found += _name_complaints(name, kind)
        else:
            match = _SAMPLE.fullmatch(line)
            if match is None:
                found.append(f"cannot be read: {line}")
                continue
            own = re.sub(r"_(bucket|sum|count)$", "", match[1]) if kind == "histogram" else match[1]
            if own != family:
                found.append(f"{match[1]}: a sample outside its family")
            if f"{match[1]}{match[2]}" in seen:
                found.append(f"{match[1]}{match[2]}: a sample twice")
            seen.add(f"{match[1]}{match[2]}")
            if kind == "counter" and not float(match[3]) >= 0:
                found.append(f"{match[1]}: a counter below zero")
            float(match[3])
    return found


def _name_complaints(name: str, kind: str) -> list[str]:
    found = []
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        found.append(f"{name}: not in snake case")
    if (kind == "counter") != name.endswith("_total"):
        found.append(f"{name}: counters, and only they, end in _total")
    if kind not in {"counter", "gauge", "histogram"}:
        found.append(f"{name}: unknown type {kind}")
    if _WRONG_UNITS.search(name):
        found.append(f"{name}: no base unit (one of {', '.join(_UNITS)})")
    if re.search(r"_(counter|gauge|count|sum|bucket)$", name):
        found.append(f"{name}: a type, or a word of histograms, in the name")
    return found
