"""One AMQP connection with one channel, driven by the thread that owns it.

pika's event loop runs inside `serve`, for a bounded time, in the owner's thread: no thread of its own, no call that
waits for ever (pika's blocking adapter has several), heartbeats and confirmations in one place. A link is used for one
connection and thrown away.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
import time
from collections.abc import Callable
from typing import Any

from edgesched.adapters.amqp.settings import AmqpSettings
from edgesched.adapters.listener import LoginRefusedError
from edgesched.errors import BrokerUnavailableError


class AmqpLink:
    """A connection to `settings` under the name of `role`. `heartbeat_s` 0: none."""

    def __init__(self, settings: AmqpSettings, role: str, *, heartbeat_s: int) -> None:
        from pika.adapters.select_connection import IOLoop  # type: ignore[import-untyped]

        logging.getLogger("pika").setLevel(
            logging.CRITICAL
        )  # its story of each failed attempt is told here in one line
        self._settings = settings
        self._role = role
        self._heartbeat_s = heartbeat_s
        self._loop: Any = IOLoop()
        self._connection: Any = None
        self._lost: BrokerUnavailableError | None = None
        self.channel: Any = None

    def connect(self) -> None:
        """Connect, log in and open the channel.

        Raises: LoginRefusedError; BrokerUnavailableError.
        """
        import pika  # type: ignore[import-untyped]

        try:
            parameters = self._parameters()
        except (OSError, ValueError) as error:
            raise BrokerUnavailableError(
                f"no connection to {self._settings.broker}: {getattr(error, 'strerror', None) or error}"
            ) from error
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._on_channel),
            on_open_error_callback=self._on_open_error,
            on_close_callback=self._on_close,
            custom_ioloop=self._loop,
        )
        self.serve_until(lambda: self.channel is not None, self._settings.timeout_s * 2, "does not open a channel")

    def _parameters(self) -> Any:
        import pika

        settings = self._settings
        tls = None
        if settings.tls:
            tls = pika.SSLOptions(ssl.create_default_context(cafile=settings.ca_file or None), settings.host)
        return pika.ConnectionParameters(
            settings.host,
            settings.port,
            settings.vhost,
            pika.PlainCredentials(settings.username, settings.read_password()),
            heartbeat=self._heartbeat_s,
            connection_attempts=1,
            socket_timeout=settings.timeout_s,
            stack_timeout=settings.timeout_s * 2,
            ssl_options=tls,
            client_properties={"connection_name": settings.connection_name(self._role)},
        )

    def serve(self, timeout_s: float) -> None:
        """Handle what comes during `timeout_s`; `stop_serving` and `wake` end it early.

        Raises: BrokerUnavailableError: the connection or its channel is lost.
        """
        if self._lost is None:
            timer = self._loop.call_later(timeout_s, self._loop.stop)
            self._loop.start()
            self._loop.remove_timeout(timer)
        if self._lost is not None:
            raise self._lost

    def serve_until(self, condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        """Serve until the condition holds. Raises: BrokerUnavailableError: also when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise BrokerUnavailableError(f"{self._settings.broker} {complaint} within {timeout_s:g} s")
            self.serve(left_s)

    def stop_serving(self) -> None:
        """End `serve`; for callbacks."""
        self._loop.stop()

    def wake(self) -> None:
        """End a waiting `serve`. Callable from any thread."""
        self._loop.add_callback_threadsafe(self._loop.stop)

    def close(self) -> None:
        """Say goodbye when possible and free everything; never raises."""
        connection = self._connection
        if connection is not None and connection.is_open and self._lost is None:
            connection.close()
            with contextlib.suppress(BrokerUnavailableError):  # the answer to our goodbye
                self.serve(self._settings.timeout_s)
        self._loop.close()

    def _on_channel(self, channel: Any) -> None:
        channel.add_on_close_callback(self._on_channel_close)
        self.channel = channel
        self._loop.stop()

    def _on_open_error(self, _connection: Any, error: BaseException) -> None:
        self._lose(self._explain(error))

    def _on_close(self, _connection: Any, error: BaseException) -> None:
        self._lose(BrokerUnavailableError(f"connection to {self._settings.broker} lost: {_text(error)}"))

    def _on_channel_close(self, _channel: Any, error: BaseException) -> None:
        text = _text(error)
        hint = "the node's validator declares its exchanges when it starts" if "NOT_FOUND" in text else ""
        self._lose(BrokerUnavailableError(f"{self._settings.broker} closed the channel: {text}", hint=hint))

    def _lose(self, error: BrokerUnavailableError) -> None:
        self._lost = self._lost or error
        self._loop.stop()

    def _explain(self, error: BaseException) -> BrokerUnavailableError:
        settings = self._settings
        text = _text(error)
        if "ACCESS_REFUSED" in text or "uthentication" in type(error).__name__:
            return LoginRefusedError(
                f"{settings.broker} refused the password of user {settings.username!r}: {text}",
                hint="check the RabbitMQ user, its password and its rights",
            )
        return BrokerUnavailableError(f"no connection to {settings.broker}: {text}")


def _text(error: BaseException) -> str:
    """The innermost reason in one line; pika wraps it several times."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    inner = getattr(error, "exceptions", None) or getattr(error, "exception", None)
    if inner:
        return _text(inner[-1] if isinstance(inner, list | tuple) else inner)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    text = getattr(error, "reply_text", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:256]
