"""Fixtures of the contract tests: real brokers on free loopback ports, certificates of an own authority."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgesched.adapters.broker import EmbeddedBroker, find_mosquitto
from tests.contract.brokers import Notices, Peer
from tests.contract.rabbit import RabbitMQ


@pytest.fixture
def notices() -> Notices:
    """The log lines of the test."""
    return Notices()


@pytest.fixture
def mosquitto() -> Iterator[Callable[..., EmbeddedBroker]]:
    """Starts Mosquitto brokers and ends them with the test; `port=` starts one at the place of another."""
    assert find_mosquitto(), "mosquitto is missing: apt-get install mosquitto"
    started: list[EmbeddedBroker] = []

    def start(*settings: str, port: int = 0) -> EmbeddedBroker:
        broker = EmbeddedBroker(kind="mosquitto", port=port, settings=settings)
        broker.start()
        started.append(broker)
        return broker

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Connects independent MQTT clients and closes them with the test."""
    made: list[Peer] = []

    def connect(broker: EmbeddedBroker, **login: str) -> Peer:
        made.append(Peer(broker.host, broker.port, **login))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, server.pem and server.key for 127.0.0.1, and other-ca.pem, which signed nothing here."""
    folder = tmp_path_factory.mktemp("certificates")
    key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    for name in ("ca", "other-ca"):
        _openssl(
            "req",
            "-x509",
            *key,
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{folder}/{name}.key",
            "-out",
            f"{folder}/{name}.pem",
        )
    _openssl("req", *key[:3], "-subj", "/CN=broker", "-keyout", f"{folder}/server.key", "-out", f"{folder}/server.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    request = ["-in", f"{folder}/server.csr", "-extfile", f"{folder}/names"]
    authority = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-CAcreateserial"]
    _openssl("x509", "-req", "-days", "2", *request, *authority, "-out", f"{folder}/server.pem")
    return folder


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ node of Waggle's shape; it takes about 10 s to start, so the session has one."""
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    node.start()
    yield node
    node.close()
