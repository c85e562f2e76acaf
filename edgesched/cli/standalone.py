"""`edgesched standalone`: everything on this machine, in one process tree.

A cloud scheduler, an MQTT broker, a player of recorded sensor data, an embedded cluster and the node agent between
them, on free ports of loopback. What happens is told in plain lines. The files given with `--job` are submitted to the
cloud and may be edited while it runs. Without the cloud's packages the agent reads the files itself.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesched.errors import InputError
from edgesched.node import parsing

if TYPE_CHECKING:
    from edgesched.cli.standalone_cloud import EditedJobs, StartedCloud
    from edgesched.core.model import Message
    from edgesched.node.config import Config
    from edgesched.node.main import Agent
    from edgesched.node.outlets import Outbox
    from edgesched.ports import EventPublisher

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
RECORDING: Final = EXAMPLES / "measurements" / "rain.ndjson"
DEFAULT_NODE: Final = "W023"
LARGEST_JOB: Final = 256 * 1024
TICK_S: Final = 1.0
CLOUD_PACKAGES: Final = frozenset({"aiohttp", "sqlalchemy"})


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "standalone", description="Run agent, broker, sensors and cluster on this machine and tell what happens."
    )
    parser.add_argument("--job", action="append", type=Path, default=[], metavar="FILE", help="a job file (repeatable)")
    parser.add_argument(
        "--node", default="", metavar="VSN", help="the node to be (default: the first job's first node)"
    )
    parser.add_argument(
        "--for", dest="for_s", type=_duration_s, metavar="TIME", help="end after this time, such as 90s"
    )
    parser.add_argument("--measurements", type=Path, metavar="NDJSON", help="recorded sensor data to be played")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast the recording is played (default 1)")
    parser.add_argument("--scenario", type=Path, metavar="YAML", help="what becomes of pods in the embedded cluster")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write the agent's log to a file")
    parser.add_argument("--debug", action="store_true", help="log evaluations, show tracebacks")


def run(arguments: Namespace) -> int:
    """Start the parts, tell what happens until the time is over or a signal comes, end the parts."""
    files = _files(arguments.job)
    nodes = _nodes_of(files)
    vsn = arguments.node or (nodes[0] if nodes else DEFAULT_NODE)
    # late: a wrong file is told before anything heavy is loaded or started
    from edgesched.node.signals import StopSignals

    with ExitStack() as parts, StopSignals() as signals:
        agent, edited = _start(arguments, files, [vsn, *nodes], parts)
        end_s = None if arguments.for_s is None else time.monotonic() + arguments.for_s
        while not signals.wait(TICK_S if end_s is None else min(TICK_S, max(0.0, end_s - time.monotonic()))):
            if end_s is not None and time.monotonic() >= end_s:
                break
            if agent.supervisor.broken.is_set():
                return 70
            if edited is not None:
                edited.look()
        print("ending", flush=True)
    return 0


def _start(
    arguments: Namespace, files: list[Path], nodes: list[str], parts: ExitStack
) -> tuple[Agent, EditedJobs | None]:
    """Start broker, cluster, cloud, agent and player, in this order; `parts` ends them in the other one.

    `nodes`: the node to be, and those that the jobs name. Returns the agent and who looks after edited files.
    """
    from edgesched.adapters.broker import EmbeddedBroker
    from edgesched.adapters.clock import SystemClock
    from edgesched.adapters.mqtt import MqttPublisher, MqttSettings
    from edgesched.adapters.player import Player, load_recording
    from edgesched.cli.narrator import Narrator
    from edgesched.node import wiring
    from edgesched.node.main import Parts, build
    from edgesched.node.outlets import Outbox
    from edgesched.node.supervisor import Supervisor
    from edgesched.simcluster import DEFAULT_FILE, SimCluster, load_scenario

    vsn = nodes[0]
    clock = SystemClock()
    narrator = Narrator(clock, lambda line: print(line, flush=True))
    notice = _with_log(narrator, arguments, parts)
    played = arguments.measurements or (RECORDING if RECORDING.is_file() else None)
    recording = load_recording(played) if played is not None else []
    scenario = load_scenario(arguments.scenario or DEFAULT_FILE)

    broker = EmbeddedBroker()
    parts.callback(broker.stop)
    host, port = broker.start()
    mqtt_uri = f"mqtt://{host}:{port}"
    settings = MqttSettings(host=host, port=port)

    pods_out = MqttPublisher(settings, notice)
    outbox = Outbox(pods_out, answer=lambda _event: None, notice=notice)
    cluster = SimCluster(scenario, publish=_PodMessages(outbox, clock, vsn))
    url = cluster.start()
    parts.callback(cluster.stop)

    flags = ["--node", vsn, "--kube-server", url, "--mqtt-uri", mqtt_uri, "--http-listen", "127.0.0.1:0", "--wes=false"]
    flags.append("--lease=false")
    hooks = Parts(clock=clock, received=narrator.received, decided=narrator.decided, sent=narrator.sent)
    started, edited = _start_cloud(parts, files, nodes, mqtt_uri, narrator)
    config = _configure(flags, files, started)
    if started is not None:
        hooks.publisher = _BothWays(MqttPublisher(settings, notice), wiring.publisher(config, notice))
    agent = build(config, notice=notice, parts=hooks)
    _print_ports(agent, url, mqtt_uri, broker.kind, broker.limits)
    if started is not None:
        _print_cloud(started, files)
    parts.callback(_print_counts, narrator)
    agent.start()
    parts.callback(agent.stop)

    around = Supervisor(notice)
    around.add("pod-messages", outbox.run, nudge=outbox.nudge)
    if recording:
        player = Player(recording, MqttPublisher(settings, notice), clock, notice, speed=arguments.speed)
        around.add("player", player.run)
    around.start()
    parts.callback(around.stop, 2.0)
    return agent, edited


def _start_cloud(
    parts: ExitStack, files: list[Path], nodes: list[str], mqtt_uri: str, narrator: Any
) -> tuple[StartedCloud | None, EditedJobs | None]:
    """Start the cloud and submit the jobs; nothing when its packages are not installed."""
    try:
        from edgesched.cli.standalone_cloud import EditedJobs, start_cloud
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in CLOUD_PACKAGES:
            raise
        print(f"without a cloud scheduler, which needs {error.name}: pip install 'edgesched[cloud]'", flush=True)
        return None, None
    started = start_cloud(parts, vsn=nodes[0], nodes=nodes[1:], jobs=files, mqtt_uri=mqtt_uri, say=narrator.say)
    return started, EditedJobs(started, files, narrator.say)


def _configure(flags: list[str], files: list[Path], started: StartedCloud | None) -> Config:
    """Let the agent take its jobs from the cloud, or from the files without one."""
    from edgesched.node.config import load_config

    if started is None:
        return load_config([*flags, *(f"--job={path}" for path in files or _example_jobs())])
    flags = [*flags, "--goalstream-url", started.url, "--events", "cloud"]
    return load_config(flags, {"EDGESCHED_GOALSTREAM_TOKEN": started.node_token})


class _BothWays:
    """Events go to the broker, where other plugins and `mosquitto_sub` hear them, and to the cloud.

    The cloud hears the broker, too, but only once its uplink has connected; it knows the ids of what came already.
    """

    def __init__(self, broker: EventPublisher, cloud: EventPublisher) -> None:
        self._broker = broker
        self._cloud = cloud

    def publish(self, messages: list[Message]) -> None:
        self._broker.publish(messages)
        self._cloud.publish(messages)


class _PodMessages:
    """What pods publish goes to the broker, with the meta that the node's message validator would add."""

    def __init__(self, outbox: Outbox, clock: Any, vsn: str) -> None:
        self._outbox = outbox
        self._clock = clock
        self._vsn = vsn

    def __call__(self, name: str, value: Any, meta: Mapping[str, str], pod: dict[str, Any]) -> None:
        from edgesched.core.model import Message
        from edgesched.core.pods import TASK

        image = pod["spec"]["containers"][0]["image"]
        task = pod["metadata"].get("labels", {}).get(TASK, "")
        told = {**meta, "vsn": self._vsn, "plugin": image.rpartition("/")[2], "task": task}
        message = Message(name, self._clock.now().ts_ns, value, told)
        self._outbox.put(message)


