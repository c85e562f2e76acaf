"""What the real server fills in: identity, and the defaults of kinds where a client may read them back."""

from __future__ import annotations

import itertools
import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from edgesched.simcluster import times
from edgesched.simcluster.resources import (
    CONFIGMAPS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    SECRETS,
    SERVICES,
    Resource,
)
from edgesched.simcluster.status import Object

_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_addresses = itertools.count(1)

_TOLERATIONS: Final = tuple(
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
)


def identify(resource: Resource, obj: Object, namespace: str) -> Object:
    """The object as a create stores it: kind, name, namespace, uid and creation time set; status as at birth."""
    given: Mapping[str, Any] = obj.get("metadata") or {}
    metadata: Object = {"name": given.get("name") or _generated(given.get("generateName", ""))}
    if given.get("generateName"):
        metadata["generateName"] = given["generateName"]
    if resource.namespaced:
        metadata["namespace"] = namespace
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = times.now_text()
    for field in ("labels", "annotations", "ownerReferences", "finalizers"):
        if given.get(field):
            metadata[field] = given[field]
    rest = {key: value for key, value in obj.items() if key not in {"apiVersion", "kind", "metadata"}}
    stored = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata, **rest}
    born = _AT_BIRTH.get(resource)
    if born:
        born(stored)
    return with_defaults(resource, stored)


def with_defaults(resource: Resource, obj: Object) -> Object:
    """Fill in defaults of the kind; changes `obj`, which the caller owns, and returns it."""
    fill = _DEFAULTS.get(resource)
    if fill:
        fill(obj)
    return obj


def _generated(prefix: str) -> str:
    if not prefix:
        return ""
    return prefix[:58] + "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))


def _fill_pod(pod: Object) -> None:
    spec = pod["spec"] = dict(pod.get("spec") or {})
    pod["status"] = {"phase": "Pending", **(pod.get("status") or {})}
    spec["containers"] = [_container(container) for container in spec.get("containers") or []]
    if spec.get("initContainers"):
        spec["initContainers"] = [_container(container) for container in spec["initContainers"]]
    if spec.get("volumes"):
        spec["volumes"] = [_volume(volume) for volume in spec["volumes"]]
    spec.setdefault("restartPolicy", "Always")
    if spec.get("terminationGracePeriodSeconds") is None or spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 30
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("tolerations", [dict(toleration) for toleration in _TOLERATIONS])
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]


def _container(given: Object) -> Object:
    container = dict(given)
    resources = dict(container.get("resources") or {})
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    container["resources"] = resources
    if container.get("env"):
        container["env"] = [_variable(variable) for variable in container["env"]]
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = _pull_policy(container.get("image", ""))
    return container


def _pull_policy(image: str) -> str:
    tag = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[2]
    return "IfNotPresent" if ("@" in image or tag not in {"", "latest"}) else "Always"


def _variable(given: Object) -> Object:
    reference = (given.get("valueFrom") or {}).get("fieldRef")
    if not reference or "apiVersion" in reference:
        return given
    return {**given, "valueFrom": {"fieldRef": {"apiVersion": "v1", **reference}}}


def _volume(given: Object) -> Object:
    volume = dict(given)
    if volume.get("hostPath") is not None:
        volume["hostPath"] = {**volume["hostPath"], "type": volume["hostPath"].get("type", "")}
    for kind in ("configMap", "secret"):
        if volume.get(kind) is not None:
            volume[kind] = {"defaultMode": 420, **volume[kind]}
    if len(volume) == 1:
        volume["emptyDir"] = {}
    return volume


def quality_of_service(spec: Object) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort` from the containers' requests and limits."""
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    resources = [container.get("resources") or {} for container in containers]
    if all(not entry.get("requests") and not entry.get("limits") for entry in resources):
        return "BestEffort"
    for entry in resources:
        limits, requests = entry.get("limits") or {}, entry.get("requests") or {}
        if any(name not in limits or requests.get(name, limits[name]) != limits[name] for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def _pod_at_birth(pod: Object) -> None:
    pod["status"] = {"phase": "Pending"}


def _namespace_at_birth(namespace: Object) -> None:
    namespace["spec"] = {"finalizers": ["kubernetes"]}
    namespace["status"] = {"phase": "Active"}


def _fill_event(event: Object) -> None:
    event.setdefault("involvedObject", {})
    event.setdefault("source", {})
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(field, None)
    event.setdefault("reportingComponent", "")
    event.setdefault("reportingInstance", "")


def _fill_service(service: Object) -> None:
    spec = service["spec"] = dict(service.get("spec") or {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec.get("ports"):
        spec["ports"] = [
            {"protocol": "TCP", **port, "targetPort": port.get("targetPort", port.get("port"))}
            for port in spec["ports"]
        ]
    if spec["type"] != "ExternalName" and not spec.get("clusterIP"):
        number = next(_addresses)
        spec["clusterIP"] = f"10.43.{number // 250 % 250}.{number % 250 + 1}"
        spec["clusterIPs"] = [spec["clusterIP"]]
    service.setdefault("status", {"loadBalancer": {}})


def _fill_node(node: Object) -> None:
    node.setdefault("spec", {})
    status = node["status"] = dict(node.get("status") or {})
    status.setdefault("allocatable", dict(status.get("capacity") or {}))


def _fill_secret(secret: Object) -> None:
    secret.setdefault("type", "Opaque")


def _fill_config(config: Object) -> None:
    if not config.get("data"):
        config.pop("data", None)


def _fill_priority_class(priority_class: Object) -> None:
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")


_AT_BIRTH: Final[Mapping[Resource, Callable[[Object], None]]] = {PODS: _pod_at_birth, NAMESPACES: _namespace_at_birth}
_DEFAULTS: Final[Mapping[Resource, Callable[[Object], None]]] = {
    PODS: _fill_pod,
    EVENTS: _fill_event,
    SERVICES: _fill_service,
    NODES: _fill_node,
    SECRETS: _fill_secret,
    CONFIGMAPS: _fill_config,
    PRIORITY_CLASSES: _fill_priority_class,
}
