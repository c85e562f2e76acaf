"""What the real server refuses with 422: names, labels, containers, volumes, resources.

Each check appends `Cause`s in the order in which the real server finds them, so that messages are alike. Fields that
the agent never writes are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from edgesched.simcluster import status
from edgesched.simcluster.quantity import parse_quantity
from edgesched.simcluster.resources import CONFIGMAPS, EVENTS, LEASES, NAMESPACES, PODS, SECRETS, SERVICES, Resource
from edgesched.simcluster.status import Cause, Object

_SUBDOMAIN: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035: Final = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_LABEL_NAME: Final = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_CONFIG_KEY: Final = r"[-._a-zA-Z0-9]+"
_ENV_NAME: Final = r"[-._a-zA-Z][-._a-zA-Z0-9]*"

_SUBDOMAIN_WORDS: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_WORDS: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_LABEL_1035_WORDS: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_LABEL_1035}')"
)
_LABEL_NAME_WORDS: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_LABEL_NAME}')"
)
_LABEL_VALUE_WORDS: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_LABEL_VALUE}')"
)
_CONFIG_KEY_WORDS: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    f"or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
)
_ENV_NAME_WORDS: Final = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    "start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is "
    f"'{_ENV_NAME}')"
)

_HOST_PATH_TYPES: Final = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_FIELD_PATHS: Final = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.podIP",
        "status.podIPs",
    }
)
_VOLUME_KINDS: Final = ("hostPath", "emptyDir", "configMap", "secret", "downwardAPI", "projected")
_MAX_CONFIG_BYTES: Final = 1024 * 1024


class Causes:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self.found: list[Cause] = []

    def invalid(self, field: str, value: object, words: str) -> None:
        shown = f'"{value}"' if isinstance(value, str) else value
        self.found.append(Cause("FieldValueInvalid", field, f"Invalid value: {shown}: {words}"))

    def required(self, field: str, words: str = "") -> None:
        self.found.append(Cause("FieldValueRequired", field, f"Required value: {words}" if words else "Required value"))

    def duplicate(self, field: str, value: str) -> None:
        self.found.append(Cause("FieldValueDuplicate", field, f'Duplicate value: "{value}"'))

    def unsupported(self, field: str, value: str, known: Iterable[str]) -> None:
        listed = ", ".join(f'"{word}"' for word in known)
        message = f'Unsupported value: "{value}": supported values: {listed}'
        self.found.append(Cause("FieldValueNotSupported", field, message))

    def missing(self, field: str, value: str) -> None:
        self.found.append(Cause("FieldValueNotFound", field, f'Not found: "{value}"'))

    def forbidden(self, field: str, words: str) -> None:
        self.found.append(Cause("FieldValueForbidden", field, f"Forbidden: {words}"))

    def too_long(self, field: str, limit: int) -> None:
        self.found.append(Cause("FieldValueTooLong", field, f"Too long: must have at most {limit} bytes"))

    def matches(self, field: str, value: str, pattern: str, words: str, limit: int = 0) -> None:
        """`value` must match and have at most `limit` characters."""
        if limit and len(value) > limit:
            self.invalid(field, value, f"must be no more than {limit} characters")
        if not re.fullmatch(pattern, value):
            self.invalid(field, value, words)


def check_object(resource: Resource, obj: Object) -> None:
    """Refuse an object that the real server would not store. Raises ApiError 422."""
    causes = Causes()
    _check_metadata(resource, obj["metadata"], causes)
    check = _CHECKS.get(resource)
    if check:
        check(obj, causes)
    if causes.found:
        raise status.invalid(resource.kind, obj["metadata"].get("name", ""), causes.found, resource.group)


def _check_metadata(resource: Resource, metadata: Mapping[str, Any], causes: Causes) -> None:
    name = metadata.get("name", "")
    if not name:
        causes.required("metadata.name", "name or generateName is required")
    elif resource is NAMESPACES:
        causes.matches("metadata.name", name, _LABEL, _LABEL_WORDS, 63)
    elif resource is SERVICES:
        causes.matches("metadata.name", name, _LABEL_1035, _LABEL_1035_WORDS, 63)
    elif resource is not EVENTS:
        causes.matches("metadata.name", name, _SUBDOMAIN, _SUBDOMAIN_WORDS, 253)
    _check_labels("metadata.labels", metadata.get("labels") or {}, causes)
    for key in metadata.get("annotations") or {}:
        _check_label_name("metadata.annotations", key.lower(), causes)


def _check_labels(field: str, labels: Mapping[str, str], causes: Causes) -> None:
    for key in sorted(labels):
        _check_label_name(field, key, causes)
        causes.matches(field, labels[key], _LABEL_VALUE, _LABEL_VALUE_WORDS, 63)


def _check_label_name(field: str, key: str, causes: Causes) -> None:
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        causes.invalid(field, key, f"prefix part {_SUBDOMAIN_WORDS}")
    if not name:
        causes.invalid(field, key, "name part must be non-empty")
    elif len(name) > 63:
        causes.invalid(field, key, "name part must be no more than 63 characters")
    if not re.fullmatch(_LABEL_NAME, name):
        causes.invalid(field, key, _LABEL_NAME_WORDS)


# --- pods ---


def _check_pod(pod: Object, causes: Causes) -> None:
    spec = pod["spec"]
    volumes = _check_volumes(spec.get("volumes") or [], causes)
    containers = spec.get("containers") or []
    if not containers:
        causes.required("spec.containers")
    seen: set[str] = set()
    for index, container in enumerate(containers):
        _check_container(f"spec.containers[{index}]", container, volumes, seen, causes)
    for index, container in enumerate(spec.get("initContainers") or []):
        _check_container(f"spec.initContainers[{index}]", container, volumes, seen, causes)
    for field, known in (("restartPolicy", _RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        if spec[field] not in known:
            causes.unsupported(f"spec.{field}", spec[field], known)
    _check_labels("spec.nodeSelector", spec.get("nodeSelector") or {}, causes)
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            causes.matches(f"spec.{field}", spec[field], _SUBDOMAIN, _SUBDOMAIN_WORDS, 253)
    deadline_s = spec.get("activeDeadlineSeconds")
    if deadline_s is not None and not 1 <= deadline_s <= 2**31 - 1:
        causes.invalid("spec.activeDeadlineSeconds", deadline_s, "must be between 1 and 2147483647, inclusive")


def _check_volumes(volumes: list[Object], causes: Causes) -> set[str]:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        field = f"spec.volumes[{index}]"
        name = volume.get("name", "")
        if not name:
            causes.required(f"{field}.name")
        else:
            causes.matches(f"{field}.name", name, _LABEL, _LABEL_WORDS, 63)
            if name in names:
                causes.duplicate(f"{field}.name", name)
        names.add(name)
        _check_volume_source(field, volume, causes)
    return names


def _check_volume_source(field: str, volume: Object, causes: Causes) -> None:
    kinds = [kind for kind in _VOLUME_KINDS if volume.get(kind) is not None]
    if len(kinds) > 1:
        causes.forbidden(f"{field}.{kinds[1]}", "may not specify more than 1 volume type")
    host_path = volume.get("hostPath")
    if host_path is not None:
        path = host_path.get("path", "")
        if not path:
            causes.required(f"{field}.hostPath.path")
        elif ".." in path.split("/"):
            causes.invalid(f"{field}.hostPath.path", path, "must not contain '..'")
        if host_path.get("type", "") not in _HOST_PATH_TYPES:
            causes.unsupported(f"{field}.hostPath.type", host_path["type"], _HOST_PATH_TYPES)
    if volume.get("configMap") is not None and not volume["configMap"].get("name"):
        causes.required(f"{field}.configMap.name")
    if volume.get("secret") is not None and not volume["secret"].get("secretName"):
        causes.required(f"{field}.secret.secretName")


def _check_container(field: str, container: Object, volumes: set[str], seen: set[str], causes: Causes) -> None:
    name = container.get("name", "")
    if not name:
        causes.required(f"{field}.name")
    else:
        causes.matches(f"{field}.name", name, _LABEL, _LABEL_WORDS, 63)
        if name in seen:
            causes.duplicate(f"{field}.name", name)
    seen.add(name)
    image = container.get("image", "")
    if not image:
        causes.required(f"{field}.image")
    elif image != image.strip():
        causes.invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    for index, variable in enumerate(container.get("env") or []):
        _check_env(f"{field}.env[{index}]", variable, causes)
    _check_mounts(field, container.get("volumeMounts") or [], volumes, causes)
    if container["imagePullPolicy"] not in _PULL_POLICIES:
        causes.unsupported(f"{field}.imagePullPolicy", container["imagePullPolicy"], _PULL_POLICIES)
    _check_resources(f"{field}.resources", container.get("resources") or {}, causes)


def _check_env(field: str, variable: Object, causes: Causes) -> None:
    name = variable.get("name", "")
    if not name:
        causes.required(f"{field}.name")
    else:
        causes.matches(f"{field}.name", name, _ENV_NAME, _ENV_NAME_WORDS)
    source = variable.get("valueFrom")
    if source is None:
        return
    path = (source.get("fieldRef") or {}).get("fieldPath")
    if path is not None and path not in _FIELD_PATHS and not re.match(r"metadata\.(labels|annotations)(\[|$)", path):
        words = f"error converting fieldPath: field label not supported: {path}"
        causes.invalid(f"{field}.valueFrom.fieldRef.fieldPath", path, words)
    for kind in ("secretKeyRef", "configMapKeyRef"):
        reference = source.get(kind)
        if reference is not None:
            _check_key_reference(f"{field}.valueFrom.{kind}", reference, causes)
    if variable.get("value"):
        causes.invalid(f"{field}.valueFrom", "", "may not be specified when `value` is not empty")


def _check_key_reference(field: str, reference: Object, causes: Causes) -> None:
    if not reference.get("name"):
        causes.required(f"{field}.name")
    if not reference.get("key"):
        causes.required(f"{field}.key")
    else:
        causes.matches(f"{field}.key", reference["key"], _CONFIG_KEY, _CONFIG_KEY_WORDS, 253)


def _check_mounts(field: str, mounts: list[Object], volumes: set[str], causes: Causes) -> None:
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        at = f"{field}.volumeMounts[{index}]"
        if not mount.get("name"):
            causes.required(f"{at}.name")
        elif mount["name"] not in volumes:
            causes.missing(f"{at}.name", mount["name"])
        path = mount.get("mountPath", "")
        if not path:
            causes.required(f"{at}.mountPath")
        elif path in paths:
            causes.invalid(f"{at}.mountPath", path, "must be unique")
        paths.add(path)
        if ".." in mount.get("subPath", "").split("/"):
            causes.invalid(f"{at}.subPath", mount["subPath"], "must not contain '..'")


def _check_resources(field: str, resources: Object, causes: Causes) -> None:
    limits: Mapping[str, str] = resources.get("limits") or {}
    requests: Mapping[str, str] = resources.get("requests") or {}
    for name in sorted(limits):
        _check_resource_name(f"{field}.limits[{name}]", name, causes)
        _check_amount(f"{field}.limits[{name}]", limits[name], causes)
    for name in sorted(requests):
        _check_resource_name(f"{field}.requests[{name}]", name, causes)
        _check_amount(f"{field}.requests[{name}]", requests[name], causes)
        _check_overcommit(field, name, requests[name], limits.get(name), causes)


def _check_resource_name(field: str, name: str, causes: Causes) -> None:
    if "/" in name:
        _check_label_name(field, name, causes)
    elif name not in {"cpu", "memory", "ephemeral-storage"} and not name.startswith("hugepages-"):
        causes.invalid(field, name, "must be a standard resource type or fully qualified")
        causes.invalid(field, name, "must be a standard resource for containers")


def _check_amount(field: str, amount: str, causes: Causes) -> None:
    value = parse_quantity(amount)
    if value < 0:
        causes.invalid(field, amount, "must be greater than or equal to 0")
    if "/" in field and value.denominator != 1:
        causes.invalid(field, amount, "must be an integer")


def _check_overcommit(field: str, name: str, request: str, limit: str | None, causes: Causes) -> None:
    extended = "/" in name
    if limit is None:
        if extended:
            causes.required(f"{field}.limits", "Limit must be set for non overcommitable resources")
    elif extended and parse_quantity(request) != parse_quantity(limit):
        causes.invalid(f"{field}.requests", request, f"must be equal to {name} limit")
    elif parse_quantity(request) > parse_quantity(limit):
        causes.invalid(f"{field}.requests", request, f"must be less than or equal to {name} limit")


_MUTABLE_IN_CONTAINERS: Final = frozenset({"image"})
_MUTABLE_IN_SPEC: Final = frozenset({"activeDeadlineSeconds", "tolerations"})
_MUTABLE_WORDS: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, "
    "`spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to existing tolerations)"
)


def check_update(resource: Resource, before: Object, after: Object) -> None:
    """Refuse changes of what cannot change. Raises ApiError 422."""
    causes = Causes()
    if resource is PODS and _fixed_part(before["spec"]) != _fixed_part(after["spec"]):
        causes.forbidden("spec", _MUTABLE_WORDS)
    if resource in {CONFIGMAPS, SECRETS} and before.get("immutable"):
        for field in ("data", "binaryData"):
            if before.get(field) != after.get(field):
                causes.forbidden(field, "field is immutable when `immutable` is set")
    if causes.found:
        raise status.invalid(resource.kind, after["metadata"]["name"], causes.found, resource.group)


def _fixed_part(spec: Object) -> Object:
    fixed = {key: value for key, value in spec.items() if key not in _MUTABLE_IN_SPEC}
    for kind in ("containers", "initContainers"):
        fixed[kind] = [
            {key: value for key, value in container.items() if key not in _MUTABLE_IN_CONTAINERS}
            for container in spec.get(kind) or []
        ]
    return fixed


# --- other kinds ---


def _check_config(obj: Object, causes: Causes) -> None:
    size = 0
    for field in ("data", "binaryData"):
        for key in sorted(obj.get(field) or {}):
            at = f"{field}[{key}]"
            if key in {".", ".."}:
                causes.invalid(at, key, f"must not be '{key}'")
            else:
                causes.matches(at, key, _CONFIG_KEY, _CONFIG_KEY_WORDS, 253)
            size += len(obj[field][key].encode())
    if size > _MAX_CONFIG_BYTES:
        causes.too_long("" if obj["kind"] == "ConfigMap" else "data", _MAX_CONFIG_BYTES)


def _check_event(event: Object, causes: Causes) -> None:
    namespace = event["involvedObject"].get("namespace", "")
    if (namespace or "default") != event["metadata"]["namespace"]:
        causes.invalid("involvedObject.namespace", namespace, "does not match event.namespace")


def _check_lease(lease: Object, causes: Causes) -> None:
    spec = lease.get("spec") or {}
    duration_s = spec.get("leaseDurationSeconds")
    if duration_s is not None and duration_s <= 0:
        causes.invalid("spec.leaseDurationSeconds", duration_s, "must be greater than 0")
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        causes.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


def _check_service(service: Object, causes: Causes) -> None:
    spec = service["spec"]
    kind = spec["type"]
    if kind == "ExternalName":
        name = spec.get("externalName", "")
        if name:
            causes.matches("spec.externalName", name, _SUBDOMAIN, _SUBDOMAIN_WORDS, 253)
        else:
            causes.required("spec.externalName")
    elif not spec.get("ports"):
        causes.required("spec.ports")
    for index, port in enumerate(spec.get("ports") or []):
        number = port.get("port", 0)
        if not 1 <= number <= 65535:
            causes.invalid(f"spec.ports[{index}].port", number, "must be between 1 and 65535, inclusive")
        if len(spec["ports"]) > 1 and not port.get("name"):
            causes.required(f"spec.ports[{index}].name")


_CHECKS: Final = {
    PODS: _check_pod,
    CONFIGMAPS: _check_config,
    SECRETS: _check_config,
    EVENTS: _check_event,
    LEASES: _check_lease,
    SERVICES: _check_service,
}
