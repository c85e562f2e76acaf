"""One pod's run on the embedded node, as a script of steps: each `yield` is a wait in seconds.

The order of statuses and events is that of a real kubelet 1.20 with containerd, watched on a real node: waiting with
its reason, running, terminated; the phase follows the containers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from edgesched.simcluster import times
from edgesched.simcluster.logs import LogLine
from edgesched.simcluster.podstatus import Container, pod_status
from edgesched.simcluster.scenario import Outcome, Publication
from edgesched.simcluster.status import Object

Waits = Iterator[float]
_CONTAINER_START_S: Final = 0.02
_CRASH_BACKOFF_S: Final = 10.0
_LONGEST_BACKOFF_S: Final = 300.0


class Node(Protocol):
    """What a run needs of the kubelet."""

    pull_backoff_s: float
    retry_s: float

    def write(self, run: PodRun, status: Object) -> None:
        """Store the pod's next status."""
        ...

    def tell(self, run: PodRun, kind: str, reason: str, message: str, field_path: str = "") -> None:
        """Record an Event about the pod."""
        ...

    def publish(self, run: PodRun, publication: Publication) -> None:
        """Publish a value as the pod."""
        ...

    def missing_mount(self, run: PodRun) -> str:
        """Why a volume cannot be mounted, empty when all can."""
        ...

    def missing_value(self, run: PodRun, container: Object) -> str:
        """Why a container's environment cannot be made, empty when it can."""
        ...


@dataclass(slots=True, eq=False)
class PodRun:
    """What the node knows of one pod. `pod` is its newest stored state."""

    pod: Object
    outcome: Outcome
    exit_code: int
    pod_ip: str
    inits: list[Container] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)
    lines: dict[str, list[LogLine]] = field(default_factory=dict)
    phase: str = "Pending"
    has_ended: bool = False
    is_stopping: bool = False
    has_sandbox: bool = False

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return str(self.pod["metadata"]["uid"])

    @property
    def is_running(self) -> bool:
        """A container runs."""
        return any(container.is_running for container in [*self.inits, *self.containers])

    def status(self, **extra: Any) -> Object:
        """The next status."""
        ip = self.pod_ip if self.has_sandbox else ""
        before = self.pod["status"]
        made = pod_status(before, phase=self.phase, inits=self.inits, containers=self.containers, pod_ip=ip)
        return {**made, **extra}

    def log(self, container: str, text: str) -> None:
        """Append a log line."""
        self.lines.setdefault(container, []).append(LogLine(times.now_micro_text(), text))


def life(run: PodRun, node: Node) -> Waits:
    """From placement to the end of the last container."""
    spec = run.pod["spec"]
    word = "PodInitializing" if spec.get("initContainers") else "ContainerCreating"
    run.inits = [Container(item["name"], item["image"]).waiting(word) for item in spec.get("initContainers") or []]
    run.containers = [Container(item["name"], item["image"]).waiting(word) for item in spec["containers"]]
    node.write(run, run.status())
    yield from _mounts(run, node)
    run.has_sandbox = True
    for index in range(len(run.inits)):
        yield from _init(run, node, index)
        if run.has_ended:
            return
    yield from _pull(run, node)
    yield from _configure(run, node)
    backoff_s = _CRASH_BACKOFF_S
    while True:
        yield from _start(run, node)
        yield from _work(run, node)
        code, reason = _ending(run)
        finish(run, node, code, reason)
        if run.has_ended:
            return
        yield 1.0
        yield from _crash_back_off(run, node, backoff_s)
        backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)


def _mounts(run: PodRun, node: Node) -> Waits:
    backoff_s = node.retry_s
    while why := node.missing_mount(run):
        node.tell(run, "Warning", "FailedMount", why)
        yield backoff_s
        backoff_s = min(backoff_s * 2, 120.0)


def _init(run: PodRun, node: Node, index: int) -> Waits:
    spec = run.pod["spec"]["initContainers"][index]
    path = f"spec.initContainers{{{spec['name']}}}"
    while why := node.missing_value(run, spec):
        run.inits[index] = run.inits[index].waiting("CreateContainerConfigError", why)
        node.tell(run, "Warning", "Failed", f"Error: {why}", path)
        node.write(run, run.status())
        yield node.retry_s * 5
    _tell_present(run, node, path, spec["image"])
    _tell_started(run, node, path, spec["name"])
    run.inits[index] = run.inits[index].running()
    run.lines.setdefault(spec["name"], [])
    node.write(run, run.status())
    yield run.outcome.init_s
    code = run.outcome.init_exit_code
    run.inits[index] = run.inits[index].terminated(code)
    if code:
        run.phase, run.has_ended = "Failed", True
        node.write(run, run.status())
    elif index + 1 == len(run.inits):
        node.write(run, run.status())


def _tell_present(run: PodRun, node: Node, path: str, image: str) -> None:
    node.tell(run, "Normal", "Pulled", f'Container image "{image}" already present on machine', path)


def _tell_started(run: PodRun, node: Node, path: str, name: str) -> None:
    node.tell(run, "Normal", "Created", f"Created container {name}", path)
    node.tell(run, "Normal", "Started", f"Started container {name}", path)


