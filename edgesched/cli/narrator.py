"""What happens on the node, told in plain lines for a person who watches.

It stands where the log stands and hears the same events. Routine is left out: a run is told when its rule fires (with
the values that made it fire), when its pod is launched, and when it ends. Anything unknown that is a warning or an
error is told as it is, so that nothing wrong stays unseen.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from edgesched.core.plan.effects import Effect, LaunchPod
from edgesched.core.plan.events import Event, Measured
from edgesched.core.plan.policies import clock_text
from edgesched.core.shown import shown
from edgesched.ports import Clock

Fields = Mapping[str, Any]

REMEMBERED: Final = 2000
LINE_CHARS: Final = 600


class Narrator:
    """A `Notice` that prints sentences, and the hooks by which it knows how fast the agent was."""

    def __init__(self, clock: Clock, say: Callable[[str], None]) -> None:
        self._clock = clock
        self._say = say
        self._lock = threading.Lock()
        self._received: deque[tuple[Event, int]] = deque(maxlen=REMEMBERED)
        self._caused: dict[str, int] = {}
        self._after_ms: dict[str, float] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self._tells: dict[str, Callable[[Fields], str]] = {
            "goal.received": self._goal_received,
            "goal.updated": self._goal_updated,
            "goal.removed": self._goal_removed,
            "goals.finding": self._goals_finding,
            "plugin.queued": self._plugin_queued,
            "plugin.scheduled": self._plugin_scheduled,
            "plugin.running": self._plugin_running,
            "plugin.complete": self._plugin_complete,
            "plugin.failed": self._plugin_failed,
            "plugin.missed": self._plugin_missed,
            "slot.missed": self._slot_missed,
            "plugin.waiting": self._plugin_waiting,
            "rule.published": self._rule_published,
            "rule.set": self._rule_set,
        }

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Tell an event of the agent, or leave it out."""
        if event in self._tells:
            text = self._tells[event](fields)
        elif level in {"warning", "error"}:
            text = f"{level}: {event} " + " ".join(f"{name}={value}" for name, value in fields.items())
        else:
            text = ""
        if text:
            self.say(text)

    def say(self, text: str) -> None:
        """Print a line behind the time of day; what stands after a line break comes below, indented."""
        with self._lock:
            now = clock_text(self._clock.now().ts_ns)
            first, _, second = text.partition("\n")
            self._say(f"{now}  {shown(first, LINE_CHARS)}")
            if second:
                self._say(f"{' ' * len(now)}    {shown(second, LINE_CHARS)}")

    # -- hooks of the agent: when a measurement came, and when the request that it caused went out

    def received(self, event: Event) -> None:
        """Note when a measurement came."""
        if isinstance(event, Measured):
            self._received.append((event, time.monotonic_ns()))

    def decided(self, event: Event, effects: list[Effect]) -> None:
        """Note which measurement caused a launch."""
        for effect in effects:
            if isinstance(effect, LaunchPod) and isinstance(event, Measured):
                came = next((at for each, at in reversed(self._received) if each is event), None)
                if came is not None:
                    self._caused[effect.order.run_id] = came

    def sent(self, effect: Effect) -> None:
        """Note how long after the measurement the request went to the cluster."""
        if isinstance(effect, LaunchPod):
            came = self._caused.pop(effect.order.run_id, None)
            if came is not None:
                self._after_ms[effect.order.run_id] = (time.monotonic_ns() - came) / 1e6

    # -- events

    def _goal_received(self, fields: Fields) -> str:
        return f"job {fields['goal_name']} is in force (job id {fields['job_id']})"

    def _goal_updated(self, fields: Fields) -> str:
        return f"job {fields['goal_name']} has changed"

    def _goal_removed(self, fields: Fields) -> str:
        return f"job {fields['goal_name']} is removed"

    def _goals_finding(self, fields: Fields) -> str:
        hint = f" ({fields['hint']})" if fields.get("hint") else ""
        return f"{fields['at']}: {fields['message']}{hint}"

    def _plugin_queued(self, fields: Fields) -> str:
        cause = str(fields["reason"]).removeprefix("triggered by ")
        if fields.get("slot"):
            return f"{fields['plugin']}: its time has come, slot {fields['slot']} of {cause}"
        return f"{fields['plugin']}: its rule fires:\n{fields.get('values') or cause}"

    def _plugin_scheduled(self, fields: Fields) -> str:
        self._count(fields, "launched")
        after_ms = self._after_ms.pop(str(fields["run"]), None)
        told = f", {after_ms:.1f} ms after the measurement came" if after_ms is not None else ""
        return f"{fields['plugin']}: launched as pod {fields['pod']}{told}"

    def _plugin_running(self, fields: Fields) -> str:
        return f"{fields['plugin']}: running"

    def _plugin_complete(self, fields: Fields) -> str:
        self._count(fields, "completed")
        ran = f" after {fields['ran_s']} s" if "ran_s" in fields else ""
        reason = f" ({fields['reason']})" if fields.get("reason") else ""
        return f"{fields['plugin']}: completed{ran}{reason}"

    def _plugin_failed(self, fields: Fields) -> str:
        self._count(fields, "failed")
        code = f", exit code {fields['return_code']}" if "return_code" in fields else ""
        words = " | ".join(str(fields.get("error_log") or "").splitlines())
        log = f"; its last words: {words}" if words else ""
        return f"{fields['plugin']}: failed: {fields['reason']}{code}{log}"

    def _plugin_missed(self, fields: Fields) -> str:
        return f"{fields['plugin']}: not launched: {fields['reason']}"

    def _slot_missed(self, fields: Fields) -> str:
        return f"{fields['plugin']}: slot {fields['slot']} missed: {fields['reason']}"

    def _plugin_waiting(self, fields: Fields) -> str:
        return f"{fields['plugin']}: waits: {fields['reason']}"

    def _rule_published(self, fields: Fields) -> str:
        return f"published {fields['name']} = {fields['value']} to {fields['to']}:\n{fields.get('values', '')}"

    def _rule_set(self, fields: Fields) -> str:
        return f"set {fields['key']} = {fields['value']}:\n{fields.get('values', '')}"

    def _count(self, fields: Fields, what: str) -> None:
        counts = self.counts.setdefault(str(fields["plugin"]), {})
        counts[what] = counts.get(what, 0) + 1
