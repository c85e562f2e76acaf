"""Measurements from an MQTT broker.

Topics follow from the names that the rules need, one exact topic a name, no wildcard ever: a broker of a busy site
sends us only what a rule reads. Sessions are clean: after an outage the broker does not replay a backlog; values that
the publisher retained with a time come again and change nothing, because equal (name, ts, meta) count once.

What cannot be used is counted by reason in `counters`, and logged once and then at most once a minute a reason.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from edgesched.adapters.backoff import Backoff, wait
from edgesched.adapters.mqtt.link import Link, LoginRefusedError
from edgesched.adapters.mqtt.settings import MqttSettings
from edgesched.core.messages import Rejected, decode_measurement, is_name, topic_of
from edgesched.core.plan.events import Measured
from edgesched.errors import BrokerUnavailableError
from edgesched.ports import Clock, Emit, Notice

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_SERVE_S: Final = 0.5
_TOPICS_A_PACKET: Final = 100
_NOTICE_EVERY_S: Final = 60.0


class MqttSource:
    """A `MeasurementSource` over MQTT.

    `counters`: `received` and, by reason, `rejected.<reason>`, `dropped.unsubscribed`, `connected`, `lost`.
    `connected`: whether a session is up, for status pages; liveness is the beat. A refused login is tried again after
    `login_retry_s` or more: passwords get rotated.
    """

    def __init__(
        self,
        settings: MqttSettings,
        emit: Emit,
        clock: Clock,
        notice: Notice,
        *,
        backoff: Backoff | None = None,
        login_retry_s: float = 15.0,
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._clock = clock
        self._notice = notice
        self._backoff = backoff or Backoff()
        self._login_retry_s = login_retry_s
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}  # topic -> name; replaced as a whole, never changed
        self._link: Link | None = None
        self._noticed_s: dict[str, float] = {}
        self._requests: dict[int | None, list[str]] = {}
        self.counters: Counter[str] = Counter()
        self.connected = False

    def subscribe(self, names: frozenset[str]) -> None:
        """Listen to exactly these names from now on; a text that is not a measurement name is refused and logged."""
        prefix = self._settings.topic_prefix
        for name in sorted(names):
            if not is_name(name):
                self._notice("mqtt.name_refused", level="warning", name=name, hint="not a measurement name")
        with self._lock:
            self._names = {prefix + topic_of(name): name for name in sorted(names) if is_name(name)}
            if self._link is not None:
                self._link.wake()

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop` is set; see `edgesched.ports.Source`."""
        while not stop.is_set():
            beat()
            started_s = time.monotonic()
            self.connected = False
            try:
                self._serve_session(stop, beat)
            except BrokerUnavailableError as error:
                held_s = time.monotonic() - started_s if self.connected else 0.0
                login = isinstance(error, LoginRefusedError)
                retry_s = self._backoff.after(held_s, at_least_s=self._login_retry_s if login else 0.0)
                self._report_loss(error, retry_s)
                self.connected = False
                wait(retry_s, stop, beat)
        self.connected = False

    def _report_loss(self, error: BrokerUnavailableError, retry_s: float) -> None:
        self.counters["lost" if self.connected else "unreachable"] += 1
        login = isinstance(error, LoginRefusedError)
        self._notice(
            "mqtt.login_refused" if login else "mqtt.lost" if self.connected else "mqtt.unreachable",
            level="error" if login else "warning",
            broker=self._settings.broker,
            reason=error.message,
            **({"hint": error.hint} if error.hint else {}),
            retry_in_s=round(retry_s, 1),
        )

    def _serve_session(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        settings = self._settings
        link = Link(settings, "source", keepalive_s=settings.keepalive_s)
        try:
            link.on_message(self._on_message)
            link.client.on_subscribe = self._on_subscribe
            link.connect()
            with self._lock:
                self._link = link
            self.connected = True
            self.counters["connected"] += 1
            subscribed: dict[str, str] = {}
            self._requests.clear()
            self._notice("mqtt.connected", broker=settings.broker, version=settings.version, topics=len(self._names))
            while not stop.is_set():
                beat()
                if self._names is not subscribed:
                    subscribed = self._follow(link, subscribed)
                link.serve(_SERVE_S)
        finally:
            with self._lock:
                self._link = None
            link.close()

    def _follow(self, link: Link, old: dict[str, str]) -> dict[str, str]:
        """Bring the broker's subscriptions from `old` to the wanted ones; return these."""
        new = self._names
        for topics in _packets([topic for topic in new if topic not in old]):
            _, mid = link.client.subscribe([(topic, self._settings.qos) for topic in topics])
            self._requests[mid] = topics
        for topics in _packets([topic for topic in old if topic not in new]):
            link.client.unsubscribe(topics)
        return new

    def _on_subscribe(self, _client: Any, _userdata: Any, mid: int, reasons: list[Any], _properties: Any) -> None:
        """Report the topics that the broker does not grant (an access list)."""
        topics = self._requests.pop(mid, [])
        refused = [topic for topic, reason in zip(topics, reasons, strict=False) if reason.is_failure]
        if refused:
            self.counters["refused.topics"] += len(refused)
            self._notice(
                "mqtt.subscribe_refused",
                level="error",
                broker=self._settings.broker,
                topics=refused[:10],
                count=len(refused),
                hint="the broker's access list denies these topics",
            )

    def _on_message(self, message: MQTTMessage) -> None:
        """Turn one message into an event. Runs inside paho: nothing may escape."""
        try:
            topic = message.topic
            name = self._names.get(topic)
            if name is None:
                self.counters["dropped.unsubscribed"] += 1
                return
            heard = decode_measurement(
                message.payload, topic_name=name, received_ns=self._clock.now().ts_ns, retained=message.retain
            )
            if type(heard) is Rejected:
                self._count_rejected(heard, topic)
            else:
                self.counters["received"] += 1
                self._emit(Measured(heard))  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  guard: an exception here would end the session for one bad message
            self.counters["rejected.defect"] += 1
            self._notice("mqtt.defect", level="error", error=f"{type(error).__name__}: {error}"[:256])

    def _count_rejected(self, rejected: Rejected, topic: str) -> None:
        key = f"rejected.{rejected.reason}"
        self.counters[key] += 1
        now_s = time.monotonic()
        if now_s - self._noticed_s.get(key, -_NOTICE_EVERY_S) >= _NOTICE_EVERY_S:
            self._noticed_s[key] = now_s
            self._notice(
                "mqtt.rejected",
                level="warning",
                topic=topic,
                reason=rejected.reason,
                detail=rejected.detail,
                count=self.counters[key],
            )


def _packets(topics: list[str]) -> list[list[str]]:
    """Cut a list into lists that fit into one packet each."""
    return [topics[start : start + _TOPICS_A_PACKET] for start in range(0, len(topics), _TOPICS_A_PACKET)]
