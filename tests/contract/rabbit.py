"""A RabbitMQ node of Waggle's shape as a child process: users, exchanges and bindings as on a real node.

Nothing of the machine's own RabbitMQ is touched: temporary folders, free ports, an Erlang port mapper of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from edgesched.adapters.broker import free_port
from tests.contract.brokers import wait_until

_SERVER: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_START_S: Final = 60.0


class RabbitMQ:
    """One node on 127.0.0.1: AMQP on `port`, MQTT on `mqtt_port`, users `service` and `plugin` with equal passwords."""

    def __init__(self, folder: Path) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self.mqtt_port = free_port()
        self._folder = folder
        self._epmd_port = free_port()
        self._mapper: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._write_configuration()

    def _write_configuration(self) -> None:
        rights = {"vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
        durable = {"vhost": "/", "durable": True, "auto_delete": False, "internal": False, "arguments": {}}
        definitions = {
            "users": [{"name": name, "password": name, "tags": ""} for name in ("service", "plugin")],
            "vhosts": [{"name": "/"}],
            "permissions": [{"user": name, **rights} for name in ("service", "plugin")],
            "exchanges": [
                {"name": "to-validator", "type": "fanout", **durable},
                {"name": "data.topic", "type": "topic", **durable},
            ],
            # lets MQTT clients see the measurements: the one binding that a Waggle node lacks
            "bindings": [
                {
                    "source": "data.topic", "vhost": "/", "destination": "amq.topic",
                    "destination_type": "exchange", "routing_key": "#", "arguments": {},
                }
            ],
        }  # fmt: skip
        (self._folder / "definitions.json").write_text(json.dumps(definitions))
        (self._folder / "enabled_plugins").write_text("[rabbitmq_mqtt].")
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.mqtt_port}\n"
            f"load_definitions = {self._folder}/definitions.json\n"
            "mqtt.default_user = service\nmqtt.default_pass = service\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\n"
        )

    def start(self) -> None:
        """Start the node, and wait until it takes connections."""
        assert Path(_SERVER).exists(), (
            "rabbitmq-server is missing: apt-get install --no-install-recommends rabbitmq-server"
        )
        environment = os.environ | {
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"edgesched{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": f"{self._folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self._folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{self._folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{self._folder}/log",
            "RABBITMQ_PID_FILE": f"{self._folder}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        }
        if self._mapper is None:
            mapper = shutil.which("epmd")
            assert mapper is not None
            self._mapper = subprocess.Popen([mapper], env=environment)
        with (self._folder / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [_SERVER],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        for port in (self.port, self.mqtt_port):
            self._wait_for(port)

    def _wait_for(self, port: int) -> None:
        assert self._server is not None
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((self.host, port), timeout=1):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(0.1)
                break
        raise AssertionError(f"RabbitMQ does not start:\n{(self._folder / 'output').read_text()[-2000:]}")

    def kill(self) -> None:
        """End the node at once, as a power cut does."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()  # the shell around it; the node itself is gone when its port is closed
            self._server = None
            wait_until(self._is_down)

    def _is_down(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the node, SIGSTOP to freeze it, SIGCONT to let it go on."""
        assert self._server is not None
        os.killpg(self._server.pid, number)

    def close(self) -> None:
        """End the node and its port mapper."""
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None
