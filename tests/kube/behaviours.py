"""Plugins that behave in a known way, for the embedded cluster (as an outcome) and a real node (as a command)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgesched.simcluster import Outcome, Scenario
from tests.kube.rawkube import Json, RawKube, Watch

IMAGE = "localhost/edgesched/busybox:1"
MISSING_IMAGE = "localhost/edgesched/no-such:1"


@dataclass(frozen=True)
class Behaviour:
    """The same behaviour twice. `spec`: more fields of the container."""

    name: str
    command: str
    outcome: Outcome
    image: str = IMAGE
    resources: Json | None = None


def _made(name: str, command: str, image: str = IMAGE, resources: Json | None = None, **outcome: Any) -> Behaviour:
    return Behaviour(name, command, Outcome(plugin=name, **outcome), image, resources)


_LIMIT = {"limits": {"memory": "20Mi"}}
_EAT = "dd if=/dev/zero of=/dev/null bs=64M count=1"
BEHAVIOURS = {
    behaviour.name: behaviour
    for behaviour in (
        _made("ok", "echo one; echo two; sleep 1", run_s=1.0, log=("one", "two")),
        _made("quick", "echo hi", run_s=0.0, log=("hi",), start_delay_s=0.0),
        _made("seven", "echo no; exit 7", run_s=0.1, exit_code=(7,), log=("no",)),
        _made("endless", "echo on; sleep 1000", run_s=None, log=("on",), on_term="ignore"),
        _made("handles", 'trap "exit 5" TERM; while true; do sleep 0.1; done', run_s=None, on_term=5),
        _made("ignores", 'trap "" TERM; while true; do sleep 0.1; done', run_s=None, on_term="ignore"),
        _made("missing", "true", MISSING_IMAGE, pull_error="not found"),
        _made("oom", f"exec {_EAT}", resources=_LIMIT, oom="main", run_s=0.3),
        _made("oom-child", f"{_EAT}; echo x", resources=_LIMIT, oom="child", run_s=0.3),
        _made("bad-start", "echo never", init_exit_code=3),
    )
}
SCENARIO = Scenario(tuple(behaviour.outcome for behaviour in BEHAVIOURS.values()))


def behaving(name: str, behaviour: str, *, init: str = "", **spec: Any) -> Json:
    """A pod whose container behaves so. `init`: command of an init container. `spec`: more fields of the pod."""
    wanted = BEHAVIOURS[behaviour]
    extra = spec.pop("container", {})
    container = {"name": wanted.name, "image": wanted.image, "command": ["sh", "-c", wanted.command], **extra}
    if wanted.resources:
        container["resources"] = wanted.resources
    full: Json = {"restartPolicy": "Never", "containers": [container], **spec}
    if init:
        full["initContainers"] = [{"name": "first", "image": IMAGE, "command": ["sh", "-c", init]}]
    return {"metadata": {"name": name, "labels": {"test": name}}, "spec": full}


@dataclass
class Node:
    """A cluster whose pods run. `space`: path of the namespace."""

    kube: RawKube
    space: str = "/api/v1/namespaces/ses"
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def is_real(self) -> bool:
        """Real containers run on it."""
        return self.kube.kind != "sim"

    def create(self, pod: Json) -> Json:
        """Create a pod."""
        answer = self.kube.post(f"{self.space}/pods", pod)
        assert answer.status == 201, answer.message
        self.versions[pod["metadata"]["name"]] = int(answer.version)
        return answer.body

    def watch(self, name: str, timeout_s: int = 60) -> Watch:
        """Follow one pod from its creation, seeing each of its states."""
        query = f"fieldSelector=metadata.name%3D{name}&resourceVersion={self.versions[name] - 1}"
        return self.kube.watch(f"{self.space}/pods?{query}", timeout_s)

    def follow(self, name: str, done: Any, timeout_s: int = 60) -> list[Json]:
        """Each state of a pod until `done(pod)`."""
        events = self.watch(name, timeout_s).until(lambda seen: done(seen[-1]["object"]))
        return [event["object"] for event in events]

    def until_phase(self, name: str, *phases: str) -> Json:
        """The pod in one of these phases."""
        return self.follow(name, lambda pod: pod["status"]["phase"] in phases)[-1]

    def until_waiting(self, name: str, reason: str) -> Json:
        """The state in which the first container waits for this reason."""
        return self.follow(name, lambda pod: state(pod).get("waiting", {}).get("reason") == reason)[-1]

    def event_reasons(self, name: str) -> set[str]:
        """Reasons of the events about a pod."""
        listed = self.kube.get(f"{self.space}/events?fieldSelector=involvedObject.name%3D{name}")
        return {item["reason"] for item in listed.body["items"]}

    def log(self, name: str, query: str = "") -> str:
        """The log."""
        return self.kube.get(f"{self.space}/pods/{name}/log?{query}").text

    def clear(self) -> None:
        """Remove pods and events."""
        for kind in ("pods", "events"):
            self.kube.delete(f"{self.space}/{kind}", {"gracePeriodSeconds": 0})


def state(pod: Json, index: int = 0) -> Json:
    """State of a container, empty when there is none yet."""
    statuses = pod["status"].get("containerStatuses") or []
    return statuses[index]["state"] if len(statuses) > index else {}


def conditions(pod: Json) -> dict[str, str]:
    """Condition type to status."""
    return {item["type"]: item["status"] for item in pod["status"].get("conditions") or []}
