"""Addresses of brokers, back-off and clocks: what is understood, what is refused in one line, what is never shown."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgesched.adapters.amqp import AmqpSettings
from edgesched.adapters.backoff import Backoff, wait
from edgesched.adapters.clock import SystemClock, boot_id, clock_trusted, kernel_synchronised
from edgesched.adapters.mqtt import MqttSettings
from edgesched.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("127.0.0.1:1883", MqttSettings("127.0.0.1", 1883)),
        ("broker", MqttSettings("broker", 1883)),
        ("mqtt://broker", MqttSettings("broker", 1883)),
        ("mqtts://broker", MqttSettings("broker", 8883, tls=True)),
        ("mqtt://us%40er:p%3Aw@broker:1/", MqttSettings("broker", 1, username="us@er", password="p:w")),
        ("mqtt://broker/waggle/W023/", MqttSettings("broker", prefix="waggle/W023")),
        ("mqtt://[::1]:1884", MqttSettings("::1", 1884)),
    ],
)
def test_mqtt_addresses(url: str, expected: MqttSettings) -> None:
    """All usual spellings of a broker's address."""
    assert MqttSettings.from_url(url) == expected


def test_given_fields_win_over_the_address() -> None:
    """A password from a file or a prefix from the configuration is not overruled by the address."""
    settings = MqttSettings.from_url("mqtt://u:p@broker/x", password="q", prefix="y", vsn="W023", version="5")
    assert (settings.username, settings.password, settings.topic_prefix) == ("u", "q", "y/")
    assert settings.client_id("source") == "edgesched-W023-source"
    assert MqttSettings().client_id("source") == ""
    assert MqttSettings().topic_prefix == ""


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("http://broker", {}),
        ("mqtt://", {}),
        ("mqtt://broker:port", {}),
        ("mqtt://broker:99999", {}),
        ("mqtt://broker/a/#", {}),
        ("mqtt://broker/+", {}),
        ("mqtt://broker/$SYS", {}),
        ("broker", {"version": "4"}),
        ("broker", {"qos": 2}),
        ("broker", {"ca_file": "/ca.pem"}),
        ("mqtt://user:sesame@broker:port", {}),
    ],
)
def test_bad_mqtt_settings_are_one_line(url: str, more: dict[str, object]) -> None:
    """What cannot work is refused at start, without showing a password."""
    with pytest.raises(ConfigError, match=r"^mqtt: ") as caught:
        MqttSettings.from_url(url, **more)
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("wes-rabbitmq:5672", AmqpSettings("wes-rabbitmq", 5672)),
        ("amqp://wes-rabbitmq", AmqpSettings("wes-rabbitmq", 5672)),
        ("amqps://u:p%2F@host/", AmqpSettings("host", 5671, tls=True, username="u", password="p/")),
        ("amqp://host/waggle", AmqpSettings("host", vhost="waggle")),
        ("amqp://host/%2Fa", AmqpSettings("host", vhost="/a")),
    ],
)
def test_rabbitmq_addresses(url: str, expected: AmqpSettings) -> None:
    """The reference's `host:port` and AMQP URLs; without a login it is a node's service account."""
    assert AmqpSettings.from_url(url) == expected
    assert AmqpSettings().username == "service"


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("mqtt://host", {}),
        ("amqp://", {}),
        ("amqp://host/v?heartbeat=5", {}),
        ("amqp://u:sesame@host:port", {}),
        ("host:70000", {}),
        ("host", {"username": ""}),
        ("host", {"ca_file": "/ca.pem"}),
    ],
)
def test_bad_rabbitmq_settings_are_one_line(url: str, more: dict[str, object]) -> None:
    """What cannot work is refused at start, without showing a password."""
    with pytest.raises(ConfigError, match=r"^rabbitmq: ") as caught:
        AmqpSettings.from_url(url, **more)
    assert "sesame" not in str(caught.value)


def test_passwords_do_not_show_in_a_log_of_settings() -> None:
    """The representation of settings can be logged."""
    for settings in (MqttSettings(username="u", password="sesame"), AmqpSettings(password="sesame")):
        assert "sesame" not in repr(settings)


def test_missing_pika_says_what_to_install() -> None:
    """Without the extra, AMQP is refused at start by the name of what is missing."""
    code = "import sys; sys.modules['pika'] = None; from edgesched.adapters.amqp import AmqpSettings; AmqpSettings()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pika is missing (pip install 'edgesched[amqp]')" in done.stderr


def test_brokers_are_imported_late() -> None:
    """An agent that uses neither pays for neither."""
    code = (
        "import sys; import edgesched.adapters.mqtt, edgesched.adapters.amqp, edgesched.adapters.scoreboard\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'paho', 'pika', 'amqtt', 'redis'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- waiting ---------------------------------------------------------------------------------------------------------


def test_waits_grow_to_a_cap_and_start_anew_after_a_good_connection() -> None:
    """Failures double the wait up to the cap, within half and whole of it; only a connection that held resets it."""
    backoff = Backoff(first_s=1, cap_s=8, held_s=10, rng=random.Random(7))
    bounds = [1, 2, 4, 8, 8, 8]
    waits = [backoff.after(0) for _ in bounds]
    assert all(bound / 2 <= wait_s <= bound for bound, wait_s in zip(bounds, waits, strict=True))
    assert 4 <= backoff.after(9.9) <= 8
    assert 0.5 <= backoff.after(10) <= 1
    assert 1 <= backoff.after(0) <= 2


def test_a_refused_login_waits_at_least_so_long() -> None:
    """The floor of a refused password holds whatever came before, with jitter."""
    backoff = Backoff(first_s=1, rng=random.Random(7))
    assert 7.5 <= backoff.after(0, at_least_s=15) <= 15


def test_waits_are_jittered() -> None:
    """A thousand nodes do not come back in the same moment."""
    assert len({round(Backoff(rng=random.Random(seed)).after(0), 6) for seed in range(100)}) > 90


def test_wait_ends_with_stop_and_beats() -> None:
    """A wait of a minute ends at once when stopping, and the heartbeat goes on before."""
    stop = threading.Event()
    beats: list[float] = []

    def beat() -> None:
        beats.append(time.monotonic())
        stop.set()

    started = time.monotonic()
    wait(60, stop, beat)
    assert len(beats) == 1
    assert time.monotonic() - started < 1


# --- clock -----------------------------------------------------------------------------------------------------------


def test_clock_reads_both_clocks() -> None:
    """Wall time is that of the system, boot time never goes back."""
    clock = SystemClock()
    before_ns = time.time_ns()  # noqa: TID251
    first, second = clock.now(), clock.now()
    assert before_ns <= first.ts_ns <= time.time_ns()  # noqa: TID251
    assert 0 < first.boot_ns <= second.boot_ns


def test_clock_is_trusted_only_after_what_is_known() -> None:
    """A clock at or before the newest committed time is trusted only when the kernel says that it is synchronised."""
    assert clock_trusted(2, newest_known_ns=1)
    assert clock_trusted(1, newest_known_ns=1) is kernel_synchronised()
    assert clock_trusted(0, newest_known_ns=1) is kernel_synchronised()


def test_boot_id_is_that_of_the_kernel() -> None:
    """`@reboot` hangs on the kernel's own id of this boot."""
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert len(boot_id()) == 36
