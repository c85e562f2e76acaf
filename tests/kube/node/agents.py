"""The agent as users start it, beside a real Mosquitto and a real cluster; what it tells is heard from the broker."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgesched.adapters.broker import EmbeddedBroker, find_mosquitto, free_port
from tests.e2e.processes import Command
from tests.waiting import wait_until

IMAGE = "localhost/edgesched/busybox:1"
STATUS = "sys.scheduler.status."
WAIT_S = 60.0


@dataclass(frozen=True)
class Told:
    """One scheduler event from the broker. `name` is without its prefix; `at_ns` is the time in the message."""

    name: str
    at_ns: int
    fields: dict[str, Any]
    message_id: str = ""


class Bus:
    """A real Mosquitto and a client of it that is no code of ours. `told`: all scheduler events, in order."""

    def __init__(self) -> None:
        assert find_mosquitto(), "mosquitto is missing: apt-get install mosquitto"
        self.broker = EmbeddedBroker(kind="mosquitto")
        self.broker.start()
        self.told: list[Told] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.on_connect = lambda client, *_: client.subscribe("sys/scheduler/status/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(self.broker.host, self.broker.port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def close(self) -> None:
        """End both."""
        self._client.disconnect()
        self._client.loop_stop()
        self.broker.stop()

    def stop(self) -> None:
        """Kill the broker."""
        self._subscribed.clear()
        self._port = self.broker.port
        self.broker.stop()

    def start(self) -> None:
        """Start another broker in its place; wait until the client hears again."""
        self.broker = EmbeddedBroker(kind="mosquitto", port=self._port)
        self.broker.start()
        assert self._subscribed.wait(20)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish something and wait until the broker has it."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def fire(self, *plugins: str) -> None:
        """Publish the measurements that launch plugins, until each is told as queued once more."""
        before = {plugin: len(self.of(plugin, "plugin.queued")) for plugin in plugins}
        end_s = time.monotonic() + WAIT_S
        while left := [plugin for plugin in plugins if len(self.of(plugin, "plugin.queued")) == before[plugin]]:
            assert time.monotonic() < end_s, f"not queued: {left}"
            for plugin in left:
                self.publish(f"test/fire/{plugin}", b"1")
            # within this time an agent that listens has answered; a value stays in the window for 5 s
            threading.Event().wait(1.0)

    def of(self, plugin: str, name: str = "") -> list[Told]:
        """The events about a plugin, of one name when given."""
        return [
            each for each in list(self.told) if each.fields.get("plugin_name") == plugin and name in ("", each.name)
        ]

    def wait(self, plugin: str, name: str, timeout_s: float = WAIT_S, *, count: int = 1) -> Told:
        """Wait for the `count`-th event of a name about a plugin."""
        try:
            return wait_until(lambda: self.of(plugin, name)[count - 1 : count], timeout_s)[0]
        except AssertionError as error:
            heard = "\n".join(f"{each.name} {each.fields}" for each in self.of(plugin))
            raise AssertionError(f"no {name} of {plugin} within {timeout_s} s; heard:\n{heard}") from error

    def names(self, plugin: str) -> list[str]:
        """The events about a plugin, in order, without those that pass on what Kubernetes says."""
        return [each.name for each in self.of(plugin) if each.name != "plugin.event"]

    def _hear(self, _client: object, _userdata: object, message: Any) -> None:
        wire = json.loads(message.payload)
        fields = json.loads(wire["val"])
        self.told.append(Told(wire["name"].removeprefix(STATUS), wire["ts"], fields, wire["id"]))


@dataclass
class Part:
    """A plugin of a test's job: a shell script, launched by `Bus.fire` unless a condition is given."""

    name: str
    script: str
    condition: str = ""
    parameters: str = ""
    image: str = IMAGE
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """Its rule."""
        condition = self.condition or f"any(v('test.fire.{self.name}', since='-5s') > 0)"
        return f"schedule({self.name}{self.parameters}): {condition}"

    @property
    def plugin(self) -> dict[str, Any]:
        """Its place in the job file."""
        command = {"entrypoint": "/bin/sh", "args": ["-c", self.script]}
        return {"name": self.name, "pluginSpec": {"image": self.image, **command, **self.spec}}


def write_job(path: Path, parts: list[Part], vsn: str = "W023") -> Path:
    """Write a job file, as JSON, which is YAML."""
    job = {
        "name": path.stem,
        "plugins": [part.plugin for part in parts],
        "nodes": {vsn: None},
        "scienceRules": [part.rule for part in parts],
    }
    path.write_text(json.dumps(job))
    return path


class Agent(Command):
    """`edgesched run` as a process, for node `vsn`, with the events going to the bus."""

    def __init__(self, job: Path, kubeconfig: Path, bus: Bus, *flags: str, vsn: str = "W023") -> None:
        self.port = free_port()
        self.job = job
        self.flags = [
            "run", "--job", str(job), "--kubeconfig", str(kubeconfig), "--nodename", vsn,
            "--mqtt-uri", f"mqtt://127.0.0.1:{bus.broker.port}", "--http-listen", f"127.0.0.1:{self.port}",
            "--log-format", "json", "--wes=false", *flags,
        ]  # fmt: skip
        super().__init__(*self.flags)

    def get(self, path: str) -> tuple[int, Any]:
        """Ask its HTTP API; (0, None) while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            return error.code, json.load(error)
        except (URLError, TimeoutError):
            return 0, None

    def wait_ready(self, timeout_s: float = WAIT_S) -> None:
        """Wait until goals are loaded, pods are listed and the broker is heard."""

        def ready() -> bool:
            code, status = self.get("/api/v1/status")
            return code == 200 and status["ready"] and all(status["connections"].values())

        try:
            wait_until(ready, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{self.get('/api/v1/status')}\n{self.text}") from error

    def assert_unhurt(self) -> None:
        """The process lives, no thread was run again, nothing was an error."""
        assert self.process.poll() is None, self.text
        assert self.get("/healthz")[0] == 200
        assert not self.events("thread.restarting")
        assert not [line for line in list(self.lines) if not line.startswith("{")]
        hurt = [line for line in list(self.lines) if json.loads(line)["level"] == "error"]
        assert not hurt, hurt
