"""The commands that pages show with the files of the examples: each runs, and says what a newcomer expects."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from edgesched.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "examples" / "README.md", ROOT / "docs" / "jobs.md")
_COMMAND = re.compile(r"^ {4}(?:\.venv/bin/)?edgesched ((?:check|eval|replay) [^#\n]+)", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """Page and arguments of every command that needs no running agent."""
    return [
        (page.relative_to(ROOT).as_posix(), found) for page in PAGES for found in _COMMAND.findall(page.read_text())
    ]


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_of_a_page_runs(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the folder that a newcomer stands in; names that stand for a reader's own files get one of the examples."""
    monkeypatch.chdir(ROOT)
    own = {
        "myjob.yaml": "examples/tutorial/myjob.yaml",
        "recorded.ndjson": "examples/measurements/rain.ndjson",
        "myjob.svg": str(tmp_path / "myjob.svg"),
    }
    words = [own.get(word, word) for word in shlex.split(line)]
    assert main(words) == 0
    out = capsys.readouterr()
    assert out.err == ""
    if words[0] != "check":
        assert out.out
    if "--plot" in words:
        assert (tmp_path / "myjob.svg").read_text().startswith("<svg")


def test_there_are_commands_to_run() -> None:
    """The pattern still finds them."""
    assert {page for page, _ in commands()} == {"README.md", "examples/README.md", "docs/jobs.md"}
    assert len(commands()) >= 7
