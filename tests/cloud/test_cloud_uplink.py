"""The uplink: what is published on a node's broker, stored for the data query."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import paho.mqtt.client as mqtt
import pytest

from edgesched.adapters.broker import EmbeddedBroker
from tests.cloud.api import Api, Cloud
from tests.waiting import wait_until

T0 = 1_790_000_000_000_000_000


class Publisher:
    """A plugin that speaks MQTT."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def __call__(self, topic: str, payload: bytes | str) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker that a test may restart."""
    started = EmbeddedBroker()
    started.start()
    yield started
    started.stop()


@pytest.fixture
def uplinked(start_cloud: Callable[..., Cloud], broker: EmbeddedBroker) -> Cloud:
    """A cloud that listens to the broker of W023."""
    cloud = start_cloud(uplink=f"mqtt://{broker.host}:{broker.port}", uplink_vsn="W023")
    wait_until(lambda: heard(cloud, broker))
    return cloud


def heard(cloud: Cloud, broker: EmbeddedBroker) -> bool:
    """Whether the subscription stands: a message of ours is found."""
    publisher = Publisher(broker)
    publisher("test/begin", "1")
    publisher.close()
    return bool(names(cloud.anybody, "test.begin"))


def names(api: Api, name: str = "plugin.*") -> list[str]:
    """The names of the stored messages."""
    return [record["name"] for record in api.query(start="1970-01-01T00:00:00Z", filter={"name": name})]


def test_what_plugins_publish_is_found(uplinked: Cloud, broker: EmbeddedBroker) -> None:
    """Wire objects keep their time and meta, bare values get theirs; the node is that of the broker."""
    publish = Publisher(broker)
    upload = {"name": "upload", "ts": T0, "val": "https://x/a.jpg", "meta": {"filename": "a.jpg", "vsn": "W999"}}
    publish("upload", json.dumps(upload))
    publish("plugin/bare", "21.5")
    publish("plugin/text", b"caf\xc3\xa9 \xff")
    wait_until(lambda: len(names(uplinked.anybody)) == 2)
    (found,) = uplinked.anybody.query(start="2000-01-01T00:00:00Z", filter={"name": "upload"})
    assert found == {
        "timestamp": "2026-09-21T14:13:20.000000000Z",
        "name": "upload",
        "value": "https://x/a.jpg",
        "meta": {"filename": "a.jpg", "vsn": "W023"},
    }
    (bare,) = uplinked.anybody.query(start="-1m", filter={"name": "plugin.bare"})
    assert (bare["value"], bare["meta"]) == (21.5, {"vsn": "W023"})
    publish.close()


def test_what_is_none_of_its_business_is_left(uplinked: Cloud, broker: EmbeddedBroker) -> None:
    """What stays on a node, another name in the payload, too large, no name: dropped, and the next one comes."""
    publish = Publisher(broker)
    publish(
        "sys/scheduler/plugin/lastexecution", json.dumps({"name": "sys.scheduler.plugin.lastexecution", "val": "p"})
    )
    publish("plugin/a", json.dumps({"name": "plugin.b", "ts": 1, "val": 1}))
    publish("plugin/large", b"x" * 2_000_000)
    publish("plugin/%20", "1")
    publish("plugin/deep", "[" * 100_000)
    publish("plugin/nan", json.dumps({"name": "plugin.nan", "ts": "x", "val": 1}))
    publish("plugin/last", "1")
    wait_until(lambda: "plugin.last" in names(uplinked.anybody))
    assert set(names(uplinked.anybody)) <= {"plugin.last", "plugin.deep"}
    assert names(uplinked.anybody, "sys.*") == []
    assert not any("Traceback" in line for line in uplinked.lines)
    publish.close()


def test_the_same_event_over_both_ways_is_one_record(uplinked: Cloud, broker: EmbeddedBroker) -> None:
    """The agent posts it and publishes it; its id makes one of the two."""
    message = {"id": "m-1", "name": "plugin.x", "ts": T0, "val": 1, "meta": {}, "scope": "all"}
    uplinked.node("W023").report("W023", message)
    publish = Publisher(broker)
    publish("plugin/x", json.dumps(message))
    publish("plugin/y", "1")
    wait_until(lambda: "plugin.y" in names(uplinked.anybody))
    assert names(uplinked.anybody) == ["plugin.x", "plugin.y"]
    publish.close()


def test_a_broker_that_was_away_is_heard_again(uplinked: Cloud, broker: EmbeddedBroker) -> None:
    """The cloud serves meanwhile and says so once in its log."""
    port = broker.port
    broker.stop()
    wait_until(lambda: any("uplink.unavailable" in line for line in uplinked.lines), 30)
    assert uplinked.user("u", "W023").create()
    again = EmbeddedBroker(port=port)
    again.start()
    try:
        wait_until(lambda: heard_after(uplinked, again), 40)
    finally:
        again.stop()


def heard_after(cloud: Cloud, broker: EmbeddedBroker) -> bool:
    """Whether something that is published now is found."""
    publisher = Publisher(broker)
    publisher("plugin/after", "1")
    publisher.close()
    return "plugin.after" in names(cloud.anybody)
