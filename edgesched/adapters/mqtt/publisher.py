"""Scheduler events to an MQTT broker: QoS 1, in order, each confirmed.

At least once: a list that was not confirmed as a whole is sent again as a whole by the caller. So that a reader can
drop repeats, the payload carries the message's id under the key `id`, in MQTT 3.1.1 and 5 alike; `meta` stays as it is
(its keys become tags of stored series), and Waggle readers ignore keys that they do not know.

There is no thread: the connection is driven inside `publish`. It has no keep-alive (a dead broker shows at the next
publish, by a closed socket or a missing confirmation), so an idle publisher costs nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgesched.adapters.confirmations import await_confirmations
from edgesched.adapters.mqtt.link import Link
from edgesched.adapters.mqtt.settings import MqttSettings
from edgesched.core.messages import encode_message, is_name, topic_of
from edgesched.core.model import Message
from edgesched.errors import BrokerUnavailableError, InputError
from edgesched.ports import Notice

# reason codes of MQTT 5 that condemn the message itself: sending it again would be refused again
_HOPELESS = frozenset({"Topic name invalid", "Payload format invalid", "Packet too large"})


class MqttPublisher:
    """An `EventPublisher` over MQTT. `counters`: `published`, `confirmed`, `dropped.<reason>`."""

    def __init__(self, settings: MqttSettings, notice: Notice) -> None:
        self._settings = settings
        self._notice = notice
        self._link: Link | None = None
        self._unconfirmed: dict[int, str] = {}
        self._failure = ""
        self.counters: Counter[str] = Counter()

    def publish(self, messages: list[Message]) -> None:
        """Send in order and wait for every confirmation; see `edgesched.ports.EventPublisher`.

        A message that can never be sent (its name is no topic, its value no JSON) is logged, counted and left out: it
        must not block those behind it. Gives up after `timeout_s` without a confirmation.
        """
        packets = [packet for message in messages if (packet := self._encode(message)) is not None]
        if not packets:
            return
        link = self._connected_link()
        try:
            self._send(link, packets)
        except BrokerUnavailableError:
            self.close()
            raise

    def close(self) -> None:
        """Leave the broker; the next publish connects again."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self._unconfirmed.clear()

    def _encode(self, message: Message) -> tuple[str, bytes] | None:
        if not is_name(message.name):
            self._drop("name", message.name, "not a measurement name, so not a topic")
            return None
        try:
            payload = encode_message(message, with_id=True)
        except InputError as error:
            self._drop("value", message.name, error.message)
            return None
        return self._settings.topic_prefix + topic_of(message.name), payload

    def _drop(self, reason: str, name: str, detail: str) -> None:
        self.counters[f"dropped.{reason}"] += 1
        self._notice("mqtt.event_dropped", level="error", name=name, reason=reason, detail=detail)

    def _connected_link(self) -> Link:
        """The open connection, or a new one when the broker has closed it since."""
        if self._link is not None:
            try:
                self._link.serve(0)
                return self._link
            except BrokerUnavailableError:
                self.close()
        link = Link(self._settings, "events", keepalive_s=0, at_once=True)
        link.client.on_publish = self._on_publish
        try:
            link.connect()
        except BrokerUnavailableError:
            link.close()
            raise
        self._link = link
        return link

    def _send(self, link: Link, packets: list[tuple[str, bytes]]) -> None:
        self._failure = ""
        for topic, payload in packets:
            info = link.client.publish(topic, payload, qos=1)
            self._unconfirmed[info.mid] = topic
        self.counters["published"] += len(packets)
        settings = self._settings
        await_confirmations(
            link, self._unconfirmed, lambda: self._failure, broker=settings.broker, timeout_s=settings.timeout_s
        )

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        topic = self._unconfirmed.pop(mid, None)
        if not reason.is_failure:
            self.counters["confirmed"] += 1
        elif str(reason) in _HOPELESS:
            self._drop("refused", topic or "", str(reason))
        else:
            self._failure = f"{topic}: {reason}"