def _pull(run: PodRun, node: Node) -> Waits:
    path = f"spec.containers{{{run.containers[0].name}}}"
    image, error = run.containers[0].image, run.outcome.pull_error
    delay_s = run.outcome.start_delay_s
    if delay_s or error:
        node.tell(run, "Normal", "Pulling", f'Pulling image "{image}"', path)
    yield delay_s
    if not error:
        if delay_s:
            node.tell(run, "Normal", "Pulled", f'Successfully pulled image "{image}" in {delay_s:g}s', path)
        else:
            _tell_present(run, node, path, image)
        return
    why = (
        f'rpc error: code = Unknown desc = failed to pull and unpack image "{image}": failed to resolve reference '
        f'"{image}": {error}'
    )
    backoff_s = node.pull_backoff_s
    while True:
        node.tell(run, "Warning", "Failed", f'Failed to pull image "{image}": {why}', path)
        node.tell(run, "Warning", "Failed", "Error: ErrImagePull", path)
        _all_waiting(run, node, "ErrImagePull", why)
        yield backoff_s / 2
        node.tell(run, "Normal", "BackOff", f'Back-off pulling image "{image}"', path)
        node.tell(run, "Warning", "Failed", "Error: ImagePullBackOff", path)
        _all_waiting(run, node, "ImagePullBackOff", f'Back-off pulling image "{image}"')
        yield backoff_s / 2
        backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
        node.tell(run, "Normal", "Pulling", f'Pulling image "{image}"', path)


def _all_waiting(run: PodRun, node: Node, reason: str, message: str) -> None:
    run.containers = [container.waiting(reason, message) for container in run.containers]
    node.write(run, run.status())


def _configure(run: PodRun, node: Node) -> Waits:
    for spec in run.pod["spec"]["containers"]:
        path = f"spec.containers{{{spec['name']}}}"
        while why := node.missing_value(run, spec):
            node.tell(run, "Warning", "Failed", f"Error: {why}", path)
            _all_waiting(run, node, "CreateContainerConfigError", why)
            yield node.retry_s * 5


def _start(run: PodRun, node: Node) -> Waits:
    for spec in run.pod["spec"]["containers"]:
        _tell_started(run, node, f"spec.containers{{{spec['name']}}}", spec["name"])
        run.lines.setdefault(spec["name"], [])
    yield _CONTAINER_START_S
    run.containers = [container.running() for container in run.containers]
    run.phase = "Running"
    node.write(run, run.status())


def _work(run: PodRun, node: Node) -> Waits:
    """Log and publish until the run time is over."""
    outcome, name = run.outcome, run.containers[0].name
    agenda: list[tuple[float, int, Callable[[], float]]] = []

    def plan(at_s: float, act: Callable[[], float]) -> None:
        heapq.heappush(agenda, (at_s, len(agenda), act))

    def log(line: str) -> float:
        run.log(name, line)
        return 0.0

    def publish(publication: Publication) -> float:
        node.publish(run, publication)
        return publication.every_s

    step_s = (outcome.run_s or 0.0) / max(1, len(outcome.log))
    for index, line in enumerate(outcome.log):
        plan(index * step_s, lambda line=line: log(line))  # type: ignore[misc]
    for publication in outcome.publish:
        plan(publication.after_s, lambda publication=publication: publish(publication))  # type: ignore[misc]
    now_s = 0.0
    while agenda and (outcome.run_s is None or agenda[0][0] <= outcome.run_s):
        at_s, order, act = heapq.heappop(agenda)
        yield at_s - now_s
        now_s = at_s
        every_s = act()
        if every_s:
            heapq.heappush(agenda, (at_s + every_s, order, act))
    while outcome.run_s is None:
        yield 3600.0
    yield outcome.run_s - now_s


def _ending(run: PodRun) -> tuple[int, str]:
    if run.outcome.oom == "main":
        return 137, "OOMKilled"
    if run.outcome.oom == "child":
        return 0, "OOMKilled"
    return run.exit_code, ""


def finish(run: PodRun, node: Node, code: int, reason: str = "") -> None:
    """End the running containers; the phase follows unless the restart policy goes on."""
    run.containers = [item.terminated(code, reason) if item.is_running else item for item in run.containers]
    run.inits = [item.terminated(code, reason) if item.is_running else item for item in run.inits]
    policy = run.pod["spec"]["restartPolicy"]
    restarts = (policy == "Always" or (policy == "OnFailure" and code != 0)) and not run.is_stopping
    if not restarts:
        run.phase = "Failed" if any(item.exit_code for item in [*run.inits, *run.containers]) else "Succeeded"
        run.has_ended = True
    node.write(run, run.status())


def _crash_back_off(run: PodRun, node: Node, backoff_s: float) -> Waits:
    name, metadata = run.containers[0].name, run.pod["metadata"]
    path = f"spec.containers{{{name}}}"
    where = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
    why = f"back-off {backoff_s:.0f}s restarting failed container={name} pod={where}"
    node.tell(run, "Warning", "BackOff", "Back-off restarting failed container", path)
    run.containers = [item.waiting("CrashLoopBackOff", why) for item in run.containers]
    node.write(run, run.status())
    yield backoff_s
