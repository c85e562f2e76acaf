"""Ports in memory for the tests of the shell; what they answer is set by the test."""

from __future__ import annotations

import threading
from typing import Any

from edgesched.core.model import Instant, Message, Plugin, PluginSpec, PodOrder, PodView
from edgesched.core.plan.effects import DeletePod, FetchLog, LaunchPod
from edgesched.core.plan.events import EffectDone, Event

SECOND = 1_000_000_000


class Notices:
    """A `Notice` that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None:
        self.lines.append((event, level, fields))

    def named(self, event: str) -> list[dict[str, Any]]:
        """The fields of all lines of one event name."""
        return [fields for name, _, fields in self.lines if name == event]


class Answers:
    """An `Emit` that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def done(self) -> list[tuple[str, str]]:
        """(effect id, outcome) of all effects that were answered."""
        return [(event.effect_id, event.outcome) for event in self.events if isinstance(event, EffectDone)]


class ManualClock:
    """A `Clock` that stands still until it is set."""

    def __init__(self, ts_ns: int = 1_800_000_000 * SECOND) -> None:
        self.ts_ns = ts_ns
        self.boot_ns = SECOND

    def now(self) -> Instant:
        return Instant(self.ts_ns, self.boot_ns)

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.ts_ns += int(seconds * SECOND)
        self.boot_ns += int(seconds * SECOND)


class FakePods:
    """A `PodRunner`: raises the errors that are waiting in `errors`, in order, then succeeds.

    `calls`: what was asked, in order. While `held` is clear every call blocks.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.errors: list[Exception] = []
        self.held = threading.Event()
        self.held.set()
        self._lock = threading.Lock()

    def launch(self, effect: LaunchPod) -> PodView:
        self._call(f"launch {effect.order.pod_name}")
        return PodView(effect.order.pod_name, "uid-1")

    def delete(self, effect: DeletePod) -> None:
        self._call(f"delete {effect.pod_name}")

    def log(self, effect: FetchLog) -> tuple[str, ...]:
        self._call(f"log {effect.pod_name}")
        return ("last line",)

    def _call(self, what: str) -> None:
        with self._lock:
            self.calls.append(what)
            error = self.errors.pop(0) if self.errors else None
        assert self.held.wait(10)
        if error is not None:
            raise error


class FakePublisher:
    """An `EventPublisher` that fails while `away` is set."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.tries = 0
        self.away: Exception | None = None

    def publish(self, messages: list[Message]) -> None:
        self.tries += 1
        if self.away is not None:
            raise self.away
        self.sent += [message.name for message in messages]


def launch(pod_name: str, run_id: str = "") -> LaunchPod:
    """Return a request for a pod."""
    run_id = run_id or pod_name
    plugin = Plugin("p", PluginSpec("registry/p:1"))
    order = PodOrder(run_id, pod_name, f"{pod_name}-i", "job", "goal", "upload", plugin)
    return LaunchPod(order)
