"""Measurements over MQTT from a real Mosquitto: what is heard, what is refused, and how it survives its broker."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from edgesched.adapters.backoff import Backoff
from edgesched.adapters.broker import EmbeddedBroker, find_mosquitto
from edgesched.adapters.clock import SystemClock
from edgesched.adapters.mqtt import MqttSettings, MqttSource
from edgesched.core.model import Measurement
from tests.contract.brokers import Ear, Notices, Peer, wait_until

Start = Callable[..., EmbeddedBroker]
Connect = Callable[..., Peer]

VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5"])
TEMPERATURE = "env.temperature"


def listen(broker: EmbeddedBroker | ScriptedBroker, notices: Notices, *names: str, **settings: Any) -> Ear:
    """An ear on the broker, subscribed to `names`, with short waits."""
    chosen = MqttSettings(**{"host": broker.host, "port": broker.port, "vsn": "W023", "timeout_s": 2.0} | settings)
    backoff = Backoff(first_s=0.1, cap_s=1.0, rng=random.Random(1))

    def make(emit: Callable[[Any], None]) -> MqttSource:
        source = MqttSource(chosen, emit, SystemClock(), notices, backoff=backoff, login_retry_s=0.5)
        source.subscribe(frozenset(names))
        return source

    return Ear(make)


def subscribed(ear: Ear, one: Peer, topic: str, name: str) -> None:
    """Wait until a value published on `topic` is heard as `name`; forget it."""
    probe = threading.Event()

    def arrived() -> bool:
        one.publish(topic, "-1")
        probe.wait(0.02)
        return -1 in ear.values(name)

    wait_until(arrived, what=f"a value on {topic}")
    # what was published before this mark has arrived before it too
    one.publish(topic, "-2")
    wait_until(lambda: -2 in ear.values(name))
    ear.heard.clear()


def counters(ear: Ear) -> dict[str, int]:
    """The source's counters."""
    assert isinstance(ear.source, MqttSource)
    return ear.source.counters


@VERSIONS
def test_all_forms_of_a_value_are_heard(mosquitto: Start, peer: Connect, notices: Notices, version: str) -> None:
    """Wire JSON, data API JSON, a bare number and bare text arrive as measurements, in order."""
    broker = mosquitto()
    one = peer(broker)
    with listen(broker, notices, TEMPERATURE, version=version) as ear:
        subscribed(ear, one, "env/temperature", TEMPERATURE)
        before_ns = time.time_ns()  # noqa: TID251
        one.publish(
            "env/temperature", '{"name":"env.temperature","ts":1795345203275067311,"val":21.5,"meta":{"sensor":"b"}}'
        )
        one.publish(
            "env/temperature", '{"name":"env.temperature","timestamp":"2026-11-22T10:58:51Z","value":22,"meta":{}}'
        )
        one.publish("env/temperature", "23.5")
        one.publish("env/temperature", "warm")
        wait_until(lambda: len(ear.heard) == 4)
        assert ear.heard[:2] == [
            Measurement(TEMPERATURE, 1795345203275067311, 21.5, {"sensor": "b"}),
            Measurement(TEMPERATURE, 1795345131000000000, 22, {}),
        ]
        assert [m.value for m in ear.heard[2:]] == [23.5, "warm"]
        assert all(before_ns <= m.ts_ns <= time.time_ns() for m in ear.heard[2:])  # noqa: TID251
    assert notices.of("mqtt.connected") == [
        {"broker": f"127.0.0.1:{broker.port}", "version": version, "names": 1},
    ]


