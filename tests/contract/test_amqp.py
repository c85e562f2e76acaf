"""Measurements and scheduler events over AMQP, on a real RabbitMQ with the exchanges and users of a Waggle node."""

from __future__ import annotations

import json
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest

from edgesched.adapters.amqp import AmqpPublisher, AmqpSettings, AmqpSource
from edgesched.adapters.backoff import Backoff
from edgesched.adapters.clock import SystemClock
from edgesched.adapters.mqtt import MqttPublisher, MqttSettings, MqttSource
from edgesched.core.model import Measurement, Message
from edgesched.errors import BrokerUnavailableError
from tests.contract.brokers import Ear, Notices, wait_until
from tests.contract.rabbit import RabbitMQ

pytestmark = pytest.mark.rabbitmq

TEMPERATURE = "env.temperature"


class Bus:
    """A pika client of the blocking kind: somebody else on the bus, sharing no code with our adapter."""

    def __init__(self, node: RabbitMQ, user: str = "plugin") -> None:
        login = pika.PlainCredentials(user, user)
        self._connection = pika.BlockingConnection(pika.ConnectionParameters(node.host, node.port, "/", login))
        self.channel = self._connection.channel()

    def publish(self, name: str, body: str | bytes, exchange: str = "data.topic") -> None:
        """Publish a validated measurement."""
        self.channel.basic_publish(exchange, name, body.encode() if isinstance(body, str) else body)

    def queue(self, exchange: str, key: str = "#") -> str:
        """A queue that gets what the exchange gets from now on."""
        name = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.queue_bind(name, exchange, key)
        return str(name)

    def take(self, queue: str, count: int) -> list[tuple[Any, Any, bytes]]:
        """The next `count` messages of a queue."""
        got: list[tuple[Any, Any, bytes]] = []

        def more() -> bool:
            while (message := self.channel.basic_get(queue, auto_ack=True))[0] is not None:
                got.append(message)
            return len(got) >= count

        wait_until(more, what=f"{count} messages")
        return got

    def close(self) -> None:
        """Leave."""
        if self._connection.is_open:
            self._connection.close()


@pytest.fixture
def bus(rabbitmq: RabbitMQ) -> Iterator[Bus]:
    """An independent client with the rights of a plugin."""
    one = Bus(rabbitmq)
    yield one
    one.close()


@pytest.fixture
def publisher(rabbitmq: RabbitMQ, notices: Notices) -> Iterator[Callable[..., AmqpPublisher]]:
    """Makes publishers with short waits and closes them with the test."""
    made: list[AmqpPublisher] = []

    def make(**settings: Any) -> AmqpPublisher:
        made.append(AmqpPublisher(settings_for(rabbitmq, **settings), notices))
        return made[-1]

    yield make
    for one in made:
        one.close()


def settings_for(node: RabbitMQ, **more: Any) -> AmqpSettings:
    """Settings with short waits."""
    return AmqpSettings(**{"host": node.host, "port": node.port, "vsn": "W023", "timeout_s": 2.0} | more)


def listen(node: RabbitMQ, notices: Notices, *names: str, **settings: Any) -> Ear:
    """An ear on the node, with short waits."""

    def make(emit: Callable[[Any], None]) -> AmqpSource:
        backoff = Backoff(first_s=0.1, cap_s=0.5, rng=random.Random(1))
        source = AmqpSource(
            settings_for(node, **settings), emit, SystemClock(), notices, backoff=backoff, login_retry_s=0.5
        )
        source.subscribe(frozenset(names))
        return source

    return Ear(make)


def heard_at_all(ear: Ear, bus: Bus, name: str) -> None:
    """Wait until a value of `name` is heard, then forget what was heard."""
    pause = threading.Event()
    wait_until(lambda: bus.publish(name, "-1") or pause.wait(0.02) or -1 in ear.values(name), what=f"a value of {name}")
    bus.publish(name, "-2")
    wait_until(lambda: -2 in ear.values(name))
    ear.heard.clear()


