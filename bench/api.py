"""The agent's HTTP API with 1,000 rules: what a read costs its reader, and what readers cost the engine.

The agent, the broker, the publisher and the embedded cluster run in processes of their own. Requests go one after the
other over one connection, as a browser or Prometheus sends them; `paced` ones come four times a second, so that many
meet values that have grown old. Beside them a bare server of the standard library, in a process of its own, gives away
a page of the same size: what the machine can do just now. On a machine that others use too the times tell of them; the
processor time does not. For a paced read it is that of the thread that serves it, from its start to its end; for the
others, where a connection serves many, the agent's less what it uses while nobody reads.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.agent import Child
from bench.harness import Harness, percentile
from edgesched.core.plan.events import Measured
from edgesched.node.config import load_config
from edgesched.node.main import Agent, Parts, build

BARE = "bare server, a page of that size"
PLUGINS = 1000
PATHS = (
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/status",
    "/api/v1/goals",
    "/api/v1/plugins",
    "/api/v1/runs",
    "/api/v1/explain?plugin=p7",
)
HAMMERED = 400
PACED = 200
PACE_S = 0.25
READERS = 4
QUIET_S = 3.0


def run(harness: Harness) -> None:
    """Measure and print all rows."""
    from edgesched.adapters.broker import EmbeddedBroker

    broker = EmbeddedBroker()
    _, port = broker.start()
    cluster = Child("cluster")
    url = cluster.answer()["url"]
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.yaml"
        job.write_text(_job())
        agent = Child("agent", str(job), url, f"mqtt://127.0.0.1:{port}", module="bench.api")
        api = int(agent.answer()["port"])
        publisher = Child("publish", str(port), module="bench.api")
        bare = Child("bare", module="bench.api")
        try:
            _measure(harness, agent, api, int(bare.answer()["port"]))
        finally:
            for child in (publisher, bare, agent, cluster):
                child.end()
    broker.stop()


def _measure(harness: Harness, agent: Child, api: int, bare: int) -> None:
    sizes = {path: len(_get(http.client.HTTPConnection("127.0.0.1", api, timeout=30), path)) for path in PATHS}
    largest = max(sizes.values())
    harness.note(
        f"{PLUGINS} rules and plugins, 1000 measurements/s; {HAMMERED} requests one after the other and {PACED} "
        f"{PACE_S} s apart for each path; the largest answer has {largest / 1024:.0f} KiB"
    )
    harness.row(f"{BARE}, hammered: p99", percentile(_read(bare, f"/{largest}", HAMMERED), 99), "ms")
    agent.ask("forget")
    paced = _paced({path: (api, path) for path in PATHS} | {BARE: (bare, f"/{largest}")})
    costs = agent.ask("report")["costs"]
    harness.row(f"{BARE}, paced: p99", percentile(paced[BARE], 99), "ms")
    for path in PATHS:
        harness.row(f"read {path}, paced: p99", percentile(paced[path], 99), "ms", at_most=5)
        harness.row(f"read {path}, paced: processor time p99", percentile(costs[path], 99), "ms", at_most=5)
    agent.ask("forget")
    time.sleep(QUIET_S)
    quiet = agent.ask("report")
    at_rest = quiet["cpu_s"] / QUIET_S
    for path in PATHS:
        agent.ask("forget")
        begun_s = time.monotonic()
        taken = _read(api, path, HAMMERED)
        cpu_s = agent.ask("report")["cpu_s"] - at_rest * (time.monotonic() - begun_s)
        harness.row(f"read {path}, hammered: p99", percentile(taken, 99), "ms", at_most=5)
        harness.row(f"read {path}: processor time", max(0.0, cpu_s) * 1000 / HAMMERED, "ms", at_most=5)
    stop = threading.Event()
    readers = [threading.Thread(target=_hammer, args=(api, stop)) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    agent.ask("forget")
    time.sleep(QUIET_S)
    loud = agent.ask("report")
    stop.set()
    for reader in readers:
        reader.join()
    harness.row("engine: received -> decided p99, nobody reads", percentile(quiet["waited"], 99), "ms")
    harness.row(f"engine: received -> decided p99, {READERS} readers hammer", percentile(loud["waited"], 99), "ms")
    harness.row(
        "engine: longest time that a reader's question held it", max(loud["held"], default=0.0), "ms", at_most=5
    )


def _job() -> str:
    lines = ["name: api", "nodes:", "  W023:", "plugins:"]
    for number in range(PLUGINS):
        lines += [f"- name: p{number}", "  pluginSpec:", f"    image: bench/p{number}:1.0.0"]
    lines.append("scienceRules:")
    for number in range(0, PLUGINS, 2):
        lines.append(f"- \"schedule(p{number}): avg(v('bench.n{number}', since='-5m')) > 1e9\"")
        lines.append(f"- \"schedule(p{number + 1}): cronjob('p{number + 1}', '{number % 60} 3 * * *')\"")
    return "\n".join(lines) + "\n"


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, f"{path}: {response.status} {body[:200]!r}"
    return body


def _read(port: int, path: str, count: int) -> list[float]:
    """Read so many times and return what each took, in ms."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    _get(connection, path)
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        _get(connection, path)
        taken.append((time.perf_counter() - start) * 1000)
    connection.close()
    return taken


