"""Paths of the API to what they name."""

from __future__ import annotations

from typing import NamedTuple

from edgesched.simcluster import status
from edgesched.simcluster.resources import BY_PATH, Resource


class Target(NamedTuple):
    """What a path names: a collection (empty `name`), an object, or a subresource of it."""

    resource: Resource
    namespace: str
    name: str
    subresource: str


def target(path: str) -> Target:
    """Read `/api/v1/...` or `/apis/GROUP/v1/...`. Raises ApiError 404."""
    parts = path.strip("/").split("/")
    if parts[:2] == ["api", "v1"]:
        return _in_group("", parts[2:])
    if len(parts) > 3 and parts[0] == "apis" and parts[2] == "v1":
        return _in_group(parts[1], parts[3:])
    raise status.no_such_resource()


def _in_group(group: str, parts: list[str]) -> Target:
    namespace = ""
    if len(parts) >= 3 and parts[0] == "namespaces" and (group, parts[2]) in BY_PATH:
        namespace, parts = parts[1], parts[2:]
    if not 1 <= len(parts) <= 3:
        raise status.no_such_resource()
    resource = BY_PATH.get((group, parts[0]))
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    if resource is None or (bool(namespace) is not resource.namespaced and (name or namespace)):
        raise status.no_such_resource()
    if subresource and subresource not in resource.subresources:
        raise status.no_such_resource()
    return Target(resource, namespace, name, subresource)