@VERSIONS
def test_what_is_not_a_measurement_is_counted_and_logged_once(
    mosquitto: Start, peer: Connect, notices: Notices, version: str
) -> None:
    """Bad payloads and payloads with another name than their topic are dropped by reason; the good go on."""
    broker = mosquitto()
    one = peer(broker)
    with listen(broker, notices, TEMPERATURE, version=version) as ear:
        subscribed(ear, one, "env/temperature", TEMPERATURE)
        for _ in range(3):
            one.publish("env/temperature", '{"name":"env.pressure","ts":5,"val":1}')
        one.publish("env/temperature", '{"name":"env.temperature","ts":5,"val":1,"meta":{"a":1}}')
        one.publish("env/temperature", b"\xff\xff")
        one.publish("env/temperature", "{" * 1000)
        one.publish("env/temperature", '{"val":NaN}')
        one.publish("env/temperature", "x" * 100_000)
        one.publish("env/temperature", "7")
        wait_until(lambda: ear.values(TEMPERATURE) == [7])
        rejected = {key: count for key, count in counters(ear).items() if key.startswith("rejected.")}
        assert rejected == {
            "rejected.name": 3, "rejected.meta": 1, "rejected.encoding": 1, "rejected.json": 1, "rejected.value": 1,
            "rejected.size": 1,
        }  # fmt: skip
    lines = notices.of("mqtt.rejected")
    assert [line["reason"] for line in lines] == ["name", "meta", "encoding", "json", "value", "size"]
    assert lines[0]["detail"] == "payload says 'env.pressure', topic says env.temperature"
    assert lines[0]["address"] == "env/temperature"


@VERSIONS
def test_retained_value_counts_only_with_a_time(
    mosquitto: Start, peer: Connect, notices: Notices, version: str
) -> None:
    """What the broker kept since an unknown time is not a value of now; with its time it is what it was."""
    broker = mosquitto()
    one = peer(broker)
    one.publish("env/temperature", "99", retain=True)
    one.publish("env/pressure", '{"name":"env.pressure","val":98,"meta":{}}', retain=True)
    one.publish("env/humidity", '{"name":"env.humidity","ts":5,"val":97,"meta":{}}', retain=True)
    with listen(broker, notices, TEMPERATURE, "env.pressure", "env.humidity", version=version) as ear:
        wait_until(lambda: len(ear.heard) == 1 and counters(ear)["rejected.retained"] == 2)
        assert ear.heard == [Measurement("env.humidity", 5, 97, {})]
        one.publish("env/temperature", "20")
        wait_until(lambda: ear.values(TEMPERATURE) == [20])


@VERSIONS
def test_subscriptions_follow_the_rules_at_once(
    mosquitto: Start, peer: Connect, notices: Notices, version: str
) -> None:
    """A changed set of names takes effect in a moment, and what no rule reads is not sent to us."""
    broker = mosquitto()
    one = peer(broker)
    with listen(broker, notices, TEMPERATURE, version=version) as ear:
        subscribed(ear, one, "env/temperature", TEMPERATURE)
        ear.source.subscribe(frozenset({"env.pressure"}))
        started = time.monotonic()
        subscribed(ear, one, "env/pressure", "env.pressure")
        took_s = time.monotonic() - started
        print(f"new subscription heard after {took_s * 1000:.0f} ms")
        assert took_s < 0.4, "it waited for the next round instead of being woken"
        one.publish("env/temperature", "1")
        one.publish("env/pressure", "2")
        wait_until(lambda: ear.values("env.pressure") == [2])
        assert ear.values(TEMPERATURE) == []
        assert counters(ear)["connected"] == 1


def test_many_names_fit(mosquitto: Start, peer: Connect, notices: Notices) -> None:
    """A thousand names are subscribed, in packets that a broker takes."""
    broker = mosquitto()
    one = peer(broker)
    names = [f"env.sensor{n:03}.value" for n in range(1000)]
    with listen(broker, notices, *names) as ear:
        subscribed(ear, one, "env/sensor999/value", "env.sensor999.value")
        for n in (0, 99, 100, 500):
            one.publish(f"env/sensor{n:03}/value", str(n))
        wait_until(lambda: [m.value for m in ear.heard] == [0, 99, 100, 500])


def test_wildcards_in_names_do_not_reach_the_broker(mosquitto: Start, peer: Connect, notices: Notices) -> None:
    """A name that would subscribe to everything is refused by us, with a line that shows it."""
    broker = mosquitto()
    one = peer(broker)
    with listen(broker, notices, "#", "env.+", "$SYS.uptime", "a/b", TEMPERATURE, prefix="waggle/W023") as ear:
        subscribed(ear, one, "waggle/W023/env/temperature", TEMPERATURE)
        one.publish("env/pressure", "1")
        one.publish("waggle/W023/env/pressure", "1")
        one.publish("waggle/W023/env/temperature", "2")
        wait_until(lambda: ear.values(TEMPERATURE) == [2])
        assert len(ear.heard) == 1
        assert counters(ear)["dropped.unsubscribed"] == 0
    assert sorted(line["name"] for line in notices.of("mqtt.name_refused")) == ["#", "$SYS.uptime", "a/b", "env.+"]


