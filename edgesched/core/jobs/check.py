"""Everything that can be said about a job before it runs.

`parse_job` finds faults of form; here come the faults of meaning: rules and criteria that cannot work, plugins that no
rule starts, names and values that Kubernetes or a node will refuse. The makers of rules and pods judge their own parts,
so a job that passes here is one that they take. An error means that the job, or a part of it, cannot run; a warning
means that it runs and probably not as its author thinks. docs/jobs.md lists every code.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from edgesched.core.findings import Finding, Severity
from edgesched.core.jobs.check_plugins import PLACEHOLDER, check_plugins
from edgesched.core.jobs.criteria import NotEnforced, Runs, UntilTrue, parse_criterion
from edgesched.core.jobs.document import Mapping, Scalar
from edgesched.core.jobs.job import ParsedJob, Path, parse_job
from edgesched.core.rules import check_rule, compile_condition, parse_rule
from edgesched.core.suggest import did_you_mean
from edgesched.errors import RuleError

JOB_STATES: Final = ("Created", "Drafted", "Submitted", "Running", "Completed", "Suspended", "Removed")
_VSN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def check_job(text: str, filename: str = "") -> list[Finding]:
    """Check a job file; return what is wrong with it in the order of the file. Never raises."""
    return check_parsed_job(parse_job(text, filename))


def check_parsed_job(parsed: ParsedJob) -> list[Finding]:
    """Check a job that is already read; the findings of the reading come first where they share a place."""
    checker = _Checker(parsed)
    if isinstance(parsed.places.get(()), Mapping):
        checker.run()
    return sorted(checker.findings, key=lambda finding: (finding.line, finding.column))


class _Checker:
    """The checks of one job; findings are placed by path."""

    def __init__(self, parsed: ParsedJob) -> None:
        self.parsed = parsed
        self.job = parsed.job
        self.findings = list(parsed.findings)
        self._names = tuple(plugin.name for plugin in parsed.job.plugins)
        self._wrong_fields = {(finding.line, finding.column) for finding in parsed.findings}

    def run(self) -> None:
        self._check_name()
        self._check_nodes()
        if not self.job.plugins and not self._is_reported("plugins"):
            self._find("error", "job.plugins.none", "the job has no plugins", ("plugins",), "list them under plugins:")
        self.findings += check_plugins(self.parsed)
        self._check_rules()
        self._check_criteria()
        self._check_notification()

    def _check_name(self) -> None:
        name = self.job.name
        if self._is_reported("name"):
            return
        if not name:
            self._find("error", "job.name.missing", "the job has no name", ("name",), "write `name: NAME`")
        elif PLACEHOLDER.fullmatch(name):
            self._find("error", "job.placeholder", f"{name} is a placeholder", ("name",), "put the name in its place")

    def _check_nodes(self) -> None:
        selects = self.job.nodes or self.job.node_tags or self._is_reported("nodes") or self._is_reported("nodeTags")
        if not selects:
            self._find(
                "error", "job.nodes.none", "the job selects no node", ("nodes",),
                "write each node's VSN as a key under nodes, as in `W023:`, or tags under nodeTags",
            )  # fmt: skip
        for vsn in self.job.nodes:
            place = self.parsed.key_place("nodes", vsn)
            if not _VSN.fullmatch(vsn) and place not in self._wrong_fields:
                self._add("error", "job.node.name", f"{vsn!r} is no node", "write its VSN, as in `W023:`", place)
            self._check_node_value(vsn)

    def _check_node_value(self, vsn: str) -> None:
        value = self.parsed.places.get(("nodes", vsn))
        if isinstance(value, Scalar) and (value.kind != "flag" or value.is_true):
            return
        if isinstance(value, Scalar):
            message, hint = f"{vsn}: {value.text} does not exclude the node", "remove the line to exclude it"
        else:
            message, hint = f"what stands under {vsn} is ignored: every plugin runs on every node", f"write `{vsn}:`"
        self._find("warning", "job.node.value", message, ("nodes", vsn), hint)

    def _check_rules(self) -> None:
        if not self.job.science_rules and not self._is_reported("scienceRules"):
            self._find(
                "warning", "job.rules.none", "the job has no science rules, so nothing ever runs", ("scienceRules",),
                "write `schedule(PLUGIN): cronjob('PLUGIN', '*/10 * * * *')` under scienceRules",
            )  # fmt: skip
        scheduled = {self._check_rule(index, text) for index, text in enumerate(self.job.science_rules)}
        if self.job.science_rules and None not in scheduled:
            self._check_scheduled(scheduled)

    def _check_rule(self, index: int, text: str) -> str | None:
        """Check a rule; return the plugin that it schedules, empty when it schedules none, None when it is unclear."""
        path: Path = ("scienceRules", index)
        if self._is_reported(*path):
            return None
        template = _TEMPLATE.search(text)
        if template:
            place = self.parsed.place(*path, offset=template.start())
            message = f"{template[0]} is a placeholder"
            self._add("error", "job.placeholder", message, "put the value in its place", place)
            return None
        first = self.job.science_rules.index(text)
        if first < index:
            message = f"the same rule stands in scienceRules[{first}]"
            self._find("warning", "rule.duplicate", message, path, "remove one of them")
        names = self._names if all(self._names) else None
        for found in check_rule(text, plugins=names):
            place = self.parsed.place(*path, offset=offset_in(text, found.line, found.column))
            self._add(found.severity, found.code, found.message, found.hint, place)
        try:
            rule = parse_rule(text)
        except RuleError:
            return None
        if rule.action != "schedule":
            return ""
        return rule.object if rule.object in self._names else None

    def _check_scheduled(self, scheduled: Collection[str | None]) -> None:
        for index, plugin in enumerate(self.job.plugins):
            if plugin.name and plugin.name not in scheduled:
                hint = f"add a rule, as in `schedule({plugin.name}): cronjob('{plugin.name}', '*/10 * * * *')`"
                message = f"no rule schedules the plugin {plugin.name}"
                self._find("warning", "plugin.unscheduled", message, ("plugins", index, "name"), hint)

    def _check_criteria(self) -> None:
        for index, text in enumerate(self.job.success_criteria):
            path: Path = ("successCriteria", index)
            if self._is_reported(*path):
                continue
            criterion = parse_criterion(text)
            reason, hint, offset = "", "", 0
            if isinstance(criterion, NotEnforced):
                reason, hint = criterion.reason, criterion.hint
            elif isinstance(criterion, Runs) and criterion.plugin not in self._names:
                reason, hint = f"the job has no plugin {criterion.plugin}", did_you_mean(criterion.plugin, self._names)
            elif isinstance(criterion, UntilTrue):
                try:
                    compile_condition(criterion.condition)
                except RuleError as error:
                    reason, hint = error.message, error.hint
                    offset = criterion.offset + offset_in(criterion.condition, error.line, error.column)
            if reason:
                place = self.parsed.place(*path, offset=offset)
                self._add(
                    "warning", "criterion.ignored", f"this success criterion is not enforced: {reason}", hint, place
                )

    def _check_notification(self) -> None:
        for index, state in enumerate(self.job.notification_on):
            if state not in JOB_STATES and not self._is_reported("notificationOn", index):
                hint = did_you_mean(state, JOB_STATES) or f"states are {', '.join(JOB_STATES)}"
                self._find(
                    "error", "job.notification", f"{state!r} is no state of a job", ("notificationOn", index), hint
                )
        if self.job.notification_on and not self.job.email:
            message = "notificationOn needs an email address"
            self._find("error", "job.email.missing", message, ("notificationOn",), "write `email: ADDRESS`")
        elif self.job.email and not _EMAIL.fullmatch(self.job.email):
            self._find("error", "job.email", f"{self.job.email!r} is no email address", ("email",), "write NAME@HOST")

    def _is_reported(self, *path: str | int) -> bool:
        """Say whether the reading has already found a fault exactly there, or the key that was meant for it."""
        if path in self.parsed.misspelt:
            return True
        return path in self.parsed.places and self.parsed.place(*path) in self._wrong_fields

    def _find(self, severity: Severity, code: str, message: str, path: Path, hint: str = "") -> None:
        self._add(severity, code, message, hint, self.parsed.place(*path))

    def _add(self, severity: Severity, code: str, message: str, hint: str, place: tuple[int, int]) -> None:
        self.findings.append(Finding(severity, code, message, hint, *place))


def offset_in(text: str, line: int, column: int) -> int:
    """Return the index in `text` of a place in it, line and column from 1; 0 when the place is unknown."""
    if line < 1 or column < 1:
        return 0
    lines = text.split("\n")
    return min(sum(len(before) + 1 for before in lines[: line - 1]) + column - 1, len(text))
