"""Scheduler events over MQTT to a real Mosquitto: confirmed, in order, and honest when the broker is away."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesched.adapters.broker import EmbeddedBroker
from edgesched.adapters.mqtt import MqttPublisher, MqttSettings
from edgesched.core.model import Message
from edgesched.errors import BrokerUnavailableError
from tests.contract.brokers import Notices, Peer, wait_until

Start = Callable[..., EmbeddedBroker]
Connect = Callable[..., Peer]
Make = Callable[..., MqttPublisher]

VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5"])


@pytest.fixture
def publisher(notices: Notices) -> Iterator[Make]:
    """Makes publishers with short waits and closes them with the test."""
    made: list[MqttPublisher] = []

    def make(broker: EmbeddedBroker, **settings: Any) -> MqttPublisher:
        chosen = {"host": broker.host, "port": broker.port, "vsn": "W023", "timeout_s": 1.0} | settings
        made.append(MqttPublisher(MqttSettings(**chosen), notices))
        return made[-1]

    yield make
    for one in made:
        one.close()


def event(n: int) -> Message:
    """The `n`th scheduler event."""
    return Message("sys.scheduler.status.plugin.queued", n, {"n": n}, message_id=f"m-{n}", as_text=True)


def numbers(reader: Peer) -> list[int]:
    """The numbers of the events that a reader got, in order."""
    return [json.loads(json.loads(payload)["val"])["n"] for _, payload in reader.got]


@VERSIONS
def test_events_arrive_confirmed_and_in_order(mosquitto: Start, peer: Connect, publisher: Make, version: str) -> None:
    """When `publish` returns, the broker has every message, as Waggle JSON with its id, in order."""
    broker = mosquitto()
    reader = peer(broker)
    reader.subscribe("#")
    ours = publisher(broker, version=version, prefix="waggle/W023/")
    ours.publish([event(n) for n in range(500)])
    assert ours.counters["confirmed"] == 500
    ours.publish([Message("env.event.rain", 7, 1, {"zone": "core"})])
    wait_until(lambda: len(reader.got) == 501)
    topic, payload = reader.got[0]
    assert topic == "waggle/W023/sys/scheduler/status/plugin/queued"
    assert json.loads(payload) == {
        "name": "sys.scheduler.status.plugin.queued", "ts": 0, "meta": {}, "val": '{"n":0}', "id": "m-0",
    }  # fmt: skip
    assert reader.got[500] == (
        "waggle/W023/env/event/rain",
        b'{"name":"env.event.rain","ts":7,"meta":{"zone":"core"},"val":1}',
    )
    assert numbers_of_first(reader, 500) == list(range(500))


def numbers_of_first(reader: Peer, count: int) -> list[int]:
    """The numbers of the first `count` events."""
    return [json.loads(json.loads(payload)["val"])["n"] for _, payload in reader.got[:count]]


def test_nothing_to_send_needs_no_broker(publisher: Make) -> None:
    """An empty list returns at once, broker or not."""
    publisher(EmbeddedBroker(port=9)).publish([])


@VERSIONS
def test_absent_broker_is_said_and_the_next_try_connects(
    mosquitto: Start, peer: Connect, publisher: Make, version: str
) -> None:
    """A refused connection raises; once the broker is there, the same list goes through."""
    first = mosquitto()
    first.stop()
    ours = publisher(first, version=version)
    with pytest.raises(BrokerUnavailableError, match=f"no connection to 127.0.0.1:{first.port}: Connection refused"):
        ours.publish([event(0)])
    reader = peer(mosquitto(port=first.port))
    reader.subscribe("#")
    ours.publish([event(0)])
    wait_until(lambda: numbers(reader) == [0])


@VERSIONS
def test_broker_that_restarted_meanwhile_costs_no_error(
    mosquitto: Start, peer: Connect, publisher: Make, version: str
) -> None:
    """A connection that died while idle is replaced inside the next `publish`."""
    broker = mosquitto()
    ours = publisher(broker, version=version)
    ours.publish([event(0)])
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    reader = peer(mosquitto(port=broker.port))
    reader.subscribe("#")
    ours.publish([event(1)])
    wait_until(lambda: numbers(reader) == [1])


@VERSIONS
def test_silent_broker_is_given_up_in_time(mosquitto: Start, peer: Connect, publisher: Make, version: str) -> None:
    """Without confirmations `publish` raises after its time-out; the repeated list arrives as a whole and in order."""
    broker = mosquitto()
    reader = peer(broker)
    reader.subscribe("#")
    ours = publisher(broker, version=version)
    ours.publish([event(0)])
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match="did not confirm 3 of 3"):
            ours.publish([event(1), event(2), event(3)])
        assert 0.9 < time.monotonic() - started < 3
        with pytest.raises(BrokerUnavailableError, match="does not answer the login"):
            ours.publish([event(1), event(2), event(3)])
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    ours.publish([event(1), event(2), event(3)])
    wait_until(lambda: numbers(reader)[-3:] == [1, 2, 3])
    assert without_repeats(reader) == [0, 1, 2, 3]


def without_repeats(reader: Peer) -> list[int]:
    """The numbers of the events, repeats dropped by id, as a reader is meant to do."""
    seen = {json.loads(payload)["id"]: json.loads(json.loads(payload)["val"])["n"] for _, payload in reader.got}
    return list(seen.values())


def test_confirmed_means_that_the_broker_had_it(mosquitto: Start, peer: Connect, publisher: Make) -> None:
    """Brokers are killed under a stream of events: every event that `publish` returned for was read, in order."""
    broker = mosquitto()
    ours = publisher(broker)
    confirmed, arrived = 0, []
    for _round in range(4):
        reader = peer(broker)
        reader.subscribe("#", qos=0)
        killer = threading.Timer(0.15, os.kill, (broker.pid, signal.SIGKILL))
        killer.start()
        while publishes(ours, [event(n) for n in range(confirmed, confirmed + 20)]):
            confirmed += 20
        killer.join()
        wait_until(lambda reader=reader: not reader.is_connected())
        arrived += without_repeats(reader)
        reader.close()
        broker.stop()
        broker = mosquitto(port=broker.port)
    print(f"{confirmed} confirmed over 4 kills")
    assert confirmed >= 20
    assert list(dict.fromkeys(arrived))[:confirmed] == list(range(confirmed))


def publishes(ours: MqttPublisher, events: list[Message]) -> bool:
    """Tell whether the list was confirmed."""
    try:
        ours.publish(events)
    except BrokerUnavailableError:
        return False
    return True


@VERSIONS
def test_refused_password_is_said(mosquitto: Start, publisher: Make, tmp_path: Path, version: str) -> None:
    """A publisher whose login is refused says that, not `connection lost`."""
    (tmp_path / "empty").write_text("")
    broker = mosquitto("allow_anonymous false", f"password_file {tmp_path}/empty")
    ours = publisher(broker, version=version, username="agent", password="sesame")
    with pytest.raises(BrokerUnavailableError, match="refused the password of user 'agent'") as caught:
        ours.publish([event(0)])
    assert caught.value.code == "broker.login"
    assert "sesame" not in str(caught.value)


def test_denied_topic_is_not_taken_for_sent(mosquitto: Start, publisher: Make, tmp_path: Path) -> None:
    """With MQTT 5 the broker says that its access list denies a topic: the event is kept by the caller."""
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n")
    ours = publisher(mosquitto(f"acl_file {rules}"), version="5")
    with pytest.raises(BrokerUnavailableError, match=r"refused an event: sys/scheduler/.*: Not authorized"):
        ours.publish([event(0)])


def test_impossible_messages_do_not_block_the_others(
    mosquitto: Start, peer: Connect, publisher: Make, notices: Notices
) -> None:
    """A name with a wildcard or a value that JSON cannot say is logged and left out; the rest arrives."""
    broker = mosquitto()
    reader = peer(broker)
    reader.subscribe("#")
    ours = publisher(broker)
    ours.publish([Message("env/#", 1, 1), event(0), Message("a.b", 1, float("nan")), Message("$SYS.x", 1, 1), event(1)])
    wait_until(lambda: numbers(reader) == [0, 1])
    assert [line["name"] for line in notices.of("mqtt.event_dropped")] == ["env/#", "a.b", "$SYS.x"]
    assert ours.counters["dropped.name"] == 2
    assert ours.counters["dropped.value"] == 1
