"""The world around the agent of a crash series: broker and witness, a wire that can be cut, sensors, a launcher."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from edgesched.adapters.broker import EmbeddedBroker
from tools.crash_check import Creation, Heard

PREFIX = "sys.scheduler.status."
PR_SET_PDEATHSIG = 1
AGENT, RUN = "edgesched.io/agent", "edgesched.io/run"


class Wire:
    """A TCP proxy before the broker: connections can be cut, and new ones refused for a while."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._refuse_until_s = 0.0
        started = threading.Event()
        self.port = 0

        async def serve() -> None:
            server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await server.serve_forever()

        def run() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(serve())

        threading.Thread(target=run, daemon=True).start()
        assert started.wait(10)

    def cut(self, refuse_s: float = 0.0) -> None:
        """Cut all connections in the middle of whatever they carry."""
        self._refuse_until_s = time.monotonic() + refuse_s
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if time.monotonic() < self._refuse_until_s:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._writers |= ends
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            self._writers -= ends
            for each in ends:
                each.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


class Witness:
    """A reader of the broker's own that keeps every message with an id, in the order of arrival."""

    def __init__(self, port: int) -> None:
        self.heard: list[Heard] = []
        ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="witness", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(20)

    def _hear(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        if "id" not in body:
            return
        name = message.topic.replace("/", ".")
        value = body["val"]
        if name.startswith(PREFIX):
            name, value = name.removeprefix(PREFIX), json.loads(value)
        self.heard.append(Heard(name, body["id"], value, body["ts"]))

    def numbers(self) -> set[int]:
        """The numbers of all messages so far."""
        return {int(each.message_id.rpartition("-")[2]) for each in list(self.heard)}

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()


def creation(pod: dict[str, Any]) -> Creation:
    """Note down a pod that was created."""
    labels = pod["metadata"].get("labels", {})
    return Creation(pod["metadata"]["name"], labels.get(RUN, ""), pod["spec"]["containers"][0]["name"])


class Sensors:
    """Publishes values for the rules, over and under their bounds, many times a second."""

    def __init__(self, port: int, names: list[str], rate: float) -> None:
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="sensors")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(names, rate), daemon=True)
        self._thread.start()

    def _run(self, names: list[str], rate: float) -> None:
        number = 0
        while not self._stop.wait(1 / rate):
            name = names[number % len(names)]
            body = json.dumps({"name": name, "ts": time.time_ns(), "val": number // 7 % 40, "meta": {}})  # noqa: TID251
            self._client.publish(name.replace(".", "/"), body)
            number += 1

    def close(self) -> None:
        """No more values."""
        self._stop.set()
        self._thread.join(5)
        self._client.disconnect()
        self._client.loop_stop()


class Launcher:
    """Starts agents by forking a process that has everything loaded: a start costs a tenth of what it costs anew."""

    def __init__(self, log: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.crash_world", str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def start(self, arguments: list[str]) -> int:
        """Start an agent; returns its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the launcher, and with it whatever agent still runs."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


def end(pid: int, number: int, wait: Callable[[Callable[[], bool]], object]) -> None:
    """Send a signal to an agent and wait until the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    wait(lambda: not lives(pid))


def lives(pid: int) -> bool:
    """Whether a process exists and is more than a remainder."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def make_broker() -> EmbeddedBroker:
    """Return a running broker that forgets nothing for a reader that is there."""
    broker = EmbeddedBroker(kind="mosquitto", settings=["max_queued_messages 0"])
    broker.start()
    return broker


def _serve(log: str) -> int:
    """Load everything, then fork an agent for every line of arguments."""
    import edgesched.adapters.kube
    import edgesched.node.durable  # noqa: F401
    from edgesched.cli.main import main
    from edgesched.node.config import load_config
    from edgesched.node.main import build

    # an agent that is made loads what it needs; nothing is started
    made = ["-nodename", "W0", "--kube-server", "http://127.0.0.1:1", "--mqtt-uri", "mqtt://127.0.0.1:1"]
    made += ["--job", str(Path(log).parent), "--http-listen", "off", "--wes=false"]
    build(load_config(made), notice=lambda *_, **__: None)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.close(0)
            code = main(json.loads(line))
            sys.stdout.flush()
            os._exit(code)
        print(pid, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1]))