def event(n: int) -> Message:
    """The `n`th scheduler event."""
    return Message("sys.scheduler.status.plugin.queued", n, {"n": n}, message_id=f"m-{n}", as_text=True)


# --- source ----------------------------------------------------------------------------------------------------------


def test_measurements_of_wanted_names_are_heard(rabbitmq: RabbitMQ, bus: Bus, notices: Notices) -> None:
    """Validated messages arrive; other names, wildcards and payloads of another name do not; names change live."""
    with listen(rabbitmq, notices, TEMPERATURE, "#", "env.*") as ear:
        heard_at_all(ear, bus, TEMPERATURE)
        wire = '{"name":"env.temperature","ts":1795345203275067310,"meta":{"vsn":"W001","node":"01"},"val":21.5}'
        bus.publish(TEMPERATURE, wire)
        bus.publish("env.pressure", "1")
        bus.publish(TEMPERATURE, wire.replace("temperature", "pressure"))
        bus.publish(TEMPERATURE, "5")
        wait_until(lambda: len(ear.heard) == 2)
        assert ear.heard[0] == Measurement(TEMPERATURE, 1795345203275067310, 21.5, {"vsn": "W001", "node": "01"})
        assert ear.values(TEMPERATURE) == [21.5, 5]
        ear.source.subscribe(frozenset({"env.pressure"}))
        started = time.monotonic()
        heard_at_all(ear, bus, "env.pressure")
        assert time.monotonic() - started < 0.4, "it waited for the next round instead of being woken"
        bus.publish(TEMPERATURE, "6")
        bus.publish("env.pressure", "7")
        wait_until(lambda: ear.values("env.pressure") == [7])
        assert ear.values(TEMPERATURE) == []
        assert isinstance(ear.source, AmqpSource)
        assert ear.source.counters["rejected.name"] == 1
        assert ear.source.counters["connected"] == 1
    assert {line["name"] for line in notices.of("amqp.name_refused")} == {"#", "env.*"}


@pytest.mark.parametrize(
    ("settings", "event", "part"),
    [
        ({"password": "sesame"}, "amqp.login_refused", "refused the password of user 'service'"),
        ({"measurements": "absent"}, "amqp.lost", "no exchange 'absent'"),
        ({"vhost": "absent"}, "amqp.unreachable", "vhost absent not found"),
        ({"port": 9}, "amqp.unreachable", "refused"),
        ({"password_file": "/absent/secret"}, "amqp.unreachable", "No such file"),
        ({"tls": True}, "amqp.unreachable", "no connection"),
    ],
)
def test_what_is_wrong_is_one_line(
    rabbitmq: RabbitMQ, notices: Notices, settings: dict[str, Any], event: str, part: str
) -> None:
    """Each way not to get measurements is told in one clear line with the next try, and tried again."""
    with listen(rabbitmq, notices, TEMPERATURE, **settings):
        wait_until(lambda: len(notices.of(event)) >= 2)
    line = notices.of(event)[0]
    assert part in line["reason"]
    assert "\n" not in line["reason"]
    assert line["retry_in_s"] > 0
    assert "sesame" not in str(notices.lines)


def test_exchange_that_appears_later_is_bound(rabbitmq: RabbitMQ, bus: Bus, notices: Notices) -> None:
    """On a fresh node the validator declares the exchanges later: the source heals by itself."""
    with listen(rabbitmq, notices, TEMPERATURE, measurements="late.topic") as ear:
        wait_until(lambda: notices.of("amqp.lost"))
        assert "validator" in notices.of("amqp.lost")[0]["hint"]
        bus.channel.exchange_declare("late.topic", "topic", auto_delete=True)
        pause = threading.Event()
        wait_until(lambda: bus.publish(TEMPERATURE, "1", "late.topic") or pause.wait(0.05) or ear.heard)


