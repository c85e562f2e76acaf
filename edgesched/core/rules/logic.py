"""`and`, `or`, `not` and `if` over true, false and unknown (Kleene's three-valued logic)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .comparison import truth
from .part import NEVER, Change, Part, Run
from .verdict import Unknown

Why = Callable[[], str]


def logic(op: str, parts: tuple[Part, ...]) -> Part:
    """A chain of `and` or of `or`. The value is that of the operand that decides, as in Python."""
    decisive = op == "or"
    runs = tuple(part.run for part in parts)
    run = _two(runs[0], runs[1], decisive=decisive) if len(runs) == 2 else _chain(runs, decisive=decisive)
    timed = any(part.change is not None for part in parts)
    windows = tuple(dict.fromkeys(window for part in parts for window in part.windows))
    return Part(
        run,
        _change(parts, decisive=decisive) if timed else None,
        any(part.fails for part in parts),
        windows,
        all(part.pure for part in parts),
        any(part.heavy for part in parts),
        any(part.sums for part in parts),
    )


def _chain(runs: tuple[Run, ...], *, decisive: bool) -> Run:
    def run(now: int) -> Any:
        unknown: Why | None = None
        value: Any = None
        for operand in runs:
            try:
                value = operand(now)
                if (value if value.__class__ is bool else truth(value)) is decisive:
                    return value
            except Unknown as missing:
                unknown = unknown or missing.why
        if unknown is not None:
            raise Unknown(unknown)
        return value

    return run


def _two(first: Run, second: Run, *, decisive: bool) -> Run:
    def run(now: int) -> Any:
        try:
            value = first(now)
            if (value if value.__class__ is bool else truth(value)) is decisive:
                return value
        except Unknown as missing:
            why = missing.why
        else:
            return second(now)
        value = second(now)
        if truth(value) is decisive:
            return value
        raise Unknown(why)

    return run


def _change(parts: tuple[Part, ...], *, decisive: bool) -> Change:
    """As long as an operand decides, the others do not count, unless one before it may fail."""

    def change(now: int) -> int:
        soonest = fallible = NEVER
        for part in parts:
            at = NEVER if part.change is None else part.change(now)
            soonest = min(soonest, at)
            try:
                decided = truth(part.run(now)) is decisive
            except Unknown:
                decided = False
            except Exception:  # noqa: BLE001  # guard: an operand that fails decides, whatever it raises
                return soonest
            if decided:
                return min(at, fallible)
            if part.fails:
                fallible = min(fallible, at)
        return soonest

    return change


def negated(part: Part) -> Part:
    """`not`."""
    run = part.run

    def negate(now: int) -> bool:
        value = run(now)
        return not (value if value.__class__ is bool else truth(value))

    return Part(negate, part.change, part.fails, part.windows, part.pure, part.heavy, part.sums)


def chosen(test: Part, then: Part, other: Part) -> Part:
    """`then if test else other`."""
    run_test, run_then, run_other = test.run, then.run, other.run

    def choose(now: int) -> Any:
        return run_then(now) if truth(run_test(now)) else run_other(now)

    def change(now: int) -> int:
        at = NEVER if test.change is None else test.change(now)
        try:
            branch = then if truth(run_test(now)) else other
        except Exception:  # noqa: BLE001  # guard: an unknown or failing test stays so until it changes
            return at
        return min(at, NEVER if branch.change is None else branch.change(now))

    parts = (test, then, other)
    timed = any(part.change is not None for part in parts)
    windows = tuple(dict.fromkeys(window for part in parts for window in part.windows))
    return Part(
        choose,
        change if timed else None,
        any(part.fails for part in parts),
        windows,
        all(part.pure for part in parts),
        any(part.heavy for part in parts),
        any(part.sums for part in parts),
    )
