"""What is seen: JSON of the Kubernetes API into the few facts that the planner needs.

Readers are tolerant: a field that is missing or has another type counts as not there, because objects come from
several releases of Kubernetes, from other schedulers and from half-written states (a pod in phase Running may have no
container status yet).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from edgesched.core.model import ContainerView, PodView
from edgesched.core.pods.labels import AGENT, GOAL_ID, INSTANCE, JOB_ID, RUN, TASK
from edgesched.core.pods.quantity import in_units
from edgesched.core.pods.resources import GPU

Json = Mapping[str, Any]

GPU_SELECTOR: Final = "resource.gpu"
MAX_TEXT: Final = 1024

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIDECAR: Final = "plugin-controller"


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node. `allocatable`: millicores for `cpu`, else bytes or pieces. `usable`: ready and not cordoned."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, int] = field(default_factory=dict)
    usable: bool = False


def view_pod(raw: Json) -> PodView:
    """Read a pod, of ours or of another scheduler."""
    metadata, spec, status = _object(raw, "metadata"), _object(raw, "spec"), _object(raw, "status")
    labels, annotations = _object(metadata, "labels"), _object(metadata, "annotations")

    def label(key: str) -> str:
        return _text(annotations, key) or _text(labels, key)

    plugin = label(TASK)
    phase = _text(status, "phase") or "Pending"
    statuses = _objects(status, "containerStatuses")
    inits = _objects(spec, "initContainers")
    version = _text(metadata, "resourceVersion")
    return PodView(
        name=_text(metadata, "name"),
        uid=_text(metadata, "uid"),
        phase=phase,
        run_id=label(RUN),
        agent=_text(labels, AGENT),
        job_id=label(JOB_ID),
        goal_id=label(GOAL_ID),
        plugin=plugin,
        instance=label(INSTANCE),
        node_name=_text(spec, "nodeName"),
        reason=_text(status, "reason"),
        message=_text(status, "message"),
        unschedulable=_unschedulable(status) if phase == "Pending" else "",
        deleting=bool(metadata.get("deletionTimestamp")),
        gpu=_wants_gpu(spec),
        requests=pod_requests(spec),
        created_ns=_ns(metadata.get("creationTimestamp")) or 0,
        container=_container(_plugin_container(spec, _text(labels, TASK)), statuses),
        init=_container(_text(inits[0], "name"), _objects(status, "initContainerStatuses")) if inits else None,
        version=int(version) if version.isdecimal() else 0,
    )


def view_node(raw: Json) -> NodeView:
    """Read a node of the cluster."""
    metadata, status = _object(raw, "metadata"), _object(raw, "status")
    ready = any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in _objects(status, "conditions")
    )
    return NodeView(
        name=_text(metadata, "name"),
        labels={key: value for key, value in _object(metadata, "labels").items() if isinstance(value, str)},
        allocatable=_amounts(_object(status, "allocatable")),
        usable=ready and not _object(raw, "spec").get("unschedulable"),
    )


def pod_requests(spec: Json) -> dict[str, int]:
    """Add up what the scheduler reserves for a pod's spec, by resource: millicores for `cpu`, else bytes or pieces.

    It is the containers' sum, or the largest init container where that is more.
    """
    total: dict[str, int] = {}
    for container in _objects(spec, "containers"):
        for name, amount in _container_requests(container).items():
            total[name] = total.get(name, 0) + amount
    for container in _objects(spec, "initContainers"):
        for name, amount in _container_requests(container).items():
            total[name] = max(total.get(name, 0), amount)
    for name, amount in _amounts(_object(spec, "overhead")).items():
        total[name] = total.get(name, 0) + amount
    return total


def _plugin_container(spec: Json, task: str) -> str:
    names = [_text(container, "name") for container in _objects(spec, "containers")]
    if task in names:
        return task
    return next((name for name in names if name != _SIDECAR), "")


def _container(name: str, statuses: list[Json]) -> ContainerView:
    status = next((status for status in statuses if status.get("name") == name), None)
    if status is None:
        return ContainerView(name)
    states: tuple[Literal["terminated", "running", "waiting"], ...] = ("terminated", "running", "waiting")
    state = _object(status, "state")
    for kind in states:
        if isinstance(state.get(kind), dict):
            return _container_in(name, kind, state[kind])
    return ContainerView(name)


def _container_in(name: str, kind: Literal["terminated", "running", "waiting"], facts: Json) -> ContainerView:
    code = facts.get("exitCode")
    return ContainerView(
        name=name,
        state=kind,
        reason=_text(facts, "reason"),
        message=_text(facts, "message"),
        exit_code=code if isinstance(code, int) else None,
        started_ns=_ns(facts.get("startedAt")),
        finished_ns=_ns(facts.get("finishedAt")),
    )


def _unschedulable(status: Json) -> str:
    for condition in _objects(status, "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _text(condition, "message") or _text(condition, "reason")
    return ""


def _wants_gpu(spec: Json) -> bool:
    if _object(spec, "nodeSelector").get(GPU_SELECTOR) == "true":
        return True
    return any(GPU in _object(_object(each, "resources"), "limits") for each in _objects(spec, "containers"))


def _container_requests(container: Json) -> dict[str, int]:
    resources = _object(container, "resources")
    # a limit without a request counts as the request
    return _amounts(_object(resources, "limits")) | _amounts(_object(resources, "requests"))


def _amounts(resources: Json) -> dict[str, int]:
    amounts: dict[str, int] = {}
    for name, amount in resources.items():
        try:
            amounts[name] = in_units(name, str(amount))
        except ValueError:
            continue
    return amounts


def _object(raw: Json, key: str) -> Json:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _objects(raw: Json, key: str) -> list[Json]:
    value = raw.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(raw: Json, key: str) -> str:
    value = raw.get(key)
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _ns(value: object) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
