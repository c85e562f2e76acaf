"""Measurements from an MQTT broker.

Topics follow from the names that the rules need, one exact topic a name, no wildcard ever: a broker of a busy site
sends us only what a rule reads. Sessions are clean: after an outage the broker does not replay a backlog; values that
the publisher retained with a time come again and change nothing, because equal (name, ts, meta) count once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from edgesched.adapters.backoff import Backoff
from edgesched.adapters.listener import BrokerListener
from edgesched.adapters.mqtt.link import Link
from edgesched.adapters.mqtt.settings import MqttSettings
from edgesched.core.messages import topic_of
from edgesched.ports import Clock, Emit, Notice

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_SERVE_S: Final = 0.5
_TOPICS_A_PACKET: Final = 100


class MqttSource(BrokerListener):
    """A `MeasurementSource` over MQTT; `counters` also has `refused.topics`."""

    kind = "mqtt"

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
        super().__init__(settings.broker, emit, clock, notice, backoff=backoff, login_retry_s=login_retry_s)
        self._settings = settings
        self._requests: dict[int | None, list[str]] = {}

    def _address_of(self, name: str) -> str:
        return self._settings.topic_prefix + topic_of(name)

    def _serve_session(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        settings = self._settings
        link = Link(settings, "source", keepalive_s=settings.keepalive_s)
        try:
            link.on_message(self._on_message)
            link.client.on_subscribe = self._on_subscribe
            self._requests.clear()
            link.connect()
            self._begin(link.wake, version=settings.version)
            subscribed: dict[str, str] = {}
            while not stop.is_set():
                beat()
                if self._names is not subscribed:
                    subscribed = self._follow(link, subscribed)
                link.serve(_SERVE_S)
        finally:
            with self._lock:
                self._wake = None  # before its sockets are closed: their numbers may be given to others
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

    def _on_message(self, message: MQTTMessage) -> None:
        self._hear(message.topic, message.payload, retained=message.retain)

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


def _packets(topics: list[str]) -> list[list[str]]:
    """Cut a list into lists that fit into one packet each."""
    return [topics[start : start + _TOPICS_A_PACKET] for start in range(0, len(topics), _TOPICS_A_PACKET)]
