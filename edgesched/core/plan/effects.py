"""What the planner wants done. Imperatives, carried out by the shell after the state is committed.

Every effect is idempotent: repeating one after a crash changes nothing. `effect_id` names it in `EffectDone`. A
`Message` asks to be published; its `message_id` names it. The frequent ones are named tuples: making one costs a fifth
of making a frozen dataclass, and a full minute makes thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from edgesched.core.model import NO_PAIRS, Message, PodOrder


class LaunchPod(NamedTuple):
    """Create the pod of a run; an existing pod of that name with the same run id counts as created.

    Answered by `EffectDone` with `pod`.
    """

    order: PodOrder

    @property
    def effect_id(self) -> str:
        """The same for every attempt: the run's."""
        return f"launch:{self.order.run_id}"


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod with grace, only if its uid is `uid` (when known). A missing pod counts as deleted."""

    effect_id: str
    pod_name: str
    uid: str = ""
    grace_s: int = 30


@dataclass(frozen=True, slots=True)
class FetchLog:
    """Read the last lines of a container's log: at most `lines` lines and 1,024 bytes. `EffectDone` carries them."""

    effect_id: str
    pod_name: str
    container: str
    lines: int = 3


@dataclass(frozen=True, slots=True)
class SetState:
    """Write a value to the scoreboard, always as text."""

    effect_id: str
    key: str
    value: str


class Report(NamedTuple):
    """A decision, for the log: a dotted event name, then keys. `level`: `info`, `warning`, `error`, `debug`."""

    event: str
    fields: Mapping[str, Any] = NO_PAIRS
    level: str = "info"


Effect = LaunchPod | DeletePod | FetchLog | Message | SetState | Report
