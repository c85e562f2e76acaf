"""The parameters of rules: which there are, and which values they take.

The reference ignores all of `schedule` and takes any value elsewhere, so an unknown parameter is odd and not wrong; a
known one with a value that cannot be meant is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from edgesched.core.findings import Finding
from edgesched.core.model import ScienceRule
from edgesched.core.suggest import did_you_mean
from edgesched.errors import RuleTypeError

from . import durations

SCOPES: Final = ("all", "node", "beehive")
MISFIRES: Final = ("skip", "latest")

Fault = tuple[str, str]
"""Message and hint."""


def parse_duration_ns(value: object) -> int:
    """ns of a parameter such as `10m`. Raises RuleTypeError."""
    found = durations.duration_ns(value.strip()) if isinstance(value, str) else None
    if found is None:
        message, hint = durations.duration_fault(str(value))
        raise RuleTypeError(message, hint=hint)
    return found


def _length(*, zero: bool) -> Callable[[object], Fault | None]:
    def fault(value: object) -> Fault | None:
        try:
            ns = parse_duration_ns(value)
        except RuleTypeError as error:
            return error.message, error.hint
        if ns == 0 and not zero:
            return f"{value} is no time at all", "write a length such as 30s"
        return (f"{value} is longer than a year", "") if ns > durations.LONGEST_NS else None

    return fault


def _one_of(known: tuple[str, ...]) -> Callable[[object], Fault | None]:
    def fault(value: object) -> Fault | None:
        if value in known:
            return None
        return f"{value} is none of {', '.join(known)}", did_you_mean(str(value), known)

    return fault


def _whole(low: int, high: int) -> Callable[[object], Fault | None]:
    def fault(value: object) -> Fault | None:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return None
        return f"{value} is no whole number from {low} to {high}", ""

    return fault


def _anything(_value: object) -> Fault | None:
    return None


PARAMETERS: Final[Mapping[str, Mapping[str, Callable[[object], Fault | None]]]] = {
    "schedule": {
        "duration": _length(zero=False),
        "cooldown": _length(zero=True),
        "hold": _length(zero=True),
        "misfire": _one_of(MISFIRES),
        "grace": _length(zero=False),
        "retries": _whole(0, 100),
        "priority": _whole(-1000, 1000),
    },
    "publish": {"value": _anything, "to": _anything, "every": _length(zero=False)},
    "set": {"value": _anything},
}
"""By action and parameter: what is wrong with a value."""


def check_parameters(rule: ScienceRule) -> Iterator[Finding]:
    """What is wrong or odd about the parameters of a rule; places are those in its text."""
    known = PARAMETERS[rule.action]
    for name, value in rule.parameters.items():
        column = _column(rule, name)
        if name not in known:
            message = f"{rule.action}() does not know the parameter {name or '(empty)'} and ignores it"
            hint = did_you_mean(name, known) or f"parameters are {', '.join(known)}"
            yield Finding("warning", "rule.parameter", message, hint, 1, column)
            continue
        fault = known[name](value)
        if fault is not None:
            yield Finding("error", "rule.parameter", f"{name}: {fault[0]}", fault[1], 1, column)
    scope = rule.parameters.get("to", "all")
    if rule.action == "publish" and scope not in SCOPES:
        message = f"to={scope}: nobody receives what is published there"
        hint = "beehive is the cloud" if scope == "cloud" else f"scopes are {', '.join(SCOPES)}"
        yield Finding("warning", "rule.parameter", message, hint, 1, _column(rule, "to"))


def _column(rule: ScienceRule, name: str) -> int:
    head = rule.text[: rule.condition_column - 1]
    match: Any = re.compile(rf",\s*({re.escape(name)})\s*=").search(head)
    return match.start(1) + 1 if match else 1
