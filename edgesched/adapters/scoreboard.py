"""The scoreboard of a node that has no Redis: values are kept in memory, for `status` to show."""

from __future__ import annotations


class MemoryScoreboard:
    """A `Scoreboard` in memory. `values` may be read from any thread."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        """Write a value; never fails."""
        self.values[key] = value
