"""The embedded brokers of `edgesched standalone`, and the sensor player on them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgesched.adapters.broker import AMQTT_LIMITS, EmbeddedBroker, find_mosquitto, free_port
from edgesched.adapters.clock import SystemClock
from edgesched.adapters.mqtt import MqttPublisher, MqttSettings, MqttSource
from edgesched.adapters.player import Player, load_recording
from edgesched.core.model import NS_PER_S, Measurement, Message
from edgesched.errors import BrokerUnavailableError, ConfigError, InputError
from tests.contract.brokers import Ear, Notices, wait_until

KINDS = pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
RAIN = Path(__file__).parents[2] / "examples/measurements/rain.ndjson"


@pytest.fixture
def broker(kind: str) -> Iterator[EmbeddedBroker]:
    """A started broker of the kind."""
    one = EmbeddedBroker(kind=kind)
    one.start()
    yield one
    one.stop()


def ear_on(broker: EmbeddedBroker, notices: Notices, *names: str) -> Ear:
    """An ear on the broker."""

    def make(emit: object) -> MqttSource:
        source = MqttSource(MqttSettings(broker.host, broker.port, vsn="W023"), emit, SystemClock(), notices)  # type: ignore[arg-type]
        source.subscribe(frozenset(names))
        return source

    return Ear(make)


@KINDS
def test_events_reach_a_subscriber(broker: EmbeddedBroker, notices: Notices) -> None:
    """Both brokers carry confirmed messages, in order, while their publisher stays connected."""
    publisher = MqttPublisher(MqttSettings(broker.host, broker.port, vsn="W023"), notices)
    with ear_on(broker, notices, "a.b") as ear:
        wait_until(lambda: publisher.publish([Message("a.b", 1, -1)]) or ear.heard, what="the first message")
        publisher.publish([Message("a.b", n, n) for n in range(100)])
        wait_until(lambda: [m.value for m in ear.heard if m.value != -1] == list(range(100)))
    publisher.close()


@KINDS
def test_start_and_stop_leave_nothing(kind: str) -> None:
    """The child takes connections when `start` returns, and neither it nor its files remain after `stop`."""
    one = EmbeddedBroker(kind=kind)
    host, port = one.start()
    assert (host, port) == ("127.0.0.1", one.port)
    assert one.limits == (AMQTT_LIMITS if kind == "amqtt" else "")
    assert "\n" not in one.limits
    pid = one.pid
    addresses = {
        connection.laddr.ip for connection in psutil.Process(pid).net_connections() if connection.status == "LISTEN"
    }
    assert addresses == {"127.0.0.1"}
    started = time.monotonic()
    one.stop()
    assert time.monotonic() - started < 3
    assert not psutil.pid_exists(pid)
    one.stop()


def test_taken_port_is_an_error_with_the_brokers_own_words() -> None:
    """A fixed port that is in use is one line that names it."""
    first = EmbeddedBroker(kind="mosquitto")
    _, port = first.start()
    try:
        with pytest.raises(
            BrokerUnavailableError, match=rf"mosquitto does not start on 127.0.0.1:{port}: the port is in use"
        ):
            EmbeddedBroker(kind="mosquitto", port=port).start()
    finally:
        first.stop()


def test_mosquitto_is_preferred() -> None:
    """Without a wish the better broker is taken when it is installed."""
    assert EmbeddedBroker().kind == ("mosquitto" if find_mosquitto() else "amqtt")


@KINDS
def test_broker_ends_with_its_parent(kind: str) -> None:
    """A standalone that is killed leaves no broker behind."""
    code = (
        "from edgesched.adapters.broker import EmbeddedBroker; import time\n"
        f"b = EmbeddedBroker(kind={kind!r}); b.start(); print(b.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", what="the broker's end")


def test_free_ports_are_free() -> None:
    """A port that we hand out can be listened on."""
    assert 1024 <= free_port() <= 65535


# --- the player ------------------------------------------------------------------------------------------------------


class Tape:
    """A publisher that keeps what it is given; it can be made to fail."""

    def __init__(self, clock: SystemClock) -> None:
        self.clock = clock
        self.played: list[Message] = []
        self.late_ns: list[int] = []
        self.away = False

    def publish(self, messages: list[Message]) -> None:
        if self.away:
            raise BrokerUnavailableError("away")
        for message in messages:
            self.late_ns.append(self.clock.now().ts_ns - message.ts_ns)
        self.played += messages


def play(player: Player, until: object) -> None:
    """Run the player in a thread until the condition holds."""
    stop = threading.Event()
    thread = threading.Thread(target=player.run, args=(stop, lambda: None))
    thread.start()
    try:
        wait_until(until)  # type: ignore[arg-type]
    finally:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


def test_player_moves_times_to_now_and_keeps_their_spacing(notices: Notices) -> None:
    """Played at 10 times the speed, spacing shrinks by 10, and a second lap follows one spacing later."""
    tape = Tape(SystemClock())
    recording = [
        Measurement("a", 5 * NS_PER_S, 1, {"k": "v"}),
        Measurement("a", 6 * NS_PER_S, 2),
        Measurement("b", 7 * NS_PER_S, 3),
    ]
    before_ns = tape.clock.now().ts_ns
    play(Player(recording, tape, tape.clock, notices, speed=10), lambda: len(tape.played) >= 6)
    first = tape.played[:6]
    assert [(m.name, m.value) for m in first] == [("a", 1), ("a", 2), ("b", 3)] * 2
    assert first[0].meta == {"k": "v"}
    assert {late.ts_ns - early.ts_ns for early, late in itertools.pairwise(first)} == {NS_PER_S // 10}
    assert 0 <= first[0].ts_ns - before_ns < NS_PER_S
    assert min(tape.late_ns) >= 0, "played ahead of its time"


def test_player_goes_through_once(notices: Notices) -> None:
    """Without looping it ends at the end of the recording."""
    tape = Tape(SystemClock())
    player = Player([Measurement("a", 2, 2), Measurement("a", 1, 1)], tape, tape.clock, notices, loop=False)
    player.run(threading.Event(), lambda: None)
    assert [m.value for m in tape.played] == [1, 2]


def test_player_outlives_its_broker(notices: Notices) -> None:
    """Values measured while the broker is away are lost, as with a real sensor; the outage is logged once."""
    tape = Tape(SystemClock())
    tape.away = True
    player = Player([Measurement("a", n * NS_PER_S // 100, n) for n in range(10)], tape, tape.clock, notices)

    def back() -> bool:
        tape.away = player.lost < 5
        return len(tape.played) >= 3

    play(player, back)
    assert len(notices.of("player.lost")) == 1


@pytest.mark.parametrize(
    ("text", "part"), [("{}\n", ":1: measurement refused (name)"), ("", "recording is empty"), (None, "No such")]
)
def test_bad_recording_is_one_line(notices: Notices, tmp_path: Path, text: str | None, part: str) -> None:
    """A missing, empty or broken recording names its file and line."""
    path = tmp_path / "m.ndjson"
    if text is not None:
        path.write_text(text)
    with pytest.raises((InputError, ConfigError)) as caught:
        Player(load_recording(path), Tape(SystemClock()), SystemClock(), notices)
    assert part in str(caught.value)


@KINDS
def test_rain_is_heard_as_the_job_needs_it(broker: EmbeddedBroker, notices: Notices) -> None:
    """The example recording through a broker: the rain gauge rises in the times of now."""
    clock = SystemClock()
    publisher = MqttPublisher(MqttSettings(broker.host, broker.port, vsn="W023"), notices)
    player = Player(load_recording(RAIN), publisher, clock, notices, speed=60)
    with ear_on(broker, notices, "env.raingauge.event_acc", "env.relative_humidity") as ear:
        wait_until(lambda: getattr(ear.source, "connected", False))
        play(player, lambda: max(ear.values("env.raingauge.event_acc"), default=0) >= 0.6)
        assert ear.values("env.relative_humidity")
        assert abs(ear.heard[-1].ts_ns - clock.now().ts_ns) < 5 * NS_PER_S
        assert {m.meta["vsn"] for m in ear.heard} == {"W023"}
    publisher.close()


def test_python_broker_names_what_is_missing(tmp_path: Path) -> None:
    """Without amqtt the fallback says what to install."""
    (tmp_path / "amqtt.py").write_text("raise ImportError('no amqtt')")
    done = subprocess.run(
        [sys.executable, "-m", "edgesched.adapters.pybroker", str(free_port())],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "amqtt is not installed: pip install 'edgesched[standalone]'\n"
