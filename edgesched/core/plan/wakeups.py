"""Who must be woken: an index from measurement name to rules, and deadlines on two clocks.

A deadline is named by a key; a key has at most one deadline a clock. Wall-clock deadlines are times (slots open,
windows empty); boot-clock deadlines are pauses (`hold`, `cooldown`, back-off), which steps of the wall clock must not
stretch.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from edgesched.core.model import Instant

Key = tuple[str | int, ...]
"""A kind, then what it is about; keys of one kind have the same types, so they can be ordered."""


@dataclass(slots=True)
class Deadlines:
    """Deadlines with replacement: a heap of times, and at each time its keys.

    Equal deadlines come out in the order of their keys, whoever was first. A full minute has thousands of them, so they
    share one place in the heap. A key that was moved or cleared stays where it was until its time comes.
    """

    heap: list[int] = field(default_factory=list)
    at: dict[int, list[Key]] = field(default_factory=dict)
    current: dict[Key, int] = field(default_factory=dict)
    held: int = 0

    def set(self, key: Key, when_ns: int) -> None:
        """Set or move the deadline of a key."""
        if self.current.get(key) == when_ns:
            return
        self.current[key] = when_ns
        self._put(key, when_ns)
        if self.held > 64 + 4 * len(self.current):
            self.heap, self.at, self.held = [], {}, 0
            for each, each_ns in self.current.items():
                self._put(each, each_ns)

    def clear(self, key: Key) -> None:
        """Forget the deadline of a key, if it has one."""
        self.current.pop(key, None)

    def due(self, now_ns: int) -> list[Key]:
        """Take the keys whose deadline has come, earliest first."""
        current = self.current
        keys: list[Key] = []
        while self.heap and self.heap[0] <= now_ns:
            when_ns = heapq.heappop(self.heap)
            there = self.at.pop(when_ns)
            self.held -= len(there)
            there.sort()
            for key in there:
                if current.get(key) == when_ns:
                    del current[key]
                    keys.append(key)
        return keys

    def earliest(self) -> int | None:
        """Return the earliest deadline, None without one."""
        current = self.current
        while self.heap:
            when_ns = self.heap[0]
            if any(current.get(key) == when_ns for key in self.at[when_ns]):
                return when_ns
            heapq.heappop(self.heap)
            self.held -= len(self.at.pop(when_ns))
        return None

    def _put(self, key: Key, when_ns: int) -> None:
        there = self.at.get(when_ns)
        if there is None:
            self.at[when_ns] = [key]
            heapq.heappush(self.heap, when_ns)
        else:
            there.append(key)
        self.held += 1


@dataclass(slots=True)
class Wakeups:
    """The two heaps, the index and the rules whose deadline must be computed anew."""

    wall: Deadlines = field(default_factory=Deadlines)
    boot: Deadlines = field(default_factory=Deadlines)
    by_name: dict[str, dict[int, None]] = field(default_factory=dict)
    unarmed: dict[int, None] = field(default_factory=dict)

    def index(self, rule_id: int, names: Iterable[str]) -> None:
        """Wake this rule whenever one of these measurements arrives."""
        for name in names:
            self.by_name.setdefault(name, {})[rule_id] = None

    def forget(self, rule_id: int, names: Iterable[str]) -> None:
        """Undo `index` and drop the deadlines of a rule."""
        for name in names:
            rules = self.by_name.get(name)
            if rules is not None:
                rules.pop(rule_id, None)
                if not rules:
                    del self.by_name[name]
        for key in (("rule", rule_id), ("hold", rule_id), ("every", rule_id)):
            self.wall.clear(key)
            self.boot.clear(key)
        self.unarmed.pop(rule_id, None)

    def due(self, now: Instant) -> list[Key]:
        """Take the keys whose deadline has come on either clock."""
        return [*self.wall.due(now.ts_ns), *self.boot.due(now.boot_ns)]

    def earliest(self, now: Instant) -> int | None:
        """Return the earliest deadline as wall time, reckoned from `now`."""
        wall_ns = self.wall.earliest()
        boot_ns = self.boot.earliest()
        if boot_ns is None:
            return wall_ns
        translated_ns = now.ts_ns + boot_ns - now.boot_ns
        return translated_ns if wall_ns is None else min(wall_ns, translated_ns)