def password_file(folder: Path, **users: str) -> str:
    """A Mosquitto password file."""
    path = folder / "passwords"
    path.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
    tool = Path(find_mosquitto()).with_name("mosquitto_passwd")
    program = str(tool) if tool.exists() else "mosquitto_passwd"
    subprocess.run([program, "-U", str(path)], check=True, capture_output=True)
    return str(path)


@VERSIONS
def test_password_is_used_and_its_refusal_is_called_by_name(
    mosquitto: Start, peer: Connect, notices: Notices, tmp_path: Path, version: str
) -> None:
    """A refused password is an error line that says so; when its file is mended, the source heals by itself."""
    broker = mosquitto("allow_anonymous false", f"password_file {password_file(tmp_path, agent='right', other='pw')}")
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    login = {"username": "agent", "password_file": str(secret)}
    with listen(broker, notices, TEMPERATURE, version=version, **login) as ear:
        wait_until(lambda: notices.of("mqtt.login_refused"))
        line = notices.of("mqtt.login_refused")[0]
        assert line["level"] == "error"
        assert "refused the password of user 'agent'" in line["reason"]
        assert "wrong" not in str(notices.lines)
        assert line["retry_in_s"] >= 0.2
        secret.write_text("right\n")
        wait_until(lambda: counters(ear)["connected"] == 1)
        one = peer(broker, username="other", password="pw")
        subscribed(ear, one, "env/temperature", TEMPERATURE)


@VERSIONS
def test_missing_login_is_called_by_name(mosquitto: Start, notices: Notices, tmp_path: Path, version: str) -> None:
    """A broker that wants a login gets none: the line says that, not `connection lost`."""
    broker = mosquitto("allow_anonymous false", f"password_file {password_file(tmp_path, agent='right')}")
    with listen(broker, notices, TEMPERATURE, version=version):
        wait_until(lambda: notices.of("mqtt.login_refused"))
    assert "a login without user" in notices.of("mqtt.login_refused")[0]["reason"]


def test_unreadable_password_file_is_one_line(mosquitto: Start, notices: Notices, tmp_path: Path) -> None:
    """A missing secret is reported and tried again, not an exception."""
    broker = mosquitto()
    login = {"username": "agent", "password_file": str(tmp_path / "absent")}
    with listen(broker, notices, TEMPERATURE, **login) as ear:
        wait_until(lambda: len(notices.of("mqtt.unreachable")) >= 2)
        assert "No such file" in notices.of("mqtt.unreachable")[0]["reason"]
        (tmp_path / "absent").write_text("x")
        wait_until(lambda: counters(ear)["connected"] == 1)


