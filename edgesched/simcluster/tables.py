"""Tables for `kubectl get`: columns and cells as the real server prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from edgesched.simcluster import times
from edgesched.simcluster.resources import (
    CONFIGMAPS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Stored

_NONE: Final = "<none>"
Cells = list[Any]


@dataclass(frozen=True, slots=True)
class Table:
    """How a client wants its table: `include` is `Metadata`, `Object` or `None` for each row's object."""

    resource: Resource
    include: str = "Metadata"

    def render(self, items: Iterable[Stored], version: str, more: Mapping[str, Any] | None = None) -> Object:
        """The `Table` object; `more` goes into its metadata."""
        columns, cells = _PRINTERS.get(self.resource, _PLAIN)
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": version, **(more or {})},
            "columnDefinitions": [_column(text) for text in columns],
            "rows": [self._row(stored.obj, cells) for stored in items],
        }

    def _row(self, obj: Object, cells: Callable[[Object], Cells]) -> Object:
        row: Object = {"cells": cells(obj)}
        if self.include == "Object":
            row["object"] = obj
        elif self.include != "None":
            partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
            row["object"] = partial
        return row


def _column(text: str) -> Object:
    """`*Name` is shown with `-o wide` only; `#Name` is a number."""
    name = text.lstrip("*#")
    return {
        "name": name,
        "type": "integer" if "#" in text[:2] else "string",
        "format": "name" if name == "Name" else "",
        "description": name,
        "priority": 1 if text.startswith("*") else 0,
    }


def _age(obj: Object) -> str:
    return times.age_text(obj["metadata"]["creationTimestamp"])


def _pod(pod: Object) -> Cells:
    spec, state = pod["spec"], pod.get("status") or {}
    containers = state.get("containerStatuses") or []
    return [
        pod["metadata"]["name"],
        f"{sum(1 for container in containers if container['ready'])}/{len(spec['containers'])}",
        pod_word(pod),
        sum(container["restartCount"] for container in containers),
        _age(pod),
        state.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        state.get("nominatedNodeName") or _NONE,
        _NONE,
    ]


def pod_word(pod: Object) -> str:
    """The word in kubectl's STATUS column: the phase, or the reason that says more."""
    state = pod.get("status") or {}
    word = state.get("reason") or state.get("phase", "Unknown")
    starting = _init_word(pod, state)
    if starting:
        word = starting
    else:
        for container in reversed(state.get("containerStatuses") or []):
            word = _container_word(container) or word
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if state.get("reason") == "NodeLost" else "Terminating"
    return str(word)


def _container_word(container: Object) -> str:
    state = container.get("state") or {}
    if (state.get("waiting") or {}).get("reason"):
        return str(state["waiting"]["reason"])
    terminated = state.get("terminated")
    if terminated is None:
        return ""
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated['exitCode']}"


def _init_word(pod: Object, state: Object) -> str:
    total = len(pod["spec"].get("initContainers") or [])
    for index, container in enumerate(state.get("initContainerStatuses") or []):
        terminated = (container.get("state") or {}).get("terminated")
        if terminated and terminated["exitCode"] == 0:
            continue
        word = _container_word(container)
        if word and word != "PodInitializing":
            return f"Init:{word}"
        return f"Init:{index}/{total}"
    return ""


def _event(event: Object) -> Cells:
    about = event.get("involvedObject") or {}
    last = event.get("lastTimestamp") or event.get("eventTime") or ""
    first = event.get("firstTimestamp") or event.get("eventTime") or ""
    return [
        times.age_text(last),
        event.get("type") or "",
        event.get("reason") or "",
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath") or "",
        (event.get("source") or {}).get("component") or event.get("reportingComponent") or "",
        (event.get("message") or "").strip(),
        times.age_text(first),
        event.get("count") or 1,
        event["metadata"]["name"],
    ]


def _node(node: Object) -> Cells:
    state, metadata = node.get("status") or {}, node["metadata"]
    ready = next((item for item in state.get("conditions") or [] if item["type"] == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"]
    if node["spec"].get("unschedulable"):
        words.append("SchedulingDisabled")
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key.removeprefix(prefix) for key in metadata.get("labels") or {} if key.startswith(prefix))
    info = state.get("nodeInfo") or {}
    addresses = {item["type"]: item["address"] for item in state.get("addresses") or []}
    return [
        metadata["name"],
        ",".join(words),
        ",".join(roles) or _NONE,
        _age(node),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _namespace(namespace: Object) -> Cells:
    return [namespace["metadata"]["name"], namespace["status"]["phase"], _age(namespace)]


def _configmap(config: Object) -> Cells:
    return [
        config["metadata"]["name"],
        len(config.get("data") or {}) + len(config.get("binaryData") or {}),
        _age(config),
    ]


def _secret(secret: Object) -> Cells:
    return [secret["metadata"]["name"], secret.get("type", ""), len(secret.get("data") or {}), _age(secret)]


def _service(service: Object) -> Cells:
    spec = service["spec"]
    ports = ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or [])
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    external = spec.get("externalName") if spec["type"] == "ExternalName" else None
    return [
        service["metadata"]["name"],
        spec["type"],
        spec.get("clusterIP") or _NONE,
        external or _NONE,
        ports or _NONE,
        _age(service),
        selector or _NONE,
    ]


def _service_account(account: Object) -> Cells:
    return [account["metadata"]["name"], len(account.get("secrets") or []), _age(account)]


def _lease(lease: Object) -> Cells:
    return [lease["metadata"]["name"], (lease.get("spec") or {}).get("holderIdentity") or "", _age(lease)]


def _priority_class(priority_class: Object) -> Cells:
    return [
        priority_class["metadata"]["name"],
        priority_class.get("value", 0),
        bool(priority_class.get("globalDefault")),
        _age(priority_class),
    ]


def _plain(obj: Object) -> Cells:
    return [obj["metadata"]["name"], _age(obj)]


_Printer = tuple[tuple[str, ...], Callable[[Object], Cells]]
_PLAIN: Final[_Printer] = (("Name", "Age"), _plain)
_PRINTERS: Final[Mapping[Resource, _Printer]] = {
    PODS: (
        ("Name", "Ready", "Status", "#Restarts", "Age", "*IP", "*Node", "*Nominated Node", "*Readiness Gates"),
        _pod,
    ),
    EVENTS: (
        (
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "*Subobject",
            "*Source",
            "Message",
            "*First Seen",
            "*#Count",
            "*Name",
        ),
        _event,
    ),
    NODES: (
        (
            "Name",
            "Status",
            "Roles",
            "Age",
            "Version",
            "*Internal-IP",
            "*External-IP",
            "*OS-Image",
            "*Kernel-Version",
            "*Container-Runtime",
        ),
        _node,
    ),
    NAMESPACES: (("Name", "Status", "Age"), _namespace),
    CONFIGMAPS: (("Name", "#Data", "Age"), _configmap),
    SECRETS: (("Name", "Type", "#Data", "Age"), _secret),
    SERVICES: (("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "*Selector"), _service),
    SERVICE_ACCOUNTS: (("Name", "#Secrets", "Age"), _service_account),
    LEASES: (("Name", "Holder", "Age"), _lease),
    PRIORITY_CLASSES: (("Name", "#Value", "Global-Default", "Age"), _priority_class),
}
