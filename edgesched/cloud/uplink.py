"""The uplink of `standalone`: what plugins publish on a node's broker is stored for the data query.

In the field the messages of scope `all` and `beehive` leave the node through RabbitMQ. An MQTT broker knows no
scopes, so everything on it is taken but what is known to stay on a node. Scheduler events arrive here and over HTTP;
their ids make one of the two. Messages wait in a bounded buffer while the database is away, the oldest go first.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from edgesched.adapters.backoff import Backoff, wait
from edgesched.adapters.mqtt.link import Link
from edgesched.adapters.mqtt.settings import MqttSettings
from edgesched.cloud.api_nodes import take_messages
from edgesched.cloud.config import CloudConfig
from edgesched.cloud.parts import Parts
from edgesched.cloud.records import Heard, read_message
from edgesched.core.messages import MAX_PAYLOAD_BYTES, name_of
from edgesched.errors import BrokerUnavailableError, TransientError

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

log = logging.getLogger("edgesched.cloud.uplink")

STAYS_ON_NODE: Final = frozenset({"sys.scheduler.plugin.lastexecution"})
WAITING: Final = 20_000
BATCH: Final = 1000
FLUSH_S: Final = 0.3
STORE_TIMEOUT_S: Final = 30


class Uplink:
    """Subscribes to everything on a broker, on a thread of its own."""

    def __init__(self, config: CloudConfig, parts: Parts) -> None:
        self._settings = MqttSettings.from_url(
            config.uplink, vsn=config.uplink_vsn, password=config.uplink_password, keepalive_s=10
        )
        self._vsn = config.uplink_vsn
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Heard] = deque(maxlen=WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    async def close(self) -> None:
        """Stop listening and store what waits."""
        self._stop.set()
        await self._loop.run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        pause = Backoff(first_s=0.2, cap_s=10)
        while not self._stop.is_set():
            began_s = time.monotonic()
            try:
                self._listen()
            except BrokerUnavailableError as error:
                log.warning("uplink.unavailable reason=%s", error.message)
            wait(pause.after(time.monotonic() - began_s), self._stop, _nothing)
        self._flush()

    def _listen(self) -> None:
        link = Link(self._settings, "uplink", keepalive_s=self._settings.keepalive_s)
        try:
            link.on_message(self._take)
            link.connect()
            link.client.subscribe(f"{self._settings.topic_prefix}#", qos=1)
            log.info("uplink.connected broker=%s vsn=%s", self._settings.broker, self._vsn)
            while not self._stop.is_set():
                link.serve(FLUSH_S)
                self._flush()
        finally:
            link.close()

    def _take(self, message: MQTTMessage) -> None:
        """Keep a message; called by paho, never raises."""
        name = name_of(message.topic.removeprefix(self._settings.topic_prefix))
        if name in STAYS_ON_NODE or len(message.payload) > MAX_PAYLOAD_BYTES:
            return
        heard = read_message(_wire_object(name, bytes(message.payload), self._parts.now_ns()), self._vsn, 0)
        if isinstance(heard, Heard):
            self._waiting.append(heard)

    def _flush(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            storing = asyncio.run_coroutine_threadsafe(take_messages(self._parts, self._vsn, batch), self._loop)
            try:
                storing.result(STORE_TIMEOUT_S)
            except (TransientError, concurrent.futures.TimeoutError, concurrent.futures.CancelledError) as error:
                log.warning("uplink.not-stored messages=%d reason=%s", len(batch), error)
                self._waiting.extendleft(reversed(batch[-(WAITING - len(self._waiting)) :]))
                return


def _wire_object(name: str, payload: bytes, received_ns: int) -> dict[str, Any]:
    """Return a payload as a wire object; a bare value has the time of its receipt."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        value = payload.decode("utf-8", "replace")
    if not isinstance(value, dict):
        return {"name": name, "ts": received_ns, "val": value}
    wire = {"ts": received_ns, **value}
    return wire if wire.get("name", name) == name else {}


def _nothing() -> None:
    """Nobody watches this thread's beat."""
