"""Draws docs/diagrams/*.svg from the code: who imports whom, the way of events and effects, the life of a run.

`make docs-diagrams`. The layers are those that `make layers` checks; an arrow that others imply is left out.
"""

from __future__ import annotations

import ast
import html
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import grimp

from edgesched.core.plan import effects, events
from edgesched.core.plan.lifecycle import ENDED, TRANSITIONS

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "edgesched"
FOLDER = ROOT / "docs" / "diagrams"
# modules that anybody may import: arrows to them would hide the others
LEAVES = ("errors", "core.findings", "core.shown", "core.suggest")

Edges = set[tuple[str, str]]
Place = tuple[float, float, float]  # left, top, width
BOX, CHAR, GAP, MARGIN = 30, 7.4, 26, 16
STYLE = (
    "rect.page{fill:#fff}rect.box{fill:#eef3f8;stroke:#4a6785}text{font:13px system-ui,sans-serif;fill:#1b1f23}"
    "text.head{fill:#57606a}path{fill:none;stroke:#4a6785;stroke-width:1.3;marker-end:url(#tip)}"
)


def reduced(edges: Edges) -> Edges:
    """Return the arrows that no way over others implies. There are no circles: `make layers` sees to that."""
    followers: dict[str, set[str]] = {}
    for start, end in edges:
        followers.setdefault(start, set()).add(end)

    def reach(start: str) -> set[str]:
        return {further for end in followers.get(start, ()) for further in (end, *reach(end))}

    return {(start, end) for start, end in edges if not any(end in reach(other) for other in followers[start] - {end})}


