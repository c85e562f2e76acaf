"""Arguments that must be written out, from node to value: names, lengths of time, units, zones, cron expressions.

They decide what is stored and when a rule wakes, so they must be known before anything is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from edgesched.core.suggest import did_you_mean

from . import ast, cron, durations, zones
from .functions import UNITS

T = TypeVar("T")
Reader = Callable[[ast.Node], T]
"""From the node of an argument to its value; raises ArgumentError."""

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""Names of measurements."""


class ArgumentError(ValueError):
    """An argument that cannot be taken. `code`: code of the finding."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def constant(node: ast.Node, parameter: str) -> bool | int | float | str | None:
    """The value of a literal, also with a sign in front."""
    if isinstance(node, ast.Literal):
        return node.value
    if isinstance(node, ast.Unary) and node.op in ("-", "+") and isinstance(node.operand, ast.Literal):
        value = node.operand.value
        if isinstance(value, int | float):
            return -value if node.op == "-" else +value
    raise ArgumentError(
        "rule.literal", f"{parameter} must be written out", "it decides what is stored and when to look"
    )


def text(node: ast.Node, parameter: str) -> str:
    """A text literal."""
    value = constant(node, parameter)
    if not isinstance(value, str):
        raise ArgumentError("rule.type", f"{parameter} must be a text", f"put quotes around it: {parameter}='...'")
    return value


def measurement(node: ast.Node, parameter: str) -> str:
    """The name of a measurement."""
    name = text(node, parameter)
    if not NAME.fullmatch(name):
        message = f"{name[:60]!r} is no name of a measurement"
        raise ArgumentError("rule.measurement", message, "letters, digits, _ . - and at most 128 of them")
    return name


def since(node: ast.Node, parameter: str) -> int:
    """ns of a text such as `-5m`."""
    value = constant(node, parameter)
    if not isinstance(value, str):
        hint = f"write '-{abs(value):g}s'" if isinstance(value, int | float) else "write a text such as '-5m'"
        raise ArgumentError("rule.duration", "since must be a text", hint)
    stripped = value.strip()
    ns = durations.duration_ns(stripped[1:]) if stripped.startswith("-") else None
    if ns is None:
        if durations.duration_ns(stripped):
            raise ArgumentError("rule.duration", f"since={value!r} lies in the future", f"write '-{stripped}'")
        if re.match(r"\d{4}-", stripped):
            raise ArgumentError("rule.duration", "since takes a length of time, not a date", "write '-5m'")
        message, hint = durations.duration_fault(value)
        raise ArgumentError("rule.duration", f"since: {message}", f"{hint}, with a minus in front: '-5m'")
    if not 0 < ns <= durations.LONGEST_NS:
        raise ArgumentError("rule.duration", f"since={value!r} is out of range", "from '-1ns' to '-366d'")
    return ns


def length(node: ast.Node, parameter: str) -> int:
    """ns of a text such as `5m`, more than 0."""
    value = text(node, parameter)
    ns = durations.duration_ns(value)
    if ns is None:
        message, hint = durations.duration_fault(value)
        raise ArgumentError("rule.duration", f"{parameter}: {message}", hint)
    if not 0 < ns <= durations.LONGEST_NS:
        raise ArgumentError("rule.duration", f"{parameter}={value!r} is out of range", "from '1ns' to '366d'")
    return ns


def flag(node: ast.Node, parameter: str) -> bool:
    """The truth of any literal, as in the reference."""
    return bool(constant(node, parameter))


def unit(node: ast.Node, parameter: str) -> str:
    """A part of date or time."""
    value = constant(node, parameter)
    if value not in UNITS:
        hint = did_you_mean(str(value), UNITS) or f"units are {', '.join(UNITS)}"
        raise ArgumentError("rule.unit", f"time() knows no unit {str(value)[:40]!r}", hint)
    return str(value)


def timezone(node: ast.Node, parameter: str) -> str:
    """The name of a time zone; empty for UTC."""
    name = text(node, parameter)
    if not name:
        raise ArgumentError("rule.zone", "tz is empty", "leave it out for UTC")
    try:
        zones.zone(name)
    except zones.ZoneError as error:
        raise ArgumentError("rule.zone", error.message, error.hint) from None
    return "" if name == "UTC" else name


def cron_expression(node: ast.Node, parameter: str, tz: str) -> str:
    """A cron expression with single blanks, or `@reboot`."""
    expr = text(node, parameter)
    if expr.strip().lower() == cron.REBOOT:
        return cron.REBOOT
    try:
        cron.trigger(cron.normal(expr), tz)
    except cron.CronError as error:
        raise ArgumentError("rule.cron", error.message, error.hint) from None
    return cron.normal(expr)


def meta_value(node: ast.Node, key: str) -> str:
    """The text that a meta key must have."""
    value = constant(node, key)
    if not isinstance(value, str):
        hint = f"write {key}='{value}'"
        raise ArgumentError("rule.type", f"meta values are texts; {key}={value} never matches", hint)
    return value
