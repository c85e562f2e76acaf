"""What an agent of a test talks to: an embedded cluster and a broker."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from edgesched.adapters.broker import EmbeddedBroker, free_port
from edgesched.adapters.mqtt import MqttPublisher, MqttSettings
from edgesched.core.model import Message
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.unit.node.fakes import Notices

JOB = """\
name: {name}
plugins:
- name: sampler
  pluginSpec:
    image: registry.sagecontinuum.org/theone/imagesampler:0.3.0
nodes:
  W023:
scienceRules:
"""
GOOD_AND_BROKEN = """\
name: {name}
plugins:
- name: sampler
  pluginSpec: {{image: "registry.sagecontinuum.org/theone/imagesampler:0.3.0"}}
- name: broken
  pluginSpec: {{image: "registry.sagecontinuum.org/theone/broken:0.3.0"}}
nodes: {{W023: true}}
scienceRules:
- "schedule(sampler): True"
- "schedule(broken): True"
- "publish(env.alert): any(v('env.t', since='-5m') > 30)"
"""
"""A plugin that completes, one that fails, and a rule that waits for a measurement."""
HOT = "- \"schedule(sampler): any(v('env.temperature', since='-{since}s') > 30)\"\n"
CRON = "- \"schedule(sampler): cronjob('sampler', '* * * * *')\"\n"


class World:
    """A cluster, a broker and the command line that names them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = SimCluster(Scenario((Outcome(start_delay_s=0.1, run_s=0.5),)))
        self.cluster.start()
        self.broker = EmbeddedBroker()
        self.broker.start()
        self.http_port = free_port()
        self._publishers: list[MqttPublisher] = []

    def close(self) -> None:
        self.cluster.stop()
        self.broker.stop()

    def job(self, *rules: str, name: str = "myjob") -> Path:
        """Write a job file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(JOB.format(name=name) + "".join(rules))
        return path

    def flags(self, *jobs: Path) -> list[str]:
        """The reference's spelling where it has one."""
        flags = [
            "-nodename",
            "W023",
            "--kube-server",
            self.cluster.url,
            "--mqtt-uri",
            f"mqtt://127.0.0.1:{self.broker.port}",
        ]
        flags += ["--http-listen", f"127.0.0.1:{self.http_port}", "--log-format", "json", "--wes=false"]
        return [*flags, *(f"--job={job}" for job in jobs)]

    def measure(self, value: float, name: str = "env.temperature") -> None:
        """Publish a measurement of now."""
        publisher = MqttPublisher(MqttSettings(port=self.broker.port), Notices())
        publisher.publish([Message(name, time.time_ns(), value)])  # noqa: TID251 - a sensor has a clock
        publisher.close()

    def get(self, path: str) -> tuple[int, Any]:
        """Ask the agent; (0, None) while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            return error.code, json.load(error)
        except URLError:
            return 0, None

    def pods(self) -> list[str]:
        """Names of the pods in the cluster."""
        return [pod["metadata"]["name"] for pod in self.cluster.pods()]
