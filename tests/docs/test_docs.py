"""The documentation against the repository: links, names of files, commands, threads; and every example runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from edgesched.cli.main import COMMANDS, main
from edgesched.core.findings import has_errors
from edgesched.core.jobs import check_job

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
JOBS = sorted(path for path in (ROOT / "examples").rglob("*.yaml") if "scienceRules" in path.read_text())
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the repository names one, and its anchor a heading there."""
    for target, anchor in _LINK.findall(page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor[1:] in _anchors(path), f"{page.name}: {target}{anchor}"


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/operators.md",
        "docs/durability.md",
        "docs/security.md",
        "docs/architecture.md",
        "docs/kubernetes.md",
        "docs/test-clusters.md",
        "examples/README.md",
    ],
)
def test_commands_and_targets_exist(name: str) -> None:
    """Every `edgesched COMMAND`, `make TARGET` and path of the repository that a page names is there."""
    text = (ROOT / name).read_text()
    makefile = (ROOT / "Makefile").read_text()
    for word in re.findall(r"(?:^ +|`|-- )(?:sudo )?edgesched ([a-z]+)\b", text, re.MULTILINE):
        assert word in COMMANDS, word
    for target in re.findall(r"(?:^ +(?:\$ )?|`)(?:sudo )?make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"\b((?:deploy|tools|tests)/[\w./-]+\w)", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_example_is_right_and_runs(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check finds no error in it, and a replay over the recorded rain evaluates all of its rules without one."""
    assert not has_errors(check_job(path.read_text(), str(path)))
    nodes = list(yaml.safe_load(path.read_text())["nodes"])
    measurements = ROOT / "examples" / "measurements" / "rain.ndjson"
    assert main(["replay", str(path), "--measurements", str(measurements), "--node", nodes[0], "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rules = report["rules"]
    assert len(rules) == len(yaml.safe_load(path.read_text())["scienceRules"])
    assert all(rule["true_s"] + rule["false_s"] + rule["unknown_s"] > 0 for rule in rules)
    assert not [rule for rule in rules if "error" in rule["unknown_reason"]]


def test_every_example_and_every_decision_is_listed() -> None:
    """A newcomer finds them from the page of their folder."""
    for folder, pattern in (("examples", "*/*.*"), ("docs/adr", "0*.md")):
        page = (ROOT / folder / "README.md").read_text()
        for path in (ROOT / folder).glob(pattern):
            assert f"]({path.relative_to(ROOT / folder).as_posix()})" in page, path.name
