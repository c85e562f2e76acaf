"""The kinds that the embedded cluster knows: those that the agent and kubectl's everyday commands use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_ALL_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_POD_FIELDS: Final = {
    "spec.nodeName": ("spec", "nodeName"),
    "spec.restartPolicy": ("spec", "restartPolicy"),
    "spec.schedulerName": ("spec", "schedulerName"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
    "status.phase": ("status", "phase"),
    "status.podIP": ("status", "podIP"),
    "status.nominatedNodeName": ("status", "nominatedNodeName"),
}
_EVENT_FIELDS: Final = {
    **{
        f"involvedObject.{key}": ("involvedObject", key)
        for key in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
    "reason": ("reason",),
    "reportingComponent": ("reportingComponent",),
    "source": ("source", "component"),
    "type": ("type",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind and its REST path.

    `fields`: what a field selector may name beside `metadata.name` and `metadata.namespace`, with the path of its
    value. `subresources`: the names behind the object's path and their kinds.
    """

    plural: str
    kind: str
    group: str = ""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _ALL_VERBS
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subresources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def api_version(self) -> str:
        """`v1` or `GROUP/v1`."""
        return f"{self.group}/v1" if self.group else "v1"

    @property
    def singular(self) -> str:
        """The kind in lower case."""
        return self.kind.lower()


_STATUS: Final = {"status": ("get", "patch", "update")}

PODS: Final = Resource(
    "pods",
    "Pod",
    short_names=("po",),
    fields=_POD_FIELDS,
    subresources={**_STATUS, "log": ("get",), "binding": ("create",)},
)
NAMESPACES: Final = Resource(
    "namespaces",
    "Namespace",
    namespaced=False,
    short_names=("ns",),
    verbs=tuple(verb for verb in _ALL_VERBS if verb != "deletecollection"),
    fields={"status.phase": ("status", "phase")},
    subresources=_STATUS,
)
EVENTS: Final = Resource("events", "Event", short_names=("ev",), fields=_EVENT_FIELDS)
CONFIGMAPS: Final = Resource("configmaps", "ConfigMap", short_names=("cm",))
SECRETS: Final = Resource("secrets", "Secret", fields={"type": ("type",)})
SERVICES: Final = Resource(
    "services",
    "Service",
    short_names=("svc",),
    verbs=tuple(verb for verb in _ALL_VERBS if verb != "deletecollection"),
    subresources=_STATUS,
)
SERVICE_ACCOUNTS: Final = Resource("serviceaccounts", "ServiceAccount", short_names=("sa",))
NODES: Final = Resource(
    "nodes",
    "Node",
    namespaced=False,
    short_names=("no",),
    fields={"spec.unschedulable": ("spec", "unschedulable")},
    subresources=_STATUS,
)
LEASES: Final = Resource("leases", "Lease", group="coordination.k8s.io")
PRIORITY_CLASSES: Final = Resource(
    "priorityclasses", "PriorityClass", group="scheduling.k8s.io", namespaced=False, short_names=("pc",)
)

RESOURCES: Final = (
    PODS,
    NAMESPACES,
    EVENTS,
    CONFIGMAPS,
    SECRETS,
    SERVICES,
    SERVICE_ACCOUNTS,
    NODES,
    LEASES,
    PRIORITY_CLASSES,
)
BY_PATH: Final = {(resource.group, resource.plural): resource for resource in RESOURCES}
