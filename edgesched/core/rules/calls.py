"""Calls with their arguments sorted out: what the checker hands to the compiler.

A call of `v`, `rate`, `cronjob`, `after`, `time` or of the sun is fixed by its literals and becomes a need of the rule;
every other call keeps its argument nodes in the order of the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgesched.core.windows import WindowSpec

from . import ast
from .cron import slot_key
from .functions import Function


@dataclass(frozen=True, slots=True)
class CronNeed:
    """A `cronjob()`; `expr` with single blanks, `tz` empty for UTC."""

    plugin: str
    expr: str
    tz: str = ""

    @property
    def key(self) -> str:
        """What its slots are called: `EXPR` or `EXPR tz=ZONE`."""
        return slot_key(self.expr, self.tz)


@dataclass(frozen=True, slots=True)
class TimeNeed:
    """A `time()`; `tz` empty for UTC."""

    unit: str
    tz: str = ""


@dataclass(frozen=True, slots=True)
class AfterNeed:
    """An `after()`. `since`: the other plugin; `seconds`: the expression for a number; both None: has it ever run."""

    plugin: str
    since: str | None = None
    seconds: ast.Node | None = None


@dataclass(frozen=True, slots=True)
class SunNeed:
    """`daylight`, `sunrise` or `sunset`; `tz` empty for UTC."""

    function: str
    tz: str = ""


@dataclass(frozen=True, slots=True)
class PlainCall:
    """A call that depends on nothing but its arguments; `arguments` are in the order of the parameters, None where the
    default counts, `many` those of a variadic function.
    """

    function: Function
    arguments: tuple[ast.Node | None, ...] = ()
    many: tuple[ast.Node, ...] = ()


@dataclass(frozen=True, slots=True)
class MethodCall:
    """`series.sum()` and the like; `name` is `size` for that attribute."""

    value: ast.Node
    name: str


SortedCall = WindowSpec | CronNeed | TimeNeed | AfterNeed | SunNeed | PlainCall | MethodCall


@dataclass(slots=True)
class Needs:
    """What a condition depends on, each thing once, in the order of the text.

    `windows`: what must be measured. `crons`: its `cronjob()` calls. `afters`: plugins whose last run counts, also
    those named in `cronjob()`. `times`: parts of date and time. `sun`: whether the node's position counts.
    """

    windows: tuple[WindowSpec, ...] = ()
    crons: tuple[CronNeed, ...] = ()
    afters: tuple[str, ...] = ()
    times: tuple[TimeNeed, ...] = ()
    sun: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Names of measurements."""
        return frozenset(spec.name for spec in self.windows)


@dataclass(slots=True)
class NeedsBuilder:
    """Collects needs while a condition is checked."""

    windows: dict[WindowSpec, None] = field(default_factory=dict)
    crons: dict[CronNeed, None] = field(default_factory=dict)
    afters: dict[str, None] = field(default_factory=dict)
    times: dict[TimeNeed, None] = field(default_factory=dict)
    sun: bool = False

    def add(self, call: SortedCall) -> None:
        """Take note of a call."""
        match call:
            case WindowSpec():
                self.windows[call] = None
            case CronNeed():
                self.crons[call] = None
                self.afters[call.plugin] = None
            case AfterNeed():
                self.afters[call.plugin] = None
                if call.since is not None:
                    self.afters[call.since] = None
            case TimeNeed():
                self.times[call] = None
            case SunNeed():
                self.sun = True

    def done(self) -> Needs:
        """What has been collected."""
        return Needs(tuple(self.windows), tuple(self.crons), tuple(self.afters), tuple(self.times), self.sun)
