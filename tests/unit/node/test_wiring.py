"""Which adapter serves which port."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesched.adapters.httpsink import HttpSink
from edgesched.adapters.logpublisher import LogPublisher
from edgesched.adapters.mqtt import MqttPublisher, MqttSource
from edgesched.adapters.scoreboard import MemoryScoreboard, RedisScoreboard
from edgesched.core.model import Site
from edgesched.errors import ConfigError
from edgesched.node import wiring
from edgesched.node.config import Config, load_config
from tests.unit.node.fakes import Answers, ManualClock, Notices

MQTT = ["--mqtt-uri", "mqtt://agent@127.0.0.1:1"]
CLOUD = ["--goalstream-url", "http://127.0.0.1:1/api/v1/goals/W1/stream"]


def config(*flags: str) -> Config:
    """Load a configuration from flags alone."""
    return load_config(flags)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ([], LogPublisher),
        (MQTT, MqttPublisher),
        (CLOUD, HttpSink),
        ([*MQTT, *CLOUD], MqttPublisher),
        ([*MQTT, "--events", "log"], LogPublisher),
        ([*MQTT, *CLOUD, "--events", "cloud"], HttpSink),
    ],
)
def test_events_go_where_they_are_read(flags: list[str], kind: type) -> None:
    """The first named of RabbitMQ, MQTT and cloud, unless the operator says otherwise."""
    assert type(wiring.publisher(config(*flags), Notices())) is kind


@pytest.mark.parametrize("where", ["mqtt", "cloud", "rabbitmq"])
def test_events_without_an_address_are_refused(where: str) -> None:
    """Events that could go nowhere are a mistake at the start, not a queue that fills."""
    with pytest.raises(ConfigError, match=r"is named \(add --"):
        wiring.publisher(config("--events", where), Notices())


def test_brokers_and_redis_are_off_unless_named() -> None:
    """No address, no connection."""
    assert wiring.measurements(config(), Answers(), ManualClock(), Notices()) is None
    assert (
        wiring.measurements(config("--rabbitmq-uri=r:1", "--no-rabbitmq"), Answers(), ManualClock(), Notices()) is None
    )
    assert type(wiring.scoreboard(config())) is MemoryScoreboard
    assert type(wiring.scoreboard(config("--scoreboard-uri", "redis:6379"))) is RedisScoreboard
    assert type(wiring.measurements(config(*MQTT), Answers(), ManualClock(), Notices())) is MqttSource


def test_mqtt_settings_carry_login_prefix_and_ca(tmp_path: Path) -> None:
    """What the operator set reaches the adapter; a password file is passed on, so that it may change."""
    password = tmp_path / "password"
    password.write_text("hunter2hunter2")
    flags = [*MQTT, "--mqtt-password-file", str(password), "--mqtt-ca", "/ca.pem", "--mqtt-version", "5"]
    settings = wiring.mqtt_settings(config(*flags, "--mqtt-topic-prefix", "waggle/W1", "--node", "W1"))
    assert (settings.username, settings.password, settings.password_file) == ("agent", "", str(password))
    assert (settings.tls, settings.ca_file, settings.version) == (True, "/ca.pem", "5")
    assert (settings.topic_prefix, settings.vsn) == ("waggle/W1/", "W1")


def test_the_planner_gets_what_the_operator_set() -> None:
    """Node, policy, position, admission and patience reach the planner."""
    settings = wiring.plan_settings(
        config("--node", "W1", "--policy", "gpuaware", "--site=1,2", "--admission-max-cpu=2", "--image-wait=2m"), "e1"
    )
    assert (settings.vsn, settings.epoch, settings.policy) == ("W1", "e1", "gpuaware")
    assert (settings.site, settings.admission.max_cpu, settings.image_wait_s) == (Site(1, 2), "2", 120.0)


class FakeSource:
    """A source that waits for the stop."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self.connected = True
        self.running = threading.Event()

    def subscribe(self, names: frozenset[str]) -> None:
        self.names = names

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        self.running.set()
        stop.wait()


def test_two_brokers_are_one_source() -> None:
    """Both are subscribed, both run, and one that is away shows."""
    one, two = FakeSource(), FakeSource()
    both = wiring.BothBrokers([one, two])
    both.subscribe(frozenset({"env.t"}))
    assert one.names == two.names == {"env.t"}
    stop = threading.Event()
    thread = threading.Thread(target=both.run, args=(stop, lambda: None))
    thread.start()
    assert one.running.wait(5)
    assert two.running.wait(5)
    assert both.connected
    two.connected = False
    assert not both.connected
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_what_is_not_named_is_not_imported() -> None:
    """Without brokers the agent does not carry their libraries."""
    code = (
        "import sys; from edgesched.node.config import load_config; from edgesched.node import main\n"
        "main.build(load_config(['--kube-server', 'http://127.0.0.1:1', '--http-listen', 'off']))\n"
        "loaded = {'paho', 'pika', 'aiohttp', 'sqlalchemy', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(repr(loaded) if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