def _paced(pages: Mapping[str, tuple[int, str]]) -> dict[str, list[float]]:
    """Read pages (port and path by name) again and again, slowly, and return what each took, in ms."""
    taken: dict[str, list[float]] = {name: [] for name in pages}
    for _ in range(PACED):
        for name, (port, path) in pages.items():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            start = time.perf_counter()
            _get(connection, path)
            taken[name].append((time.perf_counter() - start) * 1000)
            connection.close()
        time.sleep(PACE_S)
    return taken


def _hammer(port: int, stop: threading.Event) -> None:
    while not stop.is_set():
        for path in PATHS:
            _read(port, path, 1)


# -- what the children do ---------------------------------------------------------------------------------------------


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


def _agent(job: str, url: str, mqtt: str) -> None:
    arrived: dict[int, int] = {}
    waited: list[float] = []
    held: list[float] = []

    def received(event: Any) -> None:
        if isinstance(event, Measured):
            arrived[id(event)] = time.monotonic_ns()

    def decided(event: Any, _effects: list[Any]) -> None:
        began_ns = arrived.pop(id(event), None)
        if began_ns is not None:
            waited.append((time.monotonic_ns() - began_ns) / 1e6)

    words = ["--job", job, "--kube-server", url, "--nodename", "W023", "--http-listen", "127.0.0.1:0"]
    words += ["--events", "log", "--mqtt-uri", mqtt]
    agent = build(load_config(words), notice=lambda *_, **__: None, parts=Parts(received=received, decided=decided))
    ask = agent.engine.ask

    def timed_ask(question: Any, timeout_s: float = 2.0) -> Any:
        def timed(state: Any, now: Any) -> Any:
            start_ns = time.monotonic_ns()
            try:
                return question(state, now)
            finally:
                held.append((time.monotonic_ns() - start_ns) / 1e6)

        return ask(timed, timeout_s)

    agent.engine.ask = timed_ask  # type: ignore[method-assign]
    agent.start()
    deadline = time.monotonic() + 60
    while len(agent.state.rules) < PLUGINS or not agent.connections()["measurements"]:
        assert time.monotonic() < deadline, "the agent did not get ready"
        time.sleep(0.05)
    assert agent.http is not None
    costs = _time_reads(agent)
    _say({"port": agent.http.port})
    before_s = time.process_time()
    for word in sys.stdin:
        if word.strip() == "forget":
            before_s = time.process_time()
            waited.clear()
            held.clear()
            costs.clear()
            _say("forgotten")
        else:
            cpu_s = time.process_time() - before_s
            _say({"waited": list(waited), "held": list(held), "cpu_s": cpu_s, "costs": costs})
    agent.stop()


def _time_reads(agent: Agent) -> dict[str, list[float]]:
    """Time the threads that serve one read each, by path, in ms of processor time."""
    costs: defaultdict[str, list[float]] = defaultdict(list)
    read = threading.local()
    assert agent.http is not None
    server = agent.http._server  # noqa: SLF001 - a hook for a benchmark alone is not worth a place in the agent
    answer, serve = agent.pages.answer, server.process_request_thread

    def noted_answer(method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        read.path = f"{path}?{urlencode(query)}" if query else path
        return answer(method, path, query, body)

    def timed_serve(*arguments: Any) -> None:
        serve(*arguments)
        costs[read.path].append(time.thread_time() * 1000)

    agent.pages.answer = noted_answer  # type: ignore[method-assign]
    server.process_request_thread = timed_serve  # type: ignore[method-assign]
    return costs


def _publish(port: str) -> None:
    import paho.mqtt.client as mqtt

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    number = 0
    began = time.monotonic()
    while not ended.wait(max(0.0, began + number / 1000 - time.monotonic())):
        # a plugin's rule in two listens; the value never fires it
        name = f"bench.n{number * 2 % PLUGINS}"
        wire = {"name": name, "ts": time.time_ns(), "val": number % 100, "meta": {"sensor": "bench"}}
        client.publish(name.replace(".", "/"), json.dumps(wire))
        number += 1
    client.loop_stop()


class _Given(BaseHTTPRequestHandler):
    """Gives as many bytes as the path says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = b"x" * int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class has
        """Requests are no news."""


def _bare() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Given)
    _say({"port": server.server_port})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


ROLES = {"agent": _agent, "publish": _publish, "bare": _bare}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