def test_idle_source_sleeps_and_stops_quickly(rabbitmq: RabbitMQ, notices: Notices) -> None:
    """Without messages the thread sleeps, its heartbeat goes on, and it ends in a moment."""
    with listen(rabbitmq, notices, TEMPERATURE) as ear:
        wait_until(lambda: notices.of("amqp.connected"))
        beats, cpu_s = ear.beats, ear.cpu_s
        assert wait_until(lambda: ear.beats >= beats + 3) > 0.5, "it spins"
        assert ear.cpu_s - cpu_s < 0.1


def test_nothing_of_a_burst_is_lost(rabbitmq: RabbitMQ, bus: Bus, notices: Notices) -> None:
    """5,000 messages arrive in order."""
    with listen(rabbitmq, notices, TEMPERATURE) as ear:
        heard_at_all(ear, bus, TEMPERATURE)
        for n in range(5000):
            bus.publish(TEMPERATURE, json.dumps({"name": TEMPERATURE, "ts": n, "val": n, "meta": {"vsn": "W1"}}))
        wait_until(lambda: len(ear.heard) == 5000)
        assert [m.ts_ns for m in ear.heard] == list(range(5000))


# --- publisher -------------------------------------------------------------------------------------------------------


def test_events_have_the_shape_that_the_validator_takes(
    rabbitmq: RabbitMQ, bus: Bus, publisher: Callable[..., AmqpPublisher]
) -> None:
    """Exchange, routing key, properties and body are those of the reference; the id is a property."""
    queue = bus.queue("to-validator")
    ours = publisher(app_id="0aa-bb")
    ours.publish([Message("sys.scheduler.plugin.lastexecution", 7, "p", scope="node"), event(1)])
    assert ours.counters["confirmed"] == 2
    (first, first_properties, first_body), (second, second_properties, second_body) = bus.take(queue, 2)
    assert (first.exchange, first.routing_key, second.routing_key) == ("to-validator", "node", "all")
    assert first_body == b'{"name":"sys.scheduler.plugin.lastexecution","ts":7,"meta":{},"val":"p"}'
    assert json.loads(second_body)["val"] == '{"n":1}'
    for properties in (first_properties, second_properties):
        assert (properties.delivery_mode, properties.user_id, properties.app_id) == (2, "service", "0aa-bb")
        assert properties.content_type is None
    assert (first_properties.message_id, second_properties.message_id) == (None, "m-1")


def test_events_arrive_in_order(rabbitmq: RabbitMQ, bus: Bus, publisher: Callable[..., AmqpPublisher]) -> None:
    """Lists of any length arrive whole and in order over one connection."""
    queue = bus.queue("to-validator")
    ours = publisher()
    for start in (0, 1, 2, 500):
        ours.publish([event(n) for n in range(start, 1 + start if start < 2 else 500 if start == 2 else 1000)])
    got = [json.loads(json.loads(body)["val"])["n"] for _, _, body in bus.take(queue, 1000)]
    assert got == list(range(1000))


def test_missing_exchange_is_said_and_heals(
    rabbitmq: RabbitMQ, bus: Bus, publisher: Callable[..., AmqpPublisher]
) -> None:
    """Before the validator has run there is no exchange: the events are kept by the caller and go through later."""
    ours = publisher(events="late.fanout")
    with pytest.raises(BrokerUnavailableError, match=r"no exchange 'late.fanout'.*validator"):
        ours.publish([event(0)])
    bus.channel.exchange_declare("late.fanout", "fanout")
    queue = bus.queue("late.fanout")
    ours.publish([event(0)])
    assert len(bus.take(queue, 1)) == 1
    bus.channel.exchange_delete("late.fanout")


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"password": "sesame"}, "refused the password of user 'service'"),
        ({"port": 9}, "no connection to 127.0.0.1:9"),
    ],
)
def test_no_login_is_said(publisher: Callable[..., AmqpPublisher], settings: dict[str, Any], part: str) -> None:
    """A refused or absent connection raises with its reason."""
    with pytest.raises(BrokerUnavailableError, match=part) as caught:
        publisher(**settings).publish([event(0)])
    assert "sesame" not in str(caught.value)


