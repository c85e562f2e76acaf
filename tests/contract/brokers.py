"""What the broker tests share: real brokers as child processes, independent peers, waiting on a condition."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgesched.core.model import Measurement
from edgesched.core.plan.events import Measured
from edgesched.ports import MeasurementSource


def wait_until(condition: Callable[[], object], *, within_s: float = 10.0, what: str = "the condition") -> float:
    """Wait until `condition` is true; returns the seconds that it took, fails after `within_s`."""
    started = time.monotonic()
    pause = threading.Event()
    while not condition():
        assert time.monotonic() - started < within_s, f"{what} did not come true within {within_s:g} s"
        pause.wait(0.005)
    return time.monotonic() - started


class Notices:
    """Collects log lines as (event, fields)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The fields of all lines of one event."""
        return [fields for name, fields in self.lines if name == event]


class Ear:
    """Runs a source in a thread of its own and keeps what it emits.

    `cpu_s`: CPU time of that thread at its last beat.
    """

    def __init__(self, make: Callable[[Callable[[Any], None]], MeasurementSource]) -> None:
        self.heard: list[Measurement] = []
        self.beats = 0
        self.last_beat_s = 0.0
        self.cpu_s = 0.0
        self.escaped: BaseException | None = None
        self.source = make(self._emit)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _emit(self, event: Any) -> None:
        assert type(event) is Measured
        self.heard.append(event.measurement)

    def _beat(self) -> None:
        self.beats += 1
        self.last_beat_s = time.monotonic()
        self.cpu_s = time.thread_time()

    def _run(self) -> None:
        try:
            self.source.run(self._stop, self._beat)
        except BaseException as error:
            self.escaped = error
            raise

    def values(self, name: str) -> list[Any]:
        """The values heard of one name, in order."""
        return [measurement.value for measurement in self.heard if measurement.name == name]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        started = time.monotonic()
        self._thread.join(10)
        assert not self._thread.is_alive(), "the source does not stop"
        assert time.monotonic() - started < 8
        assert self.escaped is None


class Peer:
    """A paho client with paho's own thread: somebody else on the bus, sharing no code with our adapter."""

    def __init__(self, host: str, port: int, *, username: str = "", password: str = "", ca_file: str = "") -> None:
        self.got: list[tuple[str, bytes]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _userdata, message: self.got.append((message.topic, message.payload))
        self._subscribed: set[int | None] = set()
        self._client.on_subscribe = lambda _client, _userdata, mid, _codes, _properties: self._subscribed.add(mid)
        if username:
            self._client.username_pw_set(username, password)
        if ca_file:
            self._client.tls_set(ca_file)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(host, port)
        self._client.loop_start()
        wait_until(self._client.is_connected)

    def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's confirmation."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def flood(self, topic: str, payloads: list[bytes]) -> None:
        """Publish many with QoS 1, wait for the last confirmation."""
        infos = [self._client.publish(topic, payload, qos=1) for payload in payloads]
        for info in infos:
            info.wait_for_publish(30)

    def is_connected(self) -> bool:
        """Tell whether the session is up."""
        return self._client.is_connected()

    def subscribe(self, topic: str, *, qos: int = 1) -> None:
        """Subscribe and wait until the broker has confirmed."""
        _, mid = self._client.subscribe(topic, qos=qos)
        wait_until(lambda: mid in self._subscribed)

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()
