"""The table of codes: complete, and the same in the documentation."""

import re
from pathlib import Path

from edgesched.core.jobs.codes import CODES

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/jobs.md"
SOURCES = ROOT / "edgesched/core/jobs"
FIELDS = ("env", "job", "node", "resource", "selector", "volume", "pod")


def table() -> str:
    """Return the table of the page, generated from the code."""
    rows = [f"| `{code}` | {severity} | {meaning} |" for code, (severity, meaning) in CODES.items()]
    return "\n".join(["| code | | what it means |", "|---|---|---|", *rows])


def test_every_code_in_the_sources_is_in_the_table() -> None:
    """Nobody meets a code that the page does not explain, and the page explains none that does not exist."""
    text = "".join(
        path.read_text() for path in sorted(SOURCES.glob("*.py")) if path.name not in ("codes.py", "intake.py")
    )
    used = set(re.findall(r'"((?:yaml|job|plugin|criterion)\.[a-z.]+|rule\.duplicate)"', text))
    used |= {f"plugin.{field}" for field in FIELDS}
    assert used == set(CODES)


def test_the_page_has_the_table() -> None:
    """docs/jobs.md shows the codes as they are in the code; paste `table()` when this fails."""
    page = PAGE.read_text()
    shown = re.search(r"<!-- codes:begin[^>]*-->\n(.*?)\n<!-- codes:end -->", page, re.DOTALL)
    assert shown is not None
    assert shown[1] == table()
