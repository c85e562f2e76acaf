"""What a source of measurements does on every kind of broker: sessions with back-off, judging payloads, counting.

A subclass says where a name is heard (`_address_of`) and serves one session until the connection is lost. Everything
that cannot be used is counted by reason in `counters`, and logged once and then at most once a minute a reason.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Final

from edgesched.adapters.backoff import Backoff, wait
from edgesched.core.messages import Rejected, decode_measurement, is_name
from edgesched.core.plan.events import Measured
from edgesched.errors import BrokerUnavailableError
from edgesched.ports import Clock, Emit, Notice

_NOTICE_EVERY_S: Final = 60.0


class LoginRefusedError(BrokerUnavailableError):
    """The broker answers and does not accept our user, password or client id. Retried slowly: secrets get rotated."""

    code = "broker.login"


class BrokerListener(ABC):
    """A `MeasurementSource` of one broker; `kind` begins its log lines.

    `counters`: `received`, `connected`, `lost`, `unreachable`, `rejected.<reason>`, `dropped.unsubscribed`.
    `connected`: whether a session is up, for status pages; liveness is the beat. A refused login is tried again after
    `login_retry_s` or more.
    """

    kind = "broker"

    def __init__(
        self,
        broker: str,
        emit: Emit,
        clock: Clock,
        notice: Notice,
        *,
        backoff: Backoff | None = None,
        login_retry_s: float = 15.0,
    ) -> None:
        self._broker = broker
        self._emit = emit
        self._clock = clock
        self._notice = notice
        self._backoff = backoff or Backoff()
        self._login_retry_s = login_retry_s
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}  # address -> name; replaced as a whole, never changed
        self._noticed_s: dict[str, float] = {}
        self._wake: Callable[[], None] | None = None
        self.counters: Counter[str] = Counter()
        self.connected = False

    # --- for subclasses ----------------------------------------------------------------------------------------------

    @abstractmethod
    def _address_of(self, name: str) -> str:
        """Where measurements of a name are heard: a topic, a routing key."""

    @abstractmethod
    def _serve_session(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Connect, call `_begin`, follow `self._names` and hear messages until `stop` is set.

        Raises: BrokerUnavailableError: no connection, or the connection is lost.
        """

    def _begin(self, wake: Callable[[], None], **about: object) -> None:
        """Note that a session is up; `wake` ends its waiting from any thread."""
        with self._lock:
            self._wake = wake
        self.connected = True
        self.counters["connected"] += 1
        self._notice(f"{self.kind}.connected", broker=self._broker, **about, names=len(self._names))

    def _hear(self, address: str, payload: bytes | bytearray, *, retained: bool = False) -> None:
        """Turn one message into an event. Called from inside the broker's library: nothing may escape."""
        try:
            name = self._names.get(address)
            if name is None:
                self.counters["dropped.unsubscribed"] += 1
                return
            heard = decode_measurement(payload, topic_name=name, received_ns=self._clock.now().ts_ns, retained=retained)
            if isinstance(heard, Rejected):
                self._count_rejected(heard, address)
            else:
                self.counters["received"] += 1
                self._emit(Measured(heard))
        except Exception as error:  # noqa: BLE001  guard: an exception here would end the session for one bad message
            self.counters["rejected.defect"] += 1
            self._notice_seldom("defect", level="error", error=f"{type(error).__name__}: {error}"[:256])

    # --- the port ----------------------------------------------------------------------------------------------------

    def subscribe(self, names: frozenset[str]) -> None:
        """Listen to exactly these names from now on; a text that is not a measurement name is refused and logged."""
        for name in sorted(names):
            if not is_name(name):
                self._notice(f"{self.kind}.name_refused", level="warning", name=name, hint="not a measurement name")
        with self._lock:
            self._names = {self._address_of(name): name for name in sorted(names) if is_name(name)}
            if self._wake is not None:
                self._wake()

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop` is set; see `edgesched.ports.Source`."""
        while not stop.is_set():
            beat()
            started_s = time.monotonic()
            lost: BrokerUnavailableError | None = None
            try:
                self._serve_session(stop, beat)
            except BrokerUnavailableError as error:
                lost = error
            finally:
                with self._lock:
                    self._wake = None
                was_connected, self.connected = self.connected, False
            if lost is not None:
                held_s = time.monotonic() - started_s if was_connected else 0.0
                login = isinstance(lost, LoginRefusedError)
                retry_s = self._backoff.after(held_s, at_least_s=self._login_retry_s if login else 0.0)
                self._report_loss(lost, retry_s, was_connected=was_connected)
                wait(retry_s, stop, beat)

    def _report_loss(self, error: BrokerUnavailableError, retry_s: float, *, was_connected: bool) -> None:
        login = isinstance(error, LoginRefusedError)
        what = "lost" if was_connected else "unreachable"
        self.counters[what] += 1
        self._notice(
            f"{self.kind}.{'login_refused' if login else what}",
            level="error" if login else "warning",
            broker=self._broker,
            reason=error.message,
            **({"hint": error.hint} if error.hint else {}),
            retry_in_s=round(retry_s, 1),
        )

    def _count_rejected(self, rejected: Rejected, address: str) -> None:
        key = f"rejected.{rejected.reason}"
        self.counters[key] += 1
        self._notice_seldom(
            "rejected",
            rejected.reason,
            level="warning",
            address=address,
            reason=rejected.reason,
            detail=rejected.detail,
            count=self.counters[key],
        )

    def _notice_seldom(self, event: str, key: str = "", **fields: object) -> None:
        """Log at once, then at most once a minute an event and key."""
        now_s = time.monotonic()
        if now_s - self._noticed_s.get(event + key, -_NOTICE_EVERY_S) >= _NOTICE_EVERY_S:
            self._noticed_s[event + key] = now_s
            self._notice(f"{self.kind}.{event}", **fields)
