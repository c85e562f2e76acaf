"""Everything that is wrong or odd about one rule, for people: `edgesched check` and the cloud's validation."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from edgesched.core.findings import Finding
from edgesched.core.model import ScienceRule
from edgesched.core.suggest import did_you_mean
from edgesched.errors import RuleError

from . import ast, cron, parser
from .check import check
from .checked import Checked
from .literal_args import NAME
from .parameters import check_parameters
from .rule import parse_rule

_TEMPLATE = re.compile(r"[${}<>]|\.\.\.")
_WHAT: Final = {"schedule": "plugin", "publish": "measurement", "set": "key"}


def check_rule(text: str, plugins: Collection[str] | None = None) -> list[Finding]:
    """Check a rule.

    `plugins`: names of the plugins of its job; None: not known, then names are not compared. Lines and columns are
    those of `text`. Errors come before warnings, each in the order of the text.
    """
    try:
        rule = parse_rule(text)
    except RuleError as error:
        return [_finding("rule.syntax", error)]
    found = [*_object(rule, plugins), *check_parameters(rule), *_condition(rule, plugins)]
    return sorted(found, key=lambda finding: (finding.severity, finding.line, finding.column))


def _finding(code: str, error: RuleError) -> Finding:
    return Finding("error", code, error.message, error.hint, error.line, error.column)


def _object(rule: ScienceRule, plugins: Collection[str] | None) -> Iterator[Finding]:
    column = rule.text.find("(") + 2
    name = rule.object
    if not name:
        message = f"the rule names no {_WHAT[rule.action]}"
        yield Finding("error", "rule.object", message, f"write {rule.action}(name): condition", 1, column)
    elif _TEMPLATE.search(name):
        message = f"{name[:60]}: a template was not filled in"
        yield Finding("error", "rule.object", message, f"write the name of the {_WHAT[rule.action]}", 1, column)
    elif rule.action == "schedule" and plugins is not None and name not in plugins:
        hint = did_you_mean(name, plugins) or (f"plugins are {', '.join(sorted(plugins)[:10])}" if plugins else "")
        yield Finding("error", "rule.plugin", f"the job has no plugin {name[:60]}", hint, 1, column)
    elif rule.action == "publish" and name.startswith("sys."):
        message = f"{name[:60]}: names that begin with sys. are the system's own"
        yield Finding("error", "rule.measurement", message, "choose another name", 1, column)
    elif rule.action == "publish" and not NAME.fullmatch(name):
        message = f"{name[:60]} is no name of a measurement"
        yield Finding(
            "warning", "rule.measurement", message, "letters, digits, _ . - and at most 128 of them", 1, column
        )


def _condition(rule: ScienceRule, plugins: Collection[str] | None) -> Iterator[Finding]:
    try:
        checked = check(parser.parse(rule.condition))
    except RuleError as error:
        yield _moved(_finding("rule.syntax", error), rule)
        return
    for problem in checked.problems:
        yield _moved(problem.finding, rule)
    for finding in (*_names(checked, plugins), *_crons(checked)):
        yield _moved(finding, rule)


def _moved(finding: Finding, rule: ScienceRule) -> Finding:
    """The finding with its place in the rule instead of in the condition."""
    if finding.line > 1:
        return replace(finding, line=rule.condition_line + finding.line - 1)
    return replace(finding, line=rule.condition_line, column=finding.column + rule.condition_column - 1)


def _names(checked: Checked, plugins: Collection[str] | None) -> Iterator[Finding]:
    for name, node in checked.places:
        if plugins is None or name in plugins:
            continue
        called = node.function.id if isinstance(node, ast.Call) and isinstance(node.function, ast.Name) else "the call"
        message = f"{called}() names {name[:60]}, which is no plugin of the job: its runs never count"
        yield Finding("warning", "rule.plugin", message, did_you_mean(name, plugins), node.line, node.column)


def _crons(checked: Checked) -> Iterator[Finding]:
    for need in checked.needs.crons:
        if cron.fires_every_second(need.expr):
            message = f"{need.expr} fires every second or nearly so"
            hint = "the sixth field is seconds; five fields are minute hour day month weekday"
            yield Finding("warning", "rule.cron", message, hint, 1, 1)