def draw(title: str, ranks: list[list[str]], edges: Edges, *, down: bool, heads: Iterable[str] = ()) -> str:
    """Return a picture: a row of boxes for each rank, or, when not `down`, a column."""
    widths = [max(len(name) for name in rank) * CHAR + 20 for rank in ranks]
    across = [sum(len(name) * CHAR + 20 + GAP for name in rank) - GAP for rank in ranks]
    tall = max(len(rank) for rank in ranks)
    step = BOX + (GAP if down else 8)
    top = MARGIN if down else MARGIN + 24
    width = max(across) + 2 * MARGIN + 80 if down else sum(widths) + 70 * (len(ranks) - 1) + 2 * MARGIN
    height = top + (len(ranks) * step - GAP if down else tall * step - 8) + MARGIN
    place: dict[str, Place] = {}
    left = float(MARGIN)
    for index, rank in enumerate(ranks):
        if down:
            left = (width - across[index]) / 2
            for name in rank:
                place[name] = (left, top + index * step, len(name) * CHAR + 20)
                left += len(name) * CHAR + 20 + GAP
        else:
            first = top + (tall - len(rank)) * step / 2
            for number, name in enumerate(rank):
                place[name] = (left, first + number * step, widths[index])
            left += widths[index] + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"',
        'role="img">',
        "<!-- made by tools/diagrams.py from the code; do not edit -->",
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
        '<polygon points="0,0 8,4 0,8" fill="#4a6785"/></marker></defs>',
        f'<rect class="page" width="{width:.0f}" height="{height:.0f}"/>',
    ]
    rank_of = {name: index for index, rank in enumerate(ranks) for name in rank}
    order = sorted(edges, key=lambda edge: (rank_of[edge[0]], place[edge[0]], rank_of[edge[1]], place[edge[1]]))
    for start, end in order:
        between = [place[name] for rank in ranks[rank_of[start] + 1 : rank_of[end]] for name in rank]
        parts.append(
            _around(place[start], place[end], between, width)
            if down and between
            else _arrow(place[start], place[end], down=down)
        )
    for name, (x, y, long) in place.items():
        parts.append(f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{long:.1f}" height="{BOX}" rx="4"/>')
        parts.append(f'<text x="{x + long / 2:.1f}" y="{y + 20:.1f}" text-anchor="middle">{html.escape(name)}</text>')
    for head, rank in zip(heads, ranks, strict=False):
        x, _, long = place[rank[0]]
        parts.append(f'<text class="head" x="{x + long / 2:.1f}" y="{MARGIN + 8}" text-anchor="middle">{head}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _arrow(start: Place, end: Place, *, down: bool) -> str:
    (x1, y1, w1), (x2, y2, w2) = start, end
    if not down:
        x1, y1, y2 = x1 + w1, y1 + BOX / 2, y2 + BOX / 2
        return f'<path d="M{x1:.1f} {y1:.1f}C{x1 + 35:.1f} {y1:.1f} {x2 - 35:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"/>'
    x1, y1, x2 = x1 + w1 / 2, y1 + BOX, x2 + w2 / 2
    return f'<path d="M{x1:.1f} {y1:.1f}C{x1:.1f} {y2 - 4:.1f} {x2:.1f} {y1 - 4:.1f} {x2:.1f} {y2:.1f}"/>'


def _around(start: Place, end: Place, between: list[Place], width: float) -> str:
    """Return an arrow that passes the boxes between on the side where it begins and ends."""
    (x1, y1, w1), (x2, y2, w2) = start, end
    right = (x1 + w1 / 2 + x2 + w2 / 2) / 2 >= width / 2
    side1, side2 = (x1 + w1, x2 + w2) if right else (x1, x2)
    pass_x = max(x + w for x, _, w in between) + 14 if right else min(x for x, _, _ in between) - 14
    out = (pass_x - (side1 + side2) / 8) / 0.75  # where the handles must be for the middle to come to pass_x
    path = f"M{side1:.1f} {y1 + BOX / 2:.1f}C{out:.1f} {y1 + BOX / 2:.1f}"
    if (side1 > pass_x) == right:  # the box itself reaches further: leave it from below, reach it from above
        path = f"M{x1 + w1 / 2:.1f} {y1 + BOX:.1f}C{pass_x:.1f} {y1 + BOX + 30:.1f}"
    if (side2 > pass_x) == right:
        return f'<path d="{path} {pass_x:.1f} {y2 - 60:.1f} {x2 + w2 / 2:.1f} {y2:.1f}"/>'
    return f'<path d="{path} {out:.1f} {y2 + BOX / 2:.1f} {side2:.1f} {y2 + BOX / 2:.1f}"/>'


def layers() -> list[list[str]]:
    """Return the packages, from the top, as `make layers` has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    whole, core = (contract["layers"] for contract in contracts[:2])
    ranks = []
    for layer in whole:
        names = [name.strip("() ").removeprefix("edgesched.") for name in layer.split("|")]
        if names == ["core"]:
            ranks += [[f"core.{name.strip('() ')}" for name in inner.split("|")] for inner in core]
        elif names[0] not in LEAVES:
            ranks.append(names)
    return ranks


def imports() -> Edges:
    """Return who imports whom, by packages."""
    graph = grimp.build_graph("edgesched", cache_dir=None)
    found = {
        (_room(module), _room(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return {(start, end) for start, end in found if start != end and "" not in {start, end}}


def _room(module: str) -> str:
    words = module.split(".")[1:]
    room = ".".join(words[:2]) if words[:1] == ["core"] else ".".join(words[:1])
    return "" if room == "core" or room in LEAVES else room


def origins() -> Edges:
    """Return which module makes which event."""
    names = {kind.__name__ for kind in get_args(events.Event)}
    found: Edges = set()
    for path in sorted([*(CODE / "node").rglob("*.py"), *(CODE / "adapters").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                found.add((path.relative_to(CODE).with_suffix("").as_posix(), node.func.id))
    return found


def outlets() -> Edges:
    """Return which port carries out which effect, as node/dispatch.py has it."""
    tree = ast.parse((CODE / "node" / "dispatch.py").read_text())
    ports: dict[str, str] = {}
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__"]:
        arguments = {each.arg: ast.unparse(each.annotation) for each in function.args.kwonlyargs if each.annotation}
        for node in [node for node in ast.walk(function) if isinstance(node, ast.Assign)]:
            asked = [
                arguments[each.id]
                for each in ast.walk(node.value)
                if isinstance(each, ast.Name) and each.id in arguments
            ]
            target = node.targets[0]
            assert isinstance(target, ast.Attribute)
            ports[target.attr] = next(
                (port for port in asked if port in {"PodRunner", "EventPublisher", "Scoreboard"}), "log"
            )
    found: Edges = set()
    for node in ast.walk(tree):
        kinds: list[str] = []
        if isinstance(node, ast.If) and isinstance(node.test, ast.Call):
            kinds = [each.id for each in ast.walk(node.test.args[1]) if isinstance(each, ast.Name)]
        elif isinstance(node, ast.match_case) and isinstance(node.pattern, ast.MatchClass):
            kinds = [ast.unparse(node.pattern.cls)]
        if isinstance(node, ast.If | ast.match_case):
            for call in [each for each in ast.walk(node.body[0]) if isinstance(each, ast.Call)]:
                outlet = ast.unparse(call.func).split(".")[1] if "." in ast.unparse(call.func) else ""
                found |= {(kind, ports.get(outlet, "log")) for kind in kinds}
    return found


def pictures() -> dict[str, str]:
    """Return all pictures by the names of their files."""
    ranks, made, done = layers(), origins(), outlets()
    first = [kind.__name__ for kind in get_args(events.Event)]
    last = [kind.__name__ for kind in get_args(effects.Effect)]
    through = {(event, "step") for event in first} | {("step", effect) for effect in last}
    # each maker beside the first of its events
    by_event = sorted(made, key=lambda edge: (first.index(edge[1]), edge[0]))
    sources = list(dict.fromkeys(module for module, _ in by_event))
    ports = list(dict.fromkeys(port for effect in last for kind, port in sorted(done) if kind == effect))
    states: Edges = {(str(state), str(after)) for state, following in TRANSITIONS.items() for after in following}
    rows = [[str(state)] for state in TRANSITIONS if state not in ENDED] + [[str(s) for s in TRANSITIONS if s in ENDED]]
    return {
        "imports.svg": draw("Which package imports which", ranks, reduced(imports()), down=True),
        "events.svg": draw(
            "Who makes which event, and who carries out which effect",
            [sources, first, ["step"], last, ports],
            made | through | done,
            down=False,
            heads=("made by", "event", "decides", "effect", "carried out by"),
        ),
        "runs.svg": draw("The life of a run", rows, reduced(states), down=True),
    }


def main() -> int:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        (FOLDER / name).write_text(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
