"""`edgesched check`: what is wrong with job files, each fault in one line with its place and remedy.

Output is what editors and CI read: `FILE:LINE:COL: error CODE message (hint)`. On a terminal the line of the file
follows with a caret under the place. Exit 1 if any file has an error or cannot be read; warnings do not count.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgesched.cli.files import read_text
from edgesched.core.findings import Finding, has_errors
from edgesched.core.jobs import check_parsed_job, file_job_id, job_to_goal, parse_job
from edgesched.core.jobs.source import Source
from edgesched.core.model import Job, PodOrder
from edgesched.core.shown import shown
from edgesched.errors import InputError

LONGEST_EXCERPT: Final = 110
LONGEST_MESSAGE: Final = 400
LARGEST_FILE: Final = 4 * 256 * 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """A job file and what is wrong with it."""

    file: str
    text: str
    job: Job
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether it has no error."""
        return not has_errors(self.findings)


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    about = "Check job files: form, rules, criteria, and everything that Kubernetes or a node would refuse."
    parser = commands.add_parser("check", help="check job files", description=about)
    parser.add_argument("files", nargs="+", metavar="FILE", help="job file in YAML or JSON, - for standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--manifests", action="store_true", help="with --json: add the pod manifests of the plugins")
    parser.set_defaults(usage_error=parser.error)


def run(arguments: Namespace) -> int:
    """Check the files; print findings as lines or as JSON."""
    if arguments.manifests and not arguments.json:
        arguments.usage_error("--manifests needs --json")
    checked: list[Checked] = []
    for file in arguments.files:
        try:
            checked.append(check_file(file))
        except InputError as error:
            checked.append(Checked(file, "", Job(""), [Finding("error", "file", error.message, error.hint)]))
    if arguments.json:
        print(json.dumps(_document(checked, arguments.manifests), indent=2))
    else:
        for each in checked:
            _print(each, excerpts=sys.stdout.isatty())
    return 0 if all(each.ok for each in checked) else 1


def check_file(file: str) -> Checked:
    """Read and check one file. Raises: InputError when it cannot be read."""
    text = read_text(file, LARGEST_FILE)
    parsed = parse_job(text, file)
    return Checked(file, text, parsed.job, check_parsed_job(parsed))


def _print(checked: Checked, *, excerpts: bool) -> None:
    file = shown(checked.file)
    for finding in checked.findings:
        if finding.code == "file":
            print(f"edgesched: {shown(finding.message, LONGEST_MESSAGE)}", file=sys.stderr)
            continue
        print(format_finding(file, finding))
        if excerpts and finding.line:
            print("\n".join(f"  {line}" for line in _excerpt(checked.text, finding)))
    if not checked.findings:
        print(f"{file}: ok")


def format_finding(file: str, finding: Finding) -> str:
    """Write a finding as one line; a place that is unknown is line 1, column 1."""
    place = f"{file}:{finding.line or 1}:{finding.column or 1}"
    hint = f" ({shown(finding.hint, LONGEST_MESSAGE)})" if finding.hint else ""
    return f"{place}: {finding.severity} {finding.code} {shown(finding.message, LONGEST_MESSAGE)}{hint}"


def _excerpt(text: str, finding: Finding) -> list[str]:
    """Return the finding's line and a caret line, cut to what a terminal shows."""
    line = Source(text).line(finding.line)
    first = max(0, finding.column - 1 - LONGEST_EXCERPT * 3 // 4)
    cut = "".join(char if char.isprintable() else " " for char in line[first : first + LONGEST_EXCERPT])
    return [cut, " " * (finding.column - 1 - first) + "^"]


def _document(checked: list[Checked], with_manifests: bool) -> dict[str, Any]:
    findings = [
        {
            "file": each.file,
            "line": finding.line,
            "column": finding.column,
            "severity": finding.severity,
            "code": finding.code,
            "message": finding.message,
            "hint": finding.hint,
        }
        for each in checked
        for finding in each.findings
    ]
    files = [{"file": each.file, "job": each.job.name, "ok": each.ok} for each in checked]
    document: dict[str, Any] = {"ok": all(file["ok"] for file in files), "files": files, "findings": findings}
    if with_manifests:
        sound = [each for each in checked if each.ok]
        document["manifests"] = [manifest for each in sound for manifest in manifests_of(each.file, each.job)]
    return document


def manifests_of(file: str, job: Job) -> list[dict[str, Any]]:
    """Return the pod manifests of a sound job's plugins as a node with default settings would create them."""
    from edgesched.core.pods import PodSettings, instance_name, pod_manifest, pod_name

    goal = job_to_goal(job, job_id=file_job_id(str(Path(file).absolute())))
    settings = PodSettings(vsn=job.nodes[0] if job.nodes else "W000")
    manifests = []
    for plugin in job.plugins:
        key = f"{goal.job_id}/{plugin.name}/check"
        order = PodOrder(
            run_id="check",
            pod_name=pod_name(plugin.name, key),
            instance=instance_name(plugin.name, key),
            job_id=goal.job_id,
            goal_id=goal.goal_id,
            upload_job=plugin.spec.job or job.name,
            plugin=plugin,
        )
        manifests.append(pod_manifest(order, settings))
    return manifests
