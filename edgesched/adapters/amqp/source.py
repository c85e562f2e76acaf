"""Measurements from RabbitMQ's `data.topic`, as every Waggle service hears them.

An exclusive queue of the session, bound once a name; no wildcard ever. It is bounded and drops its oldest: a consumer
that fell behind wants the newest values. Messages of an outage are gone, as for every other subscriber on the node.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from edgesched.adapters.amqp.link import AmqpLink
from edgesched.adapters.amqp.settings import AmqpSettings
from edgesched.adapters.backoff import Backoff
from edgesched.adapters.listener import BrokerListener
from edgesched.ports import Clock, Emit, Notice

_SERVE_S: Final = 0.5
_QUEUE: Final = {"x-max-length": 10_000, "x-overflow": "drop-head"}


class AmqpSource(BrokerListener):
    """A `MeasurementSource` over AMQP."""

    kind = "amqp"

    def __init__(
        self,
        settings: AmqpSettings,
        emit: Emit,
        clock: Clock,
        notice: Notice,
        *,
        backoff: Backoff | None = None,
        login_retry_s: float = 15.0,
    ) -> None:
        super().__init__(settings.broker, emit, clock, notice, backoff=backoff, login_retry_s=login_retry_s)
        self._settings = settings

    def _address_of(self, name: str) -> str:
        return name

    def _serve_session(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        settings = self._settings
        link = AmqpLink(settings, "source", heartbeat_s=settings.heartbeat_s)
        try:
            link.connect()
            queue = self._declare_queue(link)
            link.channel.basic_consume(queue, self._on_message, auto_ack=True, exclusive=True)
            self._begin(link.wake, exchange=settings.measurements)
            bound: dict[str, str] = {}
            while not stop.is_set():
                beat()
                if self._names is not bound:
                    bound = self._follow(link, queue, bound)
                link.serve(_SERVE_S)
        finally:
            with self._lock:
                self._wake = None  # before its pipe is closed
            link.close()

    def _declare_queue(self, link: AmqpLink) -> str:
        declared: list[str] = []

        def keep(frame: Any) -> None:
            declared.append(frame.method.queue)
            link.stop_serving()

        link.channel.queue_declare("", exclusive=True, auto_delete=True, arguments=_QUEUE, callback=keep)
        link.serve_until(lambda: bool(declared), self._settings.timeout_s, "does not declare a queue")
        return declared[0]

    def _follow(self, link: AmqpLink, queue: str, old: dict[str, str]) -> dict[str, str]:
        """Bring the bindings from `old` to the wanted names; return these."""
        new = self._names
        exchange = self._settings.measurements
        for name in new:
            if name not in old:
                link.channel.queue_bind(queue, exchange, routing_key=name)
        for name in old:
            if name not in new:
                link.channel.queue_unbind(queue, exchange, routing_key=name)
        return new

    def _on_message(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        self._hear(method.routing_key, body)
