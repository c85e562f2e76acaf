"""One MQTT connection, driven by the thread that owns it.

paho's own threads are not used: an exception in a callback ends such a thread while `is_connected()` goes on saying
yes, and nobody notices. Here the owner waits in `serve`, so a defect surfaces in the owner and its supervisor.
A link is used for one connection and thrown away: nothing of a lost session leaks into the next.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgesched.adapters.listener import LoginRefusedError
from edgesched.adapters.mqtt.settings import MqttSettings
from edgesched.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage


_LOGIN_REASONS = frozenset(
    {
        "Bad user name or password",
        "Not authorized",
        "Banned",
        "Bad authentication method",
        "Client identifier not valid",
    }
)


class Link:
    """A connection to the broker of `settings` under the client id of `role`.

    `at_once`: send every packet at once, for one who waits for answers; a listener's confirmations may share packets,
    which saves a third of its CPU time.
    """

    def __init__(self, settings: MqttSettings, role: str, *, keepalive_s: int, at_once: bool = False) -> None:
        self._settings = settings
        self._keepalive_s = keepalive_s
        self._at_once = at_once
        self._connack: str | None = None
        self._refused = False
        self._lost = ""
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_r, selectors.EVENT_READ)
        self._sock: Any = None
        self._writing = False
        self.client = self._make_client(role)

    def _make_client(self, role: str) -> Client:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        five = self._settings.version == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id(role),
            clean_session=None if five else True,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        )
        client.connect_timeout = self._settings.timeout_s
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        return client

    def connect(self) -> None:
        """Connect (TCP, TLS) and log in, each within the time-out.

        Raises: LoginRefusedError; BrokerUnavailableError.
        """
        settings = self._settings
        try:
            self._load_secrets()
            self.client.connect(settings.host, settings.port, keepalive=self._keepalive_s)
        except (OSError, ValueError) as error:
            raise BrokerUnavailableError(f"no connection to {settings.broker}: {_reason(error)}") from error
        self._sock = self.client.socket()
        if self._at_once:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._sock, selectors.EVENT_READ)
        deadline = time.monotonic() + settings.timeout_s
        while self._connack is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise BrokerUnavailableError(
                    f"{settings.broker} does not answer the login within {settings.timeout_s:g} s"
                )
            try:
                self.serve(left_s)
            except BrokerUnavailableError:
                if self._connack is None:
                    raise
        if self._refused:
            raise self._refusal(self._connack)

    def _load_secrets(self) -> None:
        settings = self._settings
        if settings.username:
            self.client.username_pw_set(settings.username, settings.read_password())
        if settings.tls:
            self.client.tls_set_context(ssl.create_default_context(cafile=settings.ca_file or None))

    def _refusal(self, reason: str) -> BrokerUnavailableError:
        if reason not in _LOGIN_REASONS:
            return BrokerUnavailableError(f"{self._settings.broker} refused the connection: {reason}")
        user = self._settings.username
        what = f"the password of user {user!r}" if user else "a login without user"
        return LoginRefusedError(
            f"{self._settings.broker} refused {what}: {reason}",
            hint="check the MQTT user, its password and the broker's access list",
        )

    def serve(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` for the broker or for `wake`, read and write what is due, keep the session alive.

        Raises: BrokerUnavailableError: the connection is lost.
        """
        sock = self._sock
        pending = self._settings.tls and sock.pending() > 0
        for key, mask in self._selector.select(0 if pending else timeout_s):
            if key.fileobj is self._wake_r:
                self._drain_wakes()
            elif mask & selectors.EVENT_READ:
                pending = True
        if pending:
            self.client.loop_read()
        if self.client.want_write():
            self.client.loop_write()
        self.client.loop_misc()
        if self.client.socket() is None:
            raise BrokerUnavailableError(f"connection to {self._settings.broker} lost: {self._lost or 'closed'}")
        self._watch_writes()

    def _watch_writes(self) -> None:
        """Ask for a wake-up by a writable socket only while something waits to be written."""
        writing = self.client.want_write()
        if writing != self._writing:
            self._writing = writing
            self._selector.modify(
                self._sock, selectors.EVENT_READ | selectors.EVENT_WRITE if writing else selectors.EVENT_READ
            )

    def wake(self) -> None:
        """End a waiting `serve` at once. Callable from any thread."""
        try:
            self._wake_w.send(b"\0")
        except (BlockingIOError, OSError):
            return  # full of wake-ups, or closed: either way nobody needs one more

    def _drain_wakes(self) -> None:
        try:
            while self._wake_r.recv(4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Say goodbye when possible and free everything; never raises."""
        try:
            self.client.on_message = None
            self.client.disconnect()
        except (OSError, ValueError):
            pass
        sock = self.client.socket()
        if sock is not None:
            sock.close()
        self._selector.close()
        self._wake_r.close()
        self._wake_w.close()

    def _on_connect(self, _client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refused = bool(reason.is_failure)
        self._connack = str(reason)

    def _on_disconnect(self, _client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._lost = str(reason)

    def on_message(self, callback: Callable[[MQTTMessage], None]) -> None:
        """Hand every message to `callback`, which must not raise."""
        self.client.on_message = lambda _client, _userdata, message: callback(message)


def _reason(error: Exception) -> str:
    """One line for people, without the numbers of the operating system."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error)[:256]