def _with_log(narrator: Any, arguments: Namespace, parts: ExitStack) -> Any:
    """Return a notice that tells, and logs when a log file is wanted; libraries log there or nowhere."""
    import os

    from edgesched.node import log

    stream = parts.enter_context(Path(arguments.log or os.devnull).open("a", encoding="utf-8"))  # noqa: SIM115
    sink = log.set_up("json", debug=arguments.debug, stream=stream, monotonic_s=time.monotonic)
    parts.callback(sink.flush_repeats)

    def notice(event: str, *, level: str = "info", **fields: Any) -> None:
        narrator(event, level=level, **fields)
        log.notice(event, level=level, **fields)

    return notice


def _print_ports(agent: Agent, kube_url: str, mqtt_uri: str, broker: str, limits: str) -> None:
    assert agent.http is not None
    http_url = f"http://{agent.http.host}:{agent.http.port}"
    mqtt_port = mqtt_uri.rpartition(":")[2]
    lines = [
        f"node {agent.config.vsn}: agent {http_url}, cluster {kube_url}, MQTT broker ({broker}) {mqtt_uri}",
        *([limits] if limits else []),
        "try in a second terminal:",
        f"  kubectl --server {kube_url} get pods -n ses -w",
        f"  mosquitto_sub -p {mqtt_port} -v -t '#'",
        f"  mosquitto_pub -p {mqtt_port} -t env/raingauge/event_acc -m 999",
        f"  edgesched status --url {http_url}",
        f"  edgesched explain PLUGIN --url {http_url}",
        "",
    ]
    print("\n".join(lines), flush=True)


