"""Shapes of objects: which fields there are and of which type.

As the real server does, a field that is not known is dropped, a value of the wrong type is refused with 400, and a
field that means nothing when empty (an empty text, list or map, a zero, a false) is not stored. The shapes hold what
plugin pods and the agent use; parts that neither writes (probes, affinity, ...) are taken as they come.

A shape is a word (`str int bool number any time micro quantity`), `[shape]` for a list, `{"*": shape}` for a map, or
a dict of fields. A `!` behind a word keeps an empty value, as for the fields that are pointers in the real server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from edgesched.simcluster import status
from edgesched.simcluster.quantity import parse_quantity
from edgesched.simcluster.resources import (
    CONFIGMAPS,
    EVENTS,
    LEASES,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from edgesched.simcluster.status import Object

Shape = str | list["Shape"] | dict[str, "Shape"]

_TEXTS: Final[Shape] = {"*": "str!"}
_METADATA: Final[Shape] = {
    "name": "str",
    "generateName": "str",
    "namespace": "str",
    "uid": "str",
    "resourceVersion": "str",
    "creationTimestamp": "time",
    "deletionTimestamp": "time",
    "deletionGracePeriodSeconds": "int!",
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "ownerReferences": [
        {
            "apiVersion": "str!",
            "kind": "str!",
            "name": "str!",
            "uid": "str!",
            "controller": "bool!",
            "blockOwnerDeletion": "bool!",
        }
    ],
    "finalizers": ["str!"],
}
_KEY_REFERENCE: Final[Shape] = {"name": "str", "key": "str!", "optional": "bool!"}
_FIELD_REFERENCE: Final[Shape] = {"apiVersion": "str", "fieldPath": "str!"}
_RESOURCE_FIELD: Final[Shape] = {"containerName": "str", "resource": "str!", "divisor": "quantity"}
_QUANTITIES: Final[Shape] = {"*": "quantity"}
_CAPABILITIES: Final[Shape] = {"add": ["str!"], "drop": ["str!"]}
_CONTAINER: Final[Shape] = {
    "name": "str!",
    "image": "str",
    "command": ["str!"],
    "args": ["str!"],
    "workingDir": "str",
    "ports": [{"name": "str", "hostPort": "int", "containerPort": "int!", "protocol": "str", "hostIP": "str"}],
    "envFrom": [
        {
            "prefix": "str",
            "configMapRef": {"name": "str", "optional": "bool!"},
            "secretRef": {"name": "str", "optional": "bool!"},
        }
    ],
    "env": [
        {
            "name": "str!",
            "value": "str",
            "valueFrom": {
                "fieldRef": _FIELD_REFERENCE,
                "resourceFieldRef": _RESOURCE_FIELD,
                "configMapKeyRef": _KEY_REFERENCE,
                "secretKeyRef": _KEY_REFERENCE,
            },
        }
    ],
    "resources": {"limits": _QUANTITIES, "requests": _QUANTITIES},
    "volumeMounts": [
        {
            "name": "str!",
            "readOnly": "bool",
            "mountPath": "str!",
            "subPath": "str",
            "subPathExpr": "str",
            "mountPropagation": "str",
        }
    ],
    "livenessProbe": "any",
    "readinessProbe": "any",
    "startupProbe": "any",
    "lifecycle": "any",
    "terminationMessagePath": "str",
    "terminationMessagePolicy": "str",
    "imagePullPolicy": "str",
    "securityContext": {
        "capabilities": _CAPABILITIES,
        "privileged": "bool!",
        "seLinuxOptions": "any",
        "runAsUser": "int!",
        "runAsGroup": "int!",
        "runAsNonRoot": "bool!",
        "readOnlyRootFilesystem": "bool!",
        "allowPrivilegeEscalation": "bool!",
        "procMount": "str",
        "seccompProfile": "any",
    },
    "stdin": "bool",
    "stdinOnce": "bool",
    "tty": "bool",
}
_ITEMS: Final[Shape] = [{"key": "str!", "path": "str!", "mode": "int!"}]
_VOLUME: Final[Shape] = {
    "name": "str!",
    "hostPath": {"path": "str!", "type": "str!"},
    "emptyDir": {"medium": "str", "sizeLimit": "quantity"},
    "configMap": {"name": "str", "items": _ITEMS, "defaultMode": "int!", "optional": "bool!"},
    "secret": {"secretName": "str", "items": _ITEMS, "defaultMode": "int!", "optional": "bool!"},
    "downwardAPI": "any",
    "projected": "any",
    "persistentVolumeClaim": "any",
    "nfs": "any",
}
_TOLERATION: Final[Shape] = {
    "key": "str",
    "operator": "str",
    "value": "str",
    "effect": "str",
    "tolerationSeconds": "int!",
}
_POD_SPEC: Final[Shape] = {
    "volumes": [_VOLUME],
    "initContainers": [_CONTAINER],
    "containers": [_CONTAINER],
    "restartPolicy": "str",
    "terminationGracePeriodSeconds": "int!",
    "activeDeadlineSeconds": "int!",
    "dnsPolicy": "str",
    "nodeSelector": _TEXTS,
    "serviceAccountName": "str",
    "serviceAccount": "str",
    "automountServiceAccountToken": "bool!",
    "nodeName": "str",
    "hostNetwork": "bool",
    "hostPID": "bool",
    "hostIPC": "bool",
    "shareProcessNamespace": "bool!",
    "securityContext": "any",
    "imagePullSecrets": [{"name": "str"}],
    "hostname": "str",
    "subdomain": "str",
    "affinity": "any",
    "schedulerName": "str",
    "tolerations": [_TOLERATION],
    "hostAliases": "any",
    "priorityClassName": "str",
    "priority": "int!",
    "dnsConfig": "any",
    "readinessGates": "any",
    "runtimeClassName": "str!",
    "enableServiceLinks": "bool!",
    "preemptionPolicy": "str!",
    "overhead": _QUANTITIES,
    "topologySpreadConstraints": "any",
}
_CONDITION: Final[Shape] = {
    "type": "str!",
    "status": "str!",
    "lastProbeTime": "time!",
    "lastTransitionTime": "time!",
    "reason": "str",
    "message": "str",
}
_POD_STATUS: Final[Shape] = {
    "phase": "str",
    "conditions": [_CONDITION],
    "message": "str",
    "reason": "str",
    "nominatedNodeName": "str",
    "hostIP": "str",
    "podIP": "str",
    "podIPs": [{"ip": "str"}],
    "startTime": "time",
    "initContainerStatuses": "any",
    "containerStatuses": "any",
    "qosClass": "str",
    "ephemeralContainerStatuses": "any",
}
_REFERENCE: Final[Shape] = {
    "kind": "str",
    "namespace": "str",
    "name": "str",
    "uid": "str",
    "apiVersion": "str",
    "resourceVersion": "str",
    "fieldPath": "str",
}
_SHAPES: Final[Mapping[Resource, dict[str, Shape]]] = {
    PODS: {"spec": _POD_SPEC, "status": _POD_STATUS},
    CONFIGMAPS: {"immutable": "bool!", "data": _TEXTS, "binaryData": _TEXTS},
    SECRETS: {"immutable": "bool!", "data": _TEXTS, "stringData": _TEXTS, "type": "str"},
    EVENTS: {
        "involvedObject": _REFERENCE,
        "related": _REFERENCE,
        "reason": "str",
        "message": "str",
        "source": {"component": "str", "host": "str"},
        "firstTimestamp": "time!",
        "lastTimestamp": "time!",
        "eventTime": "micro!",
        "count": "int",
        "type": "str",
        "series": "any",
        "action": "str",
        "reportingComponent": "str!",
        "reportingInstance": "str!",
    },
    LEASES: {
        "spec": {
            "holderIdentity": "str!",
            "leaseDurationSeconds": "int!",
            "acquireTime": "micro",
            "renewTime": "micro",
            "leaseTransitions": "int!",
        }
    },
    SERVICES: {
        "spec": {
            "ports": [
                {
                    "name": "str",
                    "protocol": "str",
                    "appProtocol": "str!",
                    "port": "int!",
                    "targetPort": "any",
                    "nodePort": "int",
                }
            ],
            "selector": _TEXTS,
            "clusterIP": "str",
            "clusterIPs": ["str!"],
            "type": "str",
            "externalIPs": ["str!"],
            "sessionAffinity": "str",
            "externalName": "str",
            "publishNotReadyAddresses": "bool",
        },
        "status": "any",
    },
    NODES: {
        "spec": {
            "podCIDR": "str",
            "podCIDRs": ["str!"],
            "providerID": "str",
            "unschedulable": "bool",
            "taints": [{"key": "str!", "value": "str", "effect": "str!", "timeAdded": "time"}],
        },
        "status": "any",
    },
    SERVICE_ACCOUNTS: {
        "secrets": "any",
        "imagePullSecrets": [{"name": "str"}],
        "automountServiceAccountToken": "bool!",
    },
    PRIORITY_CLASSES: {"value": "int!", "globalDefault": "bool", "description": "str", "preemptionPolicy": "str!"},
}
_MICRO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_WORDS: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    "str": ('ReadString: expects " or n', str),
    "int": ("readUint32: unexpected character", int),
    "bool": ("ReadBool: expect t or f", bool),
    "time": ("ReadString: expects a time", str),
    "micro": ("ReadString: expects a time", str),
    "quantity": ("quantities must be text or a number", (str, int, float)),
}


def shaped(resource: Resource, obj: Object) -> Object:
    """A copy with known fields only, empty ones dropped. Raises ApiError 400."""
    shape = _SHAPES.get(resource)
    if shape is None:
        known: dict[str, Shape] = {"metadata": _METADATA, "spec": "any", "status": "any"}
    else:
        known = {"metadata": _METADATA, **shape}
    kept = {key: value for key, value in obj.items() if key in {"kind", "apiVersion"}}
    return {**kept, **_Reader(resource).fields("", known, obj)}


class _Reader:
    def __init__(self, resource: Resource) -> None:
        self._kind = resource.kind

    def fields(self, path: str, shape: Mapping[str, Shape], given: Any) -> Object:
        if not isinstance(given, dict):
            raise self._refusal(path, f"expect {{ or n, but found {_shown(given)}")
        read: Object = {}
        for key, field in shape.items():
            if key in given:
                value = self.value(f"{path}.{key}" if path else key, field, given[key])
                if value is not None:
                    read[key] = value
                elif isinstance(field, str) and field in {"time!", "micro!"}:
                    read[key] = None
        return read

    def value(self, path: str, shape: Shape, given: Any) -> Any:
        """The value as stored, None for what is not stored."""
        if given is None:
            return None
        if isinstance(shape, str):
            return self._word(path, shape, given)
        if isinstance(shape, list):
            return self._list(path, shape[0], given)
        if "*" in shape:
            return self._map(path, shape["*"], given)
        return self.fields(path, shape, given)

    def _list(self, path: str, shape: Shape, given: Any) -> Any:
        if not isinstance(given, list):
            raise self._refusal(path, f"decode slice: expect [ or n, but found {_shown(given)}")
        items = [self.value(f"{path}[{index}]", shape, item) for index, item in enumerate(given)]
        return [item for item in items if item is not None] or None

    def _map(self, path: str, shape: Shape, given: Any) -> Any:
        if not isinstance(given, dict):
            raise self._refusal(path, f"expect {{ or n, but found {_shown(given)}")
        items = {key: self.value(f"{path}[{key}]", shape, value) for key, value in given.items()}
        return {key: "" if value is None else value for key, value in items.items()} or None

    def _word(self, path: str, shape: str, given: Any) -> Any:
        word = shape.rstrip("!")
        if word == "any":
            return given
        expected, kind = _WORDS[word]
        value: Any = given
        if not isinstance(given, kind) or (isinstance(given, bool) and word != "bool"):
            raise self._refusal(path, f"{expected}, but found {_shown(given)}")
        if word == "quantity":
            return self._quantity(path, value)
        if word in {"time", "micro"} and not (_MICRO_TIME if word == "micro" else _TIME).fullmatch(value):
            form = "2006-01-02T15:04:05.000000Z07:00" if word == "micro" else "2006-01-02T15:04:05Z07:00"
            raise self._refusal(path, f'parsing time "{given}" as "{form}"')
        return value if value or shape.endswith("!") else None

    def _quantity(self, path: str, given: str | float) -> str:
        text = str(given)
        try:
            parse_quantity(text)
        except ValueError as error:
            expression = "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            raise self._refusal(path, f"quantities must match the regular expression {expression}") from error
        return text

    def _refusal(self, path: str, why: str) -> status.ApiError:
        return status.bad_request(f'{self._kind} in version "v1" cannot be handled as a {self._kind}: {path}: {why}')


def _shown(value: Any) -> str:
    return {str: '"', list: "[", dict: "{", bool: "t"}.get(type(value), str(value)[:20])