def test_silent_peer_is_given_up_in_time(rabbitmq: RabbitMQ, publisher: Callable[..., AmqpPublisher]) -> None:
    """A peer that accepts and says nothing costs a bounded time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(BrokerUnavailableError):
            publisher(port=silent.getsockname()[1], timeout_s=0.5).publish([event(0)])
        assert time.monotonic() - started < 3


def test_impossible_message_does_not_block_the_others(
    rabbitmq: RabbitMQ, bus: Bus, publisher: Callable[..., AmqpPublisher], notices: Notices
) -> None:
    """A value that JSON cannot say is logged and left out."""
    queue = bus.queue("to-validator")
    publisher().publish([Message("a", 1, float("nan")), event(3)])
    assert len(bus.take(queue, 1)) == 1
    assert notices.of("amqp.event_dropped")[0]["name"] == "a"


# --- MQTT on RabbitMQ ------------------------------------------------------------------------------------------------


def test_mqtt_source_hears_the_bus_through_rabbitmq(rabbitmq: RabbitMQ, bus: Bus, notices: Notices) -> None:
    """With `data.topic` bound to `amq.topic`, an MQTT 3.1.1 client gets the same measurements on their topics."""

    def make(emit: Callable[[Any], None]) -> MqttSource:
        source = MqttSource(MqttSettings(rabbitmq.host, rabbitmq.mqtt_port, vsn="W023"), emit, SystemClock(), notices)
        source.subscribe(frozenset({TEMPERATURE}))
        return source

    with Ear(make) as ear:
        heard_at_all(ear, bus, TEMPERATURE)
        bus.publish(TEMPERATURE, '{"name":"env.temperature","ts":7,"meta":{"vsn":"W001"},"val":21.5}')
        wait_until(lambda: ear.heard == [Measurement(TEMPERATURE, 7, 21.5, {"vsn": "W001"})])
    wrong = MqttPublisher(MqttSettings(rabbitmq.host, rabbitmq.mqtt_port, username="service", password="no"), notices)
    with pytest.raises(BrokerUnavailableError, match="refused the password of user 'service'"):
        wrong.publish([event(0)])


# --- outages: last, because they cost a restart of the session's node ------------------------------------------------


def test_frozen_and_killed_node_heals(
    rabbitmq: RabbitMQ, notices: Notices, publisher: Callable[..., AmqpPublisher]
) -> None:
    """RabbitMQ frozen, then killed and started again: noticed, no busy loop, bound again, events confirmed again."""
    ours = publisher(timeout_s=1.0)
    ours.publish([event(0)])
    with listen(rabbitmq, notices, TEMPERATURE, heartbeat_s=1, timeout_s=1.0) as ear:
        wait_until(lambda: notices.of("amqp.connected"))
        rabbitmq.signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match="did not confirm 1 of 1"):
            ours.publish([event(1)])
        assert time.monotonic() - started < 4
        noticed_s = wait_until(lambda: notices.of("amqp.lost"), within_s=15)
        rabbitmq.signal(signal.SIGCONT)
        healed_s = wait_until(lambda: len(notices.of("amqp.connected")) == 2)
        ours.publish([event(1)])
        print(f"frozen: lost after {noticed_s:.1f} s, healed after {healed_s:.1f} s")

        rabbitmq.kill()
        wait_until(lambda: len(notices.of("amqp.lost")) == 2)
        cpu_s, outage_started = ear.cpu_s, time.monotonic()
        with pytest.raises(BrokerUnavailableError):
            ours.publish([event(2)])
        rabbitmq.start()
        wait_until(lambda: len(notices.of("amqp.connected")) == 3, within_s=20)
        outage_s = time.monotonic() - outage_started
        print(f"killed: {ear.cpu_s - cpu_s:.3f} CPU s in {outage_s:.1f} s of outage")
        assert ear.cpu_s - cpu_s < 0.1 * outage_s
        ours.publish([event(2)])
        again = Bus(rabbitmq)
        heard_at_all(ear, again, TEMPERATURE)
        again.close()