def _print_cloud(started: StartedCloud, files: list[Path]) -> None:
    lines = ["jobs are taken by the cloud scheduler; for sesctl, in a second terminal:"]
    lines += [f"  {line}" for line in started.lines]
    lines += [f"jobs and their runs: {started.url}/jobs", ""]
    lines += [f"not taken: {reason}" for reason in started.refused]
    if not files:
        lines += [
            "no job yet; docs/tutorial.md goes on with: sesctl create --file-path examples/tutorial/myjob.yaml",
            "",
        ]
    print("\n".join(lines), flush=True)


def _print_counts(narrator: Any) -> None:
    for plugin, counts in narrator.counts.items():
        told = ", ".join(f"{number} {what}" for what, number in counts.items())
        print(f"{plugin}: {told}", flush=True)


def _example_jobs() -> list[Path]:
    jobs = sorted((EXAMPLES / "tutorial").glob("*.yaml"))
    if not jobs:
        raise InputError("no job to run", hint="name one with --job FILE")
    return jobs


def _files(jobs: list[Path]) -> list[Path]:
    """Return the files, those of a folder in the order of their names."""
    return [each for path in jobs for each in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]


def _nodes_of(files: list[Path]) -> list[str]:
    """Return the nodes that the jobs name. Raises InputError for a file that is no job."""
    from edgesched.cli.files import read_text
    from edgesched.core.jobs import parse_job

    nodes: list[str] = []
    for path in files:
        parsed = parse_job(read_text(str(path), LARGEST_JOB), str(path))
        if not parsed.is_job:
            fault = next(finding for finding in parsed.findings if finding.severity == "error")
            raise InputError(f"{path}:{fault.line}:{fault.column}: {fault.message}", hint=fault.hint)
        nodes += parsed.job.nodes
    return nodes


def _duration_s(value: str) -> float:
    try:
        return parsing.duration_s(value)
    except ValueError as error:
        raise ArgumentTypeError(f"{error}, not {value!r}") from None
