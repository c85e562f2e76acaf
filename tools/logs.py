"""Writes docs/logs.md: every event name of the agent's log, read from the code. `make docs-logs`, or --check."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgesched.node.remedies import TROUBLES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "logs.md"
FOLDERS = ("core/plan", "adapters", "node", "cli")
WRITERS = {"notice", "_notice", "log", "say", "say_run", "Report", "_complain", "_notice_seldom", "_say"}
KINDS = {"self.kind": ("mqtt", "amqp"), "self._name": ("outbox", "scoreboard")}
ALWAYS = {"say_run": ("job", "plugin", "run", "pod")}

HEAD = """# Log events

<!-- made by tools/logs.py from the code; do not edit -->

One line is one event: a dotted name, then keys. On a terminal a line is `key=value` text, otherwise one JSON object
(`--log-format`). `info` is a decision or a change of state, `warning` heals by itself, `error` needs a person. A line
that repeats comes at once and then once a minute with `repeated=N`; decisions carry a run id and never collapse.
Lines about trouble carry `hint`: what to do. `log.NAME` are lines of the library NAME.

    journalctl -u edgesched -o cat | jq -c 'select(.level != "info")'
    kubectl logs deployment/edgesched | jq -c 'select(.plugin == "sampler")'

"""


@dataclass
class Event:
    """An event as the code writes it."""

    name: str
    levels: set[str] = field(default_factory=set)
    keys: dict[str, None] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)


def events() -> dict[str, Event]:
    """Read all events from the code, by name."""
    found: dict[str, Event] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / "edgesched" / folder).rglob("*.py")):
            tree = ast.parse(path.read_text())
            for call in _calls(tree):
                for name, level, keys in _events_of(call, _dictionaries(tree, call)):
                    event = found.setdefault(name, Event(name))
                    event.levels.add(level)
                    event.keys.update(dict.fromkeys(keys))
                    event.modules.add(path.relative_to(ROOT / "edgesched").as_posix())
    return dict(sorted(found.items()))


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in WRITERS:
            yield node


def _dictionaries(tree: ast.Module, call: ast.Call) -> dict[str, list[str]]:
    """Return the keys of the dictionaries that have a name in the function that holds a call."""
    found: dict[str, list[str]] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.lineno <= call.lineno <= (function.end_lineno or 0):
            for node in ast.walk(function):
                target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
                value = getattr(node, "value", None)
                if isinstance(target, ast.Name) and isinstance(value, ast.Dict):
                    found.setdefault(target.id, []).extend(_keys(value))
                elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                    found.setdefault(target.value.id, []).extend(_constants([target.slice]))
    return found


def _keys(node: ast.Dict) -> list[str]:
    return _constants([key for key in node.keys if key is not None])


def _unpacked(node: ast.Dict) -> list[str]:
    """Return the names of the dictionaries that a dictionary takes in (`**name`)."""
    pairs = zip(node.keys, node.values, strict=True)
    return [value.id for key, value in pairs if key is None and isinstance(value, ast.Name)]


def _constants(nodes: list[ast.expr]) -> list[str]:
    return [str(node.value) for node in nodes if isinstance(node, ast.Constant)]


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _events_of(call: ast.Call, named: dict[str, list[str]]) -> Iterator[tuple[str, str, list[str]]]:
    level, keys = "info", list(ALWAYS.get(_called(call), ()))
    if _called(call) == "_complain":
        level, keys = "warning", ["message"]
    for keyword in call.keywords:
        if keyword.arg == "level":
            levels = [each.value for each in ast.walk(keyword.value) if isinstance(each, ast.Constant)]
            level = "/".join(str(each) for each in levels if each in ("debug", "info", "warning", "error")) or "varies"
        elif keyword.arg is not None:
            keys.append(keyword.arg)
        elif isinstance(keyword.value, ast.Name):
            keys += named.get(keyword.value.id, [])
    for argument in call.args:
        if isinstance(argument, ast.Dict):
            keys += _keys(argument)
            keys += [key for name in _unpacked(argument) for key in named.get(name, [])]
        elif isinstance(argument, ast.Name):
            keys += named.get(argument.id, [])
    for argument in call.args[:3]:
        for name in _names(argument, seldom=_called(call) == "_notice_seldom"):
            yield name, level, keys


def _names(node: ast.expr, *, seldom: bool) -> list[str]:
    """Return the event names that an expression may be; none when it is no event name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if seldom:
            return [f"{kind}.{node.value}" for kind in KINDS["self.kind"]] if node.value.isidentifier() else []
        return [node.value] if _is_name(node.value) else []
    if isinstance(node, ast.IfExp):
        return [*_names(node.body, seldom=seldom), *_names(node.orelse, seldom=seldom)]
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.FormattedValue):
        kinds = KINDS.get(ast.unparse(node.values[0].value), ())
        return [f"{kind}{tail}" for kind in kinds for tail in _tails(node.values[1:])]
    return []


def _tails(parts: list[ast.expr]) -> list[str]:
    tails = [""]
    for part in parts:
        if isinstance(part, ast.Constant):
            texts = [str(part.value)]
        elif isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.IfExp):
            texts = [each.value for each in ast.walk(part.value) if isinstance(each, ast.Constant)]
            # the other branch is a variable with one of these words
            texts += ["lost", "unreachable"] if "login_refused" in texts else []
        else:
            return []
        tails = [tail + str(text) for tail in tails for text in texts]
    return tails


def _is_name(text: str) -> bool:
    parts = text.split(".")
    return len(parts) > 1 and all(part.replace("-", "_").isidentifier() for part in parts) and text == text.lower()


def page() -> str:
    """Return the page."""
    rows = ["| event | level | keys |", "|---|---|---|"]
    known = events()
    for event in known.values():
        keys = ", ".join(f"`{key}`" for key in event.keys if key != "hint")
        rows.append(f"| `{event.name}` | {', '.join(sorted(event.levels))} | {keys} |")
    troubles = [
        "",
        "## Troubles and their remedies",
        "",
        "| event | in its cause | what it is | what to do |",
        "|---|---|---|---|",
    ]
    for row in TROUBLES:
        sign = f"`{row.sign}`" if row.sign else ""
        troubles.append(f"| `{row.event}` | {sign} | {row.title} | {row.remedy.replace('|', chr(92) + '|')} |")
    return HEAD + "\n".join([*rows, *troubles]) + "\n"


def main() -> int:
    """Write the page, or with --check say whether it is up to date."""
    made = page()
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text() == made:
            return 0
        print("docs/logs.md is stale: make docs-logs", file=sys.stderr)
        return 1
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
