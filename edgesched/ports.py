"""What the node shell needs from the world, as Protocols. Adapters implement them; tests run one suite per port.

All methods may be called from one thread at a time unless said otherwise. Every blocking call has a time-out of at most
5 s or looks at `stop`. Errors are those of `edgesched.errors`; no foreign exception crosses a port.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from edgesched.core.model import Instant, Message, PodView
from edgesched.core.plan.effects import DeletePod, FetchLog, LaunchPod
from edgesched.core.plan.events import Event

Emit = Callable[[Event], None]
"""Puts an event into the mailbox: never blocks, never raises, callable from any thread."""

Notice = Callable[..., None]
"""Logs one line: `notice("mqtt.connected", level="info", broker="127.0.0.1:1883")`. Callable from any thread."""


class Clock(Protocol):
    """The only reader of time."""

    def now(self) -> Instant:
        """Read both clocks."""
        ...


class Source(Protocol):
    """A connection that turns what it hears into events: goals, measurements, pod changes."""

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop` is set; reconnect with jittered back-off by itself; call `beat` at least every 10 s.

        An exception that escapes is a defect; the supervisor logs it and calls `run` again with back-off.
        """
        ...


class MeasurementSource(Source, Protocol):
    """A `Source` of `Measured` events."""

    def subscribe(self, names: frozenset[str]) -> None:
        """Listen to exactly these measurement names from now on. Callable from any thread, also before `run`."""
        ...


class PodRunner(Protocol):
    """Creates, deletes and reads pods. Methods are callable from several threads."""

    def launch(self, effect: LaunchPod) -> PodView:
        """Create the pod, or return the existing one of the same run.

        Raises: KubeRefusedError for good; KubeUnavailableError: try again.
        """
        ...

    def delete(self, effect: DeletePod) -> None:
        """Delete the pod; a missing pod or another uid under that name counts as done. Raises as `launch`."""
        ...

    def log(self, effect: FetchLog) -> tuple[str, ...]:
        """Read the last log lines, empty when there are none. Raises as `launch`."""
        ...


class EventPublisher(Protocol):
    """Publishes Waggle messages."""

    def publish(self, messages: list[Message]) -> None:
        """Send in order; return when all are confirmed.

        Raises: BrokerUnavailableError: none or only the first few were.
        """
        ...


class Scoreboard(Protocol):
    """The node's key-value board (Redis on a real node)."""

    def set(self, key: str, value: str) -> None:
        """Write a value. Raises BrokerUnavailableError."""
        ...
