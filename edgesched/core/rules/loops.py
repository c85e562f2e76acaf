"""Comprehensions and generator expressions, and `any` and `all` over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .arithmetic import class_shown
from .budget import MAX_STEPS, Budget
from .comparison import truth
from .part import Run
from .verdict import Unknown

Why = Callable[[], str]


class Missing:
    """An item that is unknown, inside a list that is gone through: only its use makes the result unknown."""

    __slots__ = ("why",)

    def __init__(self, why: Why) -> None:
        self.why = why


def variable(slots: list[Any], place: int) -> Run:
    """Reads the variable of a comprehension."""

    def read(_now: int) -> Any:
        value = slots[place]
        if value.__class__ is Missing:
            raise Unknown(value.why)
        return value

    return read


@dataclass(frozen=True, slots=True)
class Target:
    """Where items go: a slot, or several targets that unpack an item."""

    slot: int
    parts: tuple[Target, ...] = ()

    def bind(self, value: Any, slots: list[Any], budget: Budget) -> None:
        """Store an item. Raises Unknown, TypeError or ValueError when it cannot be unpacked."""
        if not self.parts:
            slots[self.slot] = value
            return
        if value.__class__ is Missing:
            raise Unknown(value.why)
        if value is None or isinstance(value, bool | int | float):
            raise TypeError(f"{class_shown(value)} cannot be unpacked")
        items = list(budget.items(value))
        if len(items) != len(self.parts):
            raise ValueError(f"{len(items)} values for {len(self.parts)} names")
        for part, item in zip(self.parts, items, strict=True):
            part.bind(item, slots, budget)


@dataclass(frozen=True, slots=True)
class Round:
    """One `for` of a comprehension. `items`: now_ns -> what it goes through."""

    target: Target
    items: Callable[[int], Iterable[Any]]
    conditions: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """A comprehension. `cost`: steps of one round."""

    rounds: tuple[Round, ...]
    element: Run
    slots: list[Any]
    budget: Budget
    cost: int

    def listed(self, now: int) -> list[Any]:
        """The list. Raises Unknown when a condition or an element is unknown."""
        found = []
        element = self.element
        for why in self._matches(0, now, self.rounds[0].items(now)):
            if why is not None:
                raise Unknown(why)
            found.append(element(now))
        return found

    def generated(self, now: int) -> Iterator[Any]:
        """The items, lazily; the first iterable is evaluated at once, as in Python."""
        return self._elements(now, self.rounds[0].items(now))

    def _elements(self, now: int, first: Iterable[Any]) -> Iterator[Any]:
        for why in self._matches(0, now, first):
            if why is not None:
                raise Unknown(why)
            yield self.element(now)

    def decided(self, now: int, *, wanted: bool, lazy: bool) -> bool:
        """`any` (wanted True) or `all` (wanted False) by Kleene: unknown elements count only where no other decides.

        `lazy`: stop at the first element that decides, as over a generator expression.
        """
        unknown: Why | None = None
        decided = False
        for why in self._matches(0, now, self.rounds[0].items(now)):
            try:
                if why is not None:
                    raise Unknown(why)
                decided = decided or truth(self.element(now)) is wanted
            except Unknown as missing:
                unknown = unknown or missing.why
            if decided and lazy:
                return wanted
        if unknown is not None and not decided:
            raise Unknown(unknown)
        return wanted if decided else not wanted

    def _matches(self, level: int, now: int, items: Iterable[Any]) -> Iterator[Why | None]:
        """Bind one combination of items after the other; yields None, or why a condition is unknown."""
        this = self.rounds[level]
        last = level == len(self.rounds) - 1
        if last and not this.conditions and not this.target.parts:
            yield from self._plain(this.target.slot, items)
            return
        for item in items:
            self.budget.charge(self.cost)
            try:
                this.target.bind(item, self.slots, self.budget)
                if not all(truth(condition(now)) for condition in this.conditions):
                    continue
                inner = None if last else self.rounds[level + 1].items(now)
            except Unknown as missing:
                yield missing.why
                continue
            if inner is None:
                yield None
            else:
                yield from self._matches(level + 1, now, inner)

    def _plain(self, slot: int, items: Iterable[Any]) -> Iterator[None]:
        """The innermost `for` when it binds one name and has no conditions."""
        budget, slots, cost = self.budget, self.slots, self.cost
        for item in items:
            budget.steps += cost
            if budget.steps > MAX_STEPS:
                budget.charge(0)
            slots[slot] = item
            yield None
