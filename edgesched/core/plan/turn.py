"""One call of `step`: the state, the time, what has been woken and what is to be done."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgesched.core.model import Instant
from edgesched.core.plan.effects import Effect
from edgesched.core.plan.state import NodeState, PluginState, Run
from edgesched.core.rules import Bound


@dataclass(slots=True)
class Turn:
    """What the parts of a step share. `woken`: ids of rules to be evaluated.

    `completed`, `failed`: runs that ended so in this step. `dropped`: conditions of rules that are no longer in force;
    their windows are let go at the end of the step, so that an edited rule finds the samples of its former self.
    """

    state: NodeState
    now: Instant
    effects: list[Effect] = field(default_factory=list)
    woken: dict[int, None] = field(default_factory=dict)
    completed: list[Run] = field(default_factory=list)
    failed: list[Run] = field(default_factory=list)
    dropped: list[Bound] = field(default_factory=list)

    def wake_plugin(self, plugin: PluginState) -> None:
        """Wake the rules that schedule a plugin."""
        for rule in plugin.rules:
            self.woken[rule.rule_id] = None

    def boot_deadline(self, pause_s: float) -> int:
        """Return the boot time at which a pause that begins now is over."""
        return self.now.boot_ns + round(pause_s * 1e9)

    def time_after(self, boot_ns: int) -> int:
        """Return the wall time that a boot time corresponds to, for people."""
        return self.now.ts_ns + boot_ns - self.now.boot_ns
