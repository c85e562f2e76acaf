"""What a condition may know. The planner, `eval` and `replay` each have facts of their own."""

from __future__ import annotations

from typing import Protocol

from edgesched.core.model import Site
from edgesched.core.windows import WindowStore


class Facts(Protocol):
    """A small read-only view, asked during an evaluation.

    Facts that know boots have `boot_slot() -> int | None` as well: the time of a boot that `@reboot` may still answer.
    """

    @property
    def windows(self) -> WindowStore:
        """What was measured."""

    @property
    def site(self) -> Site | None:
        """Where the node is, None when it does not know."""

    def last_run(self, plugin: str) -> int | None:
        """When the plugin was last launched, ns; None: never."""

    def slot_claimed(self, expr: str, fire_ns: int) -> bool:
        """Whether the slot of `EXPR` or `EXPR tz=ZONE` with this fire time has been used up."""