class ScriptedBroker:
    """A listener that answers each connection with fixed bytes, packet by packet, and then stays silent."""

    def __init__(self, *answers: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self._answers = answers
        self.connections = 0
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                self.connections += 1
                for answer in self._answers:
                    sock.recv(65536)
                    sock.sendall(answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for sock in self._open:
            sock.close()


def test_topics_that_the_broker_does_not_grant_are_named(notices: Notices) -> None:
    """A denied subscription is an error line with its topic; the session goes on."""
    connack, suback = b"\x20\x02\x00\x00", b"\x90\x04\x00\x01\x01\x80"
    with ScriptedBroker(connack, suback) as broker, listen(broker, notices, TEMPERATURE, "secret.name") as ear:
        wait_until(lambda: notices.of("mqtt.subscribe_refused"))
        (line,) = notices.of("mqtt.subscribe_refused")
        assert line["topics"] == ["secret/name"]
        assert line["level"] == "error"
        assert counters(ear)["connected"] == broker.connections == 1


@pytest.mark.parametrize(
    "answers",
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (b"\x20\x02\x00\x00", b"\xff" * 64),
        (b"\x20\x02\x00\x00", b"\x30\x01\x00"),
    ],
)
def test_peer_that_speaks_something_else_is_left(notices: Notices, answers: tuple[bytes, ...]) -> None:
    """A web server or garbage on the port ends the connection with a line and a growing wait, never the thread."""
    with ScriptedBroker(*answers) as broker, listen(broker, notices, TEMPERATURE, timeout_s=0.3) as ear:
        wait_until(lambda: broker.connections >= 3)
        assert all(line["reason"] for _, line in notices.lines if "retry_in_s" in line)
        assert ear.heard == []


@VERSIONS
def test_tls_with_an_own_authority(
    mosquitto: Start, peer: Connect, notices: Notices, certificates: Path, version: str
) -> None:
    """With its CA file the broker is believed and measurements arrive."""
    broker = mosquitto(f"certfile {certificates}/server.pem", f"keyfile {certificates}/server.key")
    one = peer(broker, ca_file=f"{certificates}/ca.pem")
    with listen(broker, notices, TEMPERATURE, version=version, tls=True, ca_file=f"{certificates}/ca.pem") as ear:
        subscribed(ear, one, "env/temperature", TEMPERATURE)
        one.flood("env/temperature", [str(n).encode() for n in range(500)])
        wait_until(lambda: len(ear.heard) == 500)
        assert ear.values(TEMPERATURE) == list(range(500))


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"tls": True, "ca_file": "{folder}/other-ca.pem"}, "certificate refused"),
        ({"tls": True}, "certificate refused"),
        ({"tls": True, "ca_file": "{folder}/ca.pem", "host": "localhost"}, "certificate refused"),
        ({"tls": True, "ca_file": "{folder}/absent.pem"}, "No such file"),
        ({}, "lost"),
    ],
)
def test_broker_that_cannot_be_believed_is_refused(
    mosquitto: Start, notices: Notices, certificates: Path, settings: dict[str, Any], part: str
) -> None:
    """An unknown authority, another host name, a missing CA file or plain text to a TLS port: one clear line each."""
    broker = mosquitto(f"certfile {certificates}/server.pem", f"keyfile {certificates}/server.key")
    chosen = {
        key: value.format(folder=certificates) if isinstance(value, str) else value for key, value in settings.items()
    }
    with listen(broker, notices, TEMPERATURE, **chosen) as ear:
        wait_until(lambda: notices.of("mqtt.unreachable"))
        assert part in notices.of("mqtt.unreachable")[0]["reason"]
        assert counters(ear)["connected"] == 0


@VERSIONS
def test_killed_broker_heals(mosquitto: Start, peer: Connect, notices: Notices, version: str) -> None:
    """A killed broker is noticed at once, tried again without a busy loop, and subscribed again when it is back."""
    broker = mosquitto()
    one = peer(broker)
    with listen(broker, notices, TEMPERATURE, version=version) as ear:
        subscribed(ear, one, "env/temperature", TEMPERATURE)
        one.close()
        os.kill(broker.pid, signal.SIGKILL)
        noticed_s = wait_until(lambda: notices.of("mqtt.lost"))
        cpu_before_s, outage_started = ear.cpu_s, time.monotonic()
        wait_until(lambda: len(notices.of("mqtt.unreachable")) >= 4)
        cpu_s = ear.cpu_s - cpu_before_s
        outage_s = time.monotonic() - outage_started
        ear.source.subscribe(frozenset({TEMPERATURE, "env.pressure"}))
        again = mosquitto(port=broker.port)
        healed_s = wait_until(lambda: counters(ear)["connected"] == 2)
        print(f"lost after {noticed_s:.2f} s, {cpu_s:.3f} CPU s in {outage_s:.1f} s, healed after {healed_s:.2f} s")
        assert noticed_s < 1
        assert cpu_s < 0.1 * outage_s
        assert 0 < notices.of("mqtt.lost")[0]["retry_in_s"] <= 1
        two = peer(again)
        subscribed(ear, two, "env/temperature", TEMPERATURE)
        subscribed(ear, two, "env/pressure", "env.pressure")


