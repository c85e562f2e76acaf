"""Scheduler events to RabbitMQ: persistent, in order, each confirmed by the broker.

Wire compatible with the reference: exchange `to-validator`, routing key = scope, delivery mode 2, `user_id` = our login
(RabbitMQ closes the channel on any other), `app_id` = our pod's uid, body as the reference writes it. The message id is
the AMQP property `message_id`, so that a reader can drop repeats.

There is no thread: the connection is driven inside `publish`. It has no heartbeat (a dead broker shows at the next
publish, by a closed socket or a missing confirmation), so an idle publisher costs nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from edgesched.adapters.amqp.link import AmqpLink
from edgesched.adapters.amqp.settings import AmqpSettings
from edgesched.adapters.confirmations import await_confirmations
from edgesched.core.messages import encode_message
from edgesched.core.model import Message
from edgesched.errors import BrokerUnavailableError, InputError
from edgesched.ports import Notice

_GLANCE_S: Final = 0.001  # long enough to read that the broker has left


class AmqpPublisher:
    """An `EventPublisher` over AMQP. `counters`: `published`, `confirmed`, `dropped.value`."""

    def __init__(self, settings: AmqpSettings, notice: Notice) -> None:
        self._settings = settings
        self._notice = notice
        self._link: AmqpLink | None = None
        self._sent = 0
        self._waiting: set[int] = set()
        self._failure = ""
        self.counters: Counter[str] = Counter()

    def publish(self, messages: list[Message]) -> None:
        """Send in order and wait for every confirmation; see `edgesched.ports.EventPublisher`.

        A message whose value JSON cannot say is logged, counted and left out: it must not block those behind it. Gives
        up after `timeout_s` without a confirmation.
        """
        encoded = [(message, body) for message in messages if (body := self._encode(message)) is not None]
        if not encoded:
            return
        try:
            self._send(self._connected_link(), encoded)
        except BrokerUnavailableError:
            self.close()
            raise

    def close(self) -> None:
        """Leave the broker; the next publish connects again."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _encode(self, message: Message) -> bytes | None:
        try:
            return encode_message(message)
        except InputError as error:
            self.counters["dropped.value"] += 1
            self._notice("amqp.event_dropped", level="error", name=message.name, reason="value", detail=error.message)
            return None

    def _connected_link(self) -> AmqpLink:
        """The open connection, or a new one when the broker has closed it since."""
        if self._link is not None:
            try:
                self._link.serve(_GLANCE_S)
                return self._link
            except BrokerUnavailableError:
                self.close()
        self._sent = 0
        self._link = link = AmqpLink(self._settings, "events", heartbeat_s=0)
        link.connect()
        selected: list[Any] = []

        def on_selected(frame: Any) -> None:
            selected.append(frame)
            link.stop_serving()

        link.channel.confirm_delivery(self._on_confirm, callback=on_selected)
        link.serve_until(lambda: bool(selected), self._settings.timeout_s, "does not confirm publishing")
        return link

    def _send(self, link: AmqpLink, encoded: list[tuple[Message, bytes]]) -> None:
        import pika  # type: ignore[import-untyped]

        settings = self._settings
        self._failure = ""
        self._waiting.clear()
        for message, body in encoded:
            properties = pika.BasicProperties(
                delivery_mode=2,
                user_id=settings.username,
                app_id=settings.app_id or None,
                message_id=message.message_id or None,
            )
            link.channel.basic_publish(settings.events, message.scope, body, properties)
            self._sent += 1
            self._waiting.add(self._sent)
        self.counters["published"] += len(encoded)
        await_confirmations(
            link, self._waiting, lambda: self._failure, broker=settings.broker, timeout_s=settings.timeout_s
        )

    def _on_confirm(self, frame: Any) -> None:
        """Note an Ack or Nack; `multiple` covers every tag up to it."""
        method = frame.method
        tag = method.delivery_tag
        covered = {waiting for waiting in self._waiting if waiting <= tag} if method.multiple else {tag}
        if method.NAME == "Basic.Ack":
            self.counters["confirmed"] += len(covered & self._waiting)
        else:
            self._failure = f"negative confirmation of {len(covered)} messages"
        self._waiting -= covered
        if (not self._waiting or self._failure) and self._link is not None:
            self._link.stop_serving()
