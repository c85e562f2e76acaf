"""A condition: compiled once, bound to facts once, evaluated often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from edgesched.core.model import MINUTE_NS
from edgesched.core.shown import shown
from edgesched.core.windows import NotNumericError, Window, WindowSpec
from edgesched.errors import RuleTypeError

from . import ast, cron, parser, printer
from .arithmetic import class_shown
from .binder import Binder
from .budget import RuleFault
from .calls import Needs
from .check import check
from .checked import Checked
from .durations import duration_text
from .facts import Facts
from .part import NEVER
from .series import Series
from .verdict import FALSE, TRUE, Unknown, Verdict

GRACE_NS: Final = MINUTE_NS
"""How long a cron slot stays open."""

_FAILURES: Final = (RuleFault, ArithmeticError, TypeError, LookupError, ValueError)


@dataclass(frozen=True, slots=True)
class ClauseValue:
    """One clause of a condition for people: its text, its verdict, and what it was made of.

    `detail`: the operands of a comparison with their values, and how much of a window has been observed; may be empty.
    """

    text: str
    verdict: Verdict
    detail: str = ""

    def __str__(self) -> str:
        verdict = f"{self.verdict.word}: {self.verdict.reason}" if self.verdict.reason else self.verdict.word
        return f"{self.text} is {verdict}" + (f" ({self.detail})" if self.detail else "")


class Bound:
    """A condition bound to facts. It holds on to windows until `release`."""

    def __init__(self, condition: Condition, facts: Facts, now_ns: int) -> None:
        self._condition = condition
        self._facts = facts
        self._binder = Binder(condition.checked, facts, now_ns, condition.grace_ns)
        self._part = self._binder.root()
        self._run = self._part.run
        self._budget = self._binder.budget
        self._slots = [
            (need.key, None if need.expr == cron.REBOOT else cron.trigger(need.expr, need.tz))
            for need in condition.needs.crons
        ]

    def evaluate(self, now_ns: int) -> Verdict:
        """The verdict at a time. It never raises."""
        self._budget.steps = 0
        try:
            value = self._run(now_ns)
        except Unknown as unknown:
            return Verdict(None, unknown.why)
        except _FAILURES as failure:
            return _failed(failure)
        if value is True:
            return TRUE
        if value is False:
            return FALSE
        return Verdict(None, lambda: f"the rule produced {_produced(value)}, not true or false", error=True)

    def next_change(self, now_ns: int) -> int | None:
        """The first time after `now_ns` at which the verdict can be another although nothing arrives; None: never.

        It is never later than the truth; it may be earlier.
        """
        if self._part.change is None:
            return None
        self._budget.steps = 0
        try:
            at = self._part.change(now_ns)
        except (Unknown, *_FAILURES):
            return now_ns + 1_000_000_000
        return at if at < NEVER else None

    def open_slots(self, now_ns: int) -> list[tuple[str, int]]:
        """The open, unclaimed slots of all its `cronjob()` calls: (`EXPR` or `EXPR tz=ZONE`, fire time in ns)."""
        found = []
        for key, trigger in self._slots:
            fire = self._latest(trigger, now_ns)
            if fire is not None and not self._facts.slot_claimed(key, fire):
                found.append((key, fire))
        return found if len(found) < 2 else list(dict.fromkeys(found))

    def cron_slot(self, now_ns: int) -> tuple[str, int | None, int | None]:
        """Of its first `cronjob()`: `EXPR` or `EXPR tz=ZONE`, the latest fire time and the one after it."""
        key, trigger = self._slots[0]
        return (key, None, None) if trigger is None else (key, *trigger.slot(now_ns))

    def latest_slots(self, at_ns: int) -> list[tuple[str, int]]:
        """The latest slot at a time of each of its `cronjob()` calls, open or not, claimed or not."""
        found: dict[tuple[str, int], None] = {}
        for key, trigger in self._slots:
            fire = self._latest(None, at_ns) if trigger is None else trigger.latest(at_ns)
            if fire is not None:
                found[key, fire] = None
        return list(found)

    def explain(self, now_ns: int) -> str:
        """All clauses on one line."""
        return "; ".join(map(str, self.clauses(now_ns)))

    def _latest(self, trigger: cron.Trigger | None, now_ns: int) -> int | None:
        """The fire time of the open slot, None when none is open. No trigger: `@reboot`."""
        if trigger is None:
            boot_slot = getattr(self._facts, "boot_slot", None)
            booted: int | None = boot_slot() if boot_slot is not None else None
            return booted
        fire, following = trigger.slot(now_ns)
        if fire is None or now_ns >= fire + self._condition.grace_ns or (following is not None and now_ns >= following):
            return None
        return fire

    def clauses(self, now_ns: int) -> list[ClauseValue]:
        """The operands of the outermost `and` or `or` (or the condition itself), each with its verdict."""
        tree = self._condition.checked.tree
        nodes = tree.operands if isinstance(tree, ast.Logic) else (tree,)
        return [self._clause(node, now_ns) for node in nodes]

    def _clause(self, node: ast.Node, now_ns: int) -> ClauseValue:
        part = self._binder.bind(node)
        self._budget.steps = 0
        verdict = _judged(part.run, now_ns)
        # a clause that is no comparison of single values is made of its windows' values
        details = [self._operands(node, now_ns)] if isinstance(node, ast.Compare) else []
        if not isinstance(node, ast.Compare):
            details += [_window_text(window, now_ns) for window in part.windows]
        for window in part.windows:
            if not window.covered(now_ns):
                seen, whole = duration_text(_rounded(window.observed_ns(now_ns))), duration_text(window.spec.since_ns)
                details.append(f"{window.spec.name} covers {seen} of {whole}")
        return ClauseValue(printer.to_text(node), verdict, "; ".join(detail for detail in details if detail))

    def _operands(self, node: ast.Compare, now_ns: int) -> str:
        texts = []
        for part in self._binder.operands.get(id(node), ()):
            try:
                texts.append(_value_text(part.run(now_ns)))
            except Unknown:
                texts.append("unknown")
            except _FAILURES:
                return ""
        return " ".join([texts[0], *(f"{op} {text}" for (op, _), text in zip(node.rest, texts[1:], strict=False))])

    def release(self) -> None:
        """Let go of the windows. The binding must not be used afterwards."""
        for spec in self._binder.windows:
            self._facts.windows.release(spec)


class Condition:
    """A condition that has passed the check. `text` as written; `needs`: what it depends on."""

    def __init__(self, text: str, checked: Checked, grace_ns: int) -> None:
        self.text = text
        self.checked = checked
        self.needs: Needs = checked.needs
        self.grace_ns = grace_ns
        self._bound: tuple[Facts, Bound] | None = None

    @property
    def is_cron(self) -> bool:
        """Whether it is a `cronjob()` and nothing else, and not `@reboot`."""
        crons = self.needs.crons
        return len(crons) == 1 and crons[0].expr != cron.REBOOT and isinstance(self.checked.tree, ast.Call)

    @property
    def joined_by(self) -> str:
        """`and` or `or`, whichever stands between its clauses; empty when there is one clause."""
        tree = self.checked.tree
        return tree.op if isinstance(tree, ast.Logic) else ""

    def bind(self, facts: Facts, now_ns: int) -> Bound:
        """Bind to facts. Its windows are required as of `now_ns` and fill from then on."""
        return Bound(self, facts, now_ns)

    def evaluate(self, facts: Facts, now_ns: int) -> Verdict:
        """The verdict at a time; the binding to the facts of the last call is kept."""
        if self._bound is None or self._bound[0] is not facts:
            if self._bound is not None:
                self._bound[1].release()
            self._bound = facts, self.bind(facts, now_ns)
        return self._bound[1].evaluate(now_ns)

    def windows(self) -> tuple[WindowSpec, ...]:
        """The windows that it reads."""
        return self.needs.windows


def compile_condition(text: str, *, grace_ns: int = GRACE_NS) -> Condition:
    """Compile a condition.

    `grace_ns`: how long its cron slots stay open. Raises RuleSyntaxError, or RuleTypeError for the first name,
    argument, literal or value that cannot be; both with the place in `text` and mostly a hint.
    """
    checked = check(parser.parse(text))
    for problem in checked.problems:
        if problem.fatal:
            found = problem.finding
            raise RuleTypeError(found.message, hint=found.hint, line=found.line, column=found.column)
    return Condition(text, checked, grace_ns)


def _judged(run: Any, now_ns: int) -> Verdict:
    try:
        value = run(now_ns)
    except Unknown as unknown:
        return Verdict(None, unknown.why)
    except _FAILURES as failure:
        return _failed(failure)
    if value.__class__ is bool:
        return TRUE if value else FALSE
    return Verdict(None, lambda: f"it is {_produced(value)}", error=True)


def _failed(failure: Exception) -> Verdict:
    if isinstance(failure, ZeroDivisionError):
        message = "division by zero"
    elif isinstance(failure, OverflowError):
        message = "a number too large to be computed"
    else:
        message = shown(str(failure)) or failure.__class__.__name__
    return Verdict(None, lambda: message, error=True)


def _produced(value: Any) -> str:
    if isinstance(value, Series):
        n = len(value.values)
        return f"a series of {n} value{'' if n == 1 else 's'}; say any(), all() or last()"
    if isinstance(value, int | float | str) or value is None:
        return f"{class_shown(value)}: {_value_text(value)}" if value is not None else "None"
    return class_shown(value)


def _value_text(value: Any) -> str:
    if isinstance(value, Series):
        return f"[{len(value.values)} value{'' if len(value.values) == 1 else 's'}]"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return "a very large integer"
    return (
        shown(repr(value) if isinstance(value, str) else str(value), 60)
        if not isinstance(value, list | tuple)
        else (f"{class_shown(value)} of {len(value)}")
    )


def _window_text(window: Window, now_ns: int) -> str:
    """Say what a window holds: `env.temperature is 31.5`, `env.rain: 6 values from 0 to 36, the last 12`."""
    name = f"rate of {window.spec.name}" if window.spec.kind == "rate" else window.spec.name
    try:
        values = window.values(now_ns)
    except NotNumericError as error:
        return str(error)
    if not values:
        return f"{name} has no values"
    last = _value_text(values[-1])
    if len(values) == 1:
        return f"{name} is {last}"
    numbers = [value for value in values if isinstance(value, int | float)]
    range_text = f" from {_value_text(min(numbers))} to {_value_text(max(numbers))}" if numbers else ""
    return f"{name}: {len(values)} values{range_text}, the last {last}"


def _rounded(ns: int) -> int:
    return ns - ns % 1_000_000_000 if ns >= 1_000_000_000 else ns