@VERSIONS
def test_frozen_broker_is_noticed_and_heals(mosquitto: Start, peer: Connect, notices: Notices, version: str) -> None:
    """A broker that holds the connection and says nothing is given up; the beat goes on; it heals when it wakes."""
    broker = mosquitto()
    one = peer(broker)
    with listen(broker, notices, TEMPERATURE, version=version, keepalive_s=1, timeout_s=0.5) as ear:
        subscribed(ear, one, "env/temperature", TEMPERATURE)
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            noticed_s = wait_until(lambda: notices.of("mqtt.lost"), within_s=8)
            cpu_before_s, outage_started = ear.cpu_s, time.monotonic()
            wait_until(lambda: len(notices.of("mqtt.unreachable")) >= 2)
            assert "does not answer the login" in notices.of("mqtt.unreachable")[0]["reason"]
            assert time.monotonic() - ear.last_beat_s < 3
            cpu_s, outage_s = ear.cpu_s - cpu_before_s, time.monotonic() - outage_started
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        healed_s = wait_until(lambda: counters(ear)["connected"] == 2)
        print(f"lost after {noticed_s:.2f} s, {cpu_s:.3f} CPU s in {outage_s:.1f} s, healed after {healed_s:.2f} s")
        assert cpu_s < 0.1 * outage_s
        subscribed(ear, one, "env/temperature", TEMPERATURE)


def test_two_agents_with_one_name_do_not_spin(mosquitto: Start, notices: Notices) -> None:
    """Two clients that take over each other's session wait longer each time."""
    broker = mosquitto()
    with listen(broker, notices, TEMPERATURE) as first, listen(broker, notices, TEMPERATURE) as second:
        wait_until(lambda: len(notices.of("mqtt.lost")) >= 8, within_s=20)
        waits = [line["retry_in_s"] for line in notices.of("mqtt.lost")]
        assert max(waits) >= 0.5
        assert first.cpu_s + second.cpu_s < 1


def test_idle_source_costs_nothing_and_beats(mosquitto: Start, notices: Notices) -> None:
    """Without messages the thread sleeps, and its heartbeat goes on."""
    broker = mosquitto()
    with listen(broker, notices, TEMPERATURE) as ear:
        wait_until(lambda: counters(ear)["connected"] == 1)
        beats, cpu_s = ear.beats, ear.cpu_s
        took_s = wait_until(lambda: ear.beats >= beats + 3)
        assert took_s > 0.5, "it spins"
        assert ear.cpu_s - cpu_s < 0.05


def test_stop_is_quick_and_the_source_can_run_again(mosquitto: Start, peer: Connect, notices: Notices) -> None:
    """A supervisor can stop a source and call `run` again."""
    broker = mosquitto()
    one = peer(broker)
    with listen(broker, notices, TEMPERATURE) as ear:
        subscribed(ear, one, "env/temperature", TEMPERATURE)
        source = ear.source
    with Ear(lambda _emit: source) as second:
        wait_until(lambda: counters(second)["connected"] == 2)
    assert not source.connected  # type: ignore[attr-defined]


def test_emit_that_raises_does_not_end_the_session(mosquitto: Start, peer: Connect, notices: Notices) -> None:
    """A defect behind the source is reported and counted; the next message is handled."""
    broker = mosquitto()
    one = peer(broker)

    def emit(_event: object) -> None:
        raise RuntimeError("full")

    def make(_emit: Callable[[Any], None]) -> MqttSource:
        source = MqttSource(MqttSettings(broker.host, broker.port), emit, SystemClock(), notices)
        source.subscribe(frozenset({TEMPERATURE}))
        return source

    with Ear(make) as ear:
        wait_until(lambda: counters(ear)["connected"] == 1)
        wait_until(lambda: one.publish("env/temperature", "1") or counters(ear)["rejected.defect"] >= 2)
        assert counters(ear)["connected"] == 1
    assert notices.of("mqtt.defect")[0]["error"] == "RuntimeError: full"


def test_nothing_of_a_burst_is_lost(mosquitto: Start, peer: Connect, notices: Notices) -> None:
    """5,000 messages sent as fast as a publisher can arrive in order."""
    broker = mosquitto("max_queued_messages 0")
    one = peer(broker)
    with listen(broker, notices, TEMPERATURE) as ear:
        subscribed(ear, one, "env/temperature", TEMPERATURE)
        wire = [
            json.dumps({"name": TEMPERATURE, "ts": n, "val": n, "meta": {"sensor": "b"}}).encode() for n in range(5000)
        ]
        one.flood("env/temperature", wire)
        wait_until(lambda: len(ear.heard) == 5000)
        assert [m.ts_ns for m in ear.heard] == list(range(5000))
