"""What the node shell needs from the world, as Protocols. Adapters implement them; tests run one suite per port.

All methods may be called from one thread at a time unless said otherwise. Every blocking call has a time-out of at most
5 s or looks at `stop`. Errors are those of `edgesched.errors`; no foreign exception crosses a port.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from edgesched.core.model import Instant, Message, PodView
from edgesched.core.plan.effects import DeletePod, FetchLog, LaunchPod
from edgesched.core.plan.events import Event
from edgesched.core.plan.records import Record

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


class StateStore(Protocol):
    """What outlives the process. Methods are callable from several threads.

    `generation` changes when the store had to begin anew and has forgotten what was committed.
    """

    generation: int

    def commit(
        self,
        records: Sequence[Record],
        messages: Sequence[Message] = (),
        scoreboard: Sequence[tuple[str, str | None]] = (),
        *,
        sent: int = 0,
    ) -> None:
        """Write all of it or nothing; durable on return. Raises StoreUnavailableError.

        `scoreboard`: values by key, None is forgotten. `sent`: messages up to this number are confirmed.
        """
        ...

    def begin_anew(self) -> None:
        """Forget all records but the claimed slots. Raises StoreUnavailableError."""
        ...

    def unsent(self, limit: int, after: int = 0) -> list[tuple[int, Message]]:
        """Return the oldest messages numbered above `after`, with their numbers. Raises StoreUnavailableError."""
        ...

    def waiting(self) -> tuple[int, int]:
        """Return how many messages wait, and the time (ns) of the oldest. Raises StoreUnavailableError."""
        ...

    def trim(self, limit: int = ..., age_s: int | None = ...) -> int:
        """Drop the messages that are too many or too old; returns how many. Raises StoreUnavailableError."""
        ...


class Scoreboard(Protocol):
    """The node's key-value board (Redis on a real node)."""

    def set(self, key: str, value: str) -> None:
        """Write a value. Raises BrokerUnavailableError."""
        ...
