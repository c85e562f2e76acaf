"""Keep the function tables of docs/rule-language.md up to date with the table that the checker and the compiler use.

`python -m tools.rule_reference` rewrites them, `--check` only says whether they are stale (exit 1).
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgesched.core.rules.functions import GROUPS, Function

PAGE = Path(__file__).parents[1] / "docs/rule-language.md"
BEGIN, END = "<!-- functions: begin (made by tools/rule_reference.py) -->", "<!-- functions: end -->"


def cell(text: str) -> str:
    """Text that may stand in a cell of a Markdown table."""
    return text.replace("|", "\\|")


def row(function: Function) -> str:
    """One function."""
    added = " *(new)*" if function.ours else ""
    parts = (f"`{function.signature()}`{added}", function.gives, function.doc, f"`{function.example}`")
    return f"| {' | '.join(cell(part) for part in parts)} |"


def tables() -> str:
    """All functions, group by group."""
    lines = []
    for title, functions in GROUPS:
        lines += [f"### {title}", "", "| function | gives | | example |", "|---|---|---|---|", *map(row, functions), ""]
    return "\n".join(lines)


def updated(page: str) -> str:
    """The page with fresh tables."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Update the page, or check it."""
    page = PAGE.read_text(encoding="utf-8")
    fresh = updated(page)
    if arguments == ["--check"]:
        if page != fresh:
            print("docs/rule-language.md is stale: run python -m tools.rule_reference", file=sys.stderr)
        return int(page != fresh)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
