"""One bound piece of a condition: how to evaluate it and when it can change by the passing of time alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from edgesched.core.windows import Window

NEVER: Final = 1 << 62
"""A time that does not come."""

Run = Callable[[int], Any]
"""now_ns -> value. Raises Unknown, RuleFault, or what Python raises for such an operation."""

Change = Callable[[int], int]
"""now_ns -> the first time after it at which the value may differ although nothing arrives."""


@dataclass(frozen=True, slots=True)
class Part:
    """`change` None: never. `fails`: may turn into an error as time passes. `windows`: those that it reads.

    `pure`: depends on its windows and nothing else. `heavy`: goes through whole windows. `sums`: holds a sum of floats
    whose last digits depend on the order of addition. `fixed`: the same at any time, and known when it is bound.
    """

    run: Run
    change: Change | None = None
    fails: bool = False
    windows: tuple[Window, ...] = ()
    pure: bool = False
    heavy: bool = False
    sums: bool = False
    fixed: bool = False


def constant(value: Any) -> Part:
    """A part that is always the same."""
    return Part(lambda _now: value, pure=True, fixed=True)


def combined(run: Run, parts: Iterable[Part], *, fails: bool = True) -> Part:
    """A part that is computed from others and changes when one of them does."""
    found = tuple(parts)
    return Part(
        run,
        earliest(part.change for part in found),
        fails or any(part.fails for part in found),
        tuple(dict.fromkeys(window for part in found for window in part.windows)),
        all(part.pure for part in found),
        any(part.heavy for part in found),
        any(part.sums for part in found),
    )


def earliest(changes: Iterable[Change | None]) -> Change | None:
    """The earliest of several changes."""
    found = tuple(change for change in changes if change is not None)
    if len(found) < 2:
        return found[0] if found else None
    return lambda now: min(change(now) for change in found)


def kept(part: Part) -> Part:
    """The part, computed again only when its windows have other contents."""
    if not (part.heavy and part.pure and part.windows):
        return part
    run, windows = part.run, part.windows
    epochs: tuple[int, ...] = ()
    value: Any = None

    def read(now: int) -> Any:
        nonlocal epochs, value
        for window in windows:
            window.settle(now)
        current = tuple([window.epoch for window in windows])
        if current != epochs:
            value = run(now)
            epochs = current
        return value

    return Part(read, part.change, part.fails, windows, part.pure, heavy=False, sums=part.sums)
