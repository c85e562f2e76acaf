"""Job files: those of the field, those that are broken on purpose, and our own examples."""

import json
import os
from pathlib import Path

import pytest

from edgesched.cli.check import format_finding
from edgesched.core.findings import has_errors
from edgesched.core.jobs import check_job, job_to_goal, parse_job

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("EDGESCHED_SHARED", ROOT / "../shared"))
FIELD_JOBS = sorted((SHARED / "conformance/jobs").glob("*.yaml"))
BROKEN_JOBS = sorted((ROOT / "tests/broken_jobs").glob("*.yaml"))
EXAMPLES = sorted(path for folder in ("jobs", "tutorial") for path in (ROOT / "examples" / folder).glob("*.yaml"))
OUTCOMES = Path(__file__).parent / "jobs-outcomes.json"
EXPECTED = ROOT / "tests/broken_jobs/expected.txt"


def lines_of(path: Path) -> list[str]:
    """Return the lines that `check` prints for a file."""
    return [format_finding(path.name, finding) for finding in check_job(path.read_text(encoding="utf-8"), path.name)]


def outcomes() -> dict[str, dict[str, object]]:
    """Return, for each job file of the field, whether it is accepted and what is said of it."""
    table: dict[str, dict[str, object]] = {}
    for path in FIELD_JOBS:
        findings = check_job(path.read_text(encoding="utf-8"), path.name)
        table[path.name] = {
            "outcome": "refused" if has_errors(findings) else "accepted",
            "errors": [line.split(":", 1)[1] for line in lines_of(path) if ": error " in line],
            "warnings": [line.split(":", 1)[1] for line in lines_of(path) if ": warning " in line],
        }
    return table


def test_the_job_files_of_the_field_are_there() -> None:
    """An empty folder would make the other tests pass without a test."""
    assert len(FIELD_JOBS) == 75


def test_outcomes_of_the_job_files_of_the_field() -> None:
    """Each is accepted or refused as the committed table says; a difference is a change of what users are told."""
    assert outcomes() == json.loads(OUTCOMES.read_text())


def test_every_refusal_tells_what_to_change() -> None:
    """No author is left alone with a refusal: each error has a place and a remedy."""
    for path in FIELD_JOBS:
        for finding in check_job(path.read_text(encoding="utf-8")):
            if finding.severity == "error":
                assert finding.hint, (path.name, finding)
                assert finding.line >= 1


@pytest.mark.parametrize("path", BROKEN_JOBS, ids=lambda path: path.stem)
def test_a_broken_job_gets_the_expected_lines(path: Path) -> None:
    """Each broken job answers with the committed lines, one clear line a fault."""
    expected = [line for line in EXPECTED.read_text().splitlines() if line.startswith(f"{path.name}:")]
    assert expected
    assert lines_of(path) == expected


def test_no_expected_line_is_without_its_file() -> None:
    """The table has no leftovers, and there are enough broken jobs."""
    names = {line.split(":", 1)[0] for line in EXPECTED.read_text().splitlines()}
    assert names == {path.name for path in BROKEN_JOBS}
    assert len(BROKEN_JOBS) >= 30


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_pass_without_a_finding(path: Path) -> None:
    """What we give people to start from is sound."""
    text = path.read_text()
    assert check_job(text, str(path)) == []
    assert job_to_goal(parse_job(text).job, job_id="1").sub_goals
