"""Merge patch (RFC 7386), strategic merge patch for the lists of pods, and JSON patch (RFC 6902)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edgesched.simcluster import status
from edgesched.simcluster.status import Object

MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
JSON: Final = "application/json-patch+json"

_MERGE_KEYS: Final[Mapping[str, str]] = {
    "conditions": "type",
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "containerStatuses": "",
    "ports": "port",
    "taints": "key",
    "ownerReferences": "uid",
}
"""Lists that a strategic merge joins by a key; an empty key, or a list not named here, is replaced as a whole."""


def apply(current: Object, patch: Any, media_type: str) -> Object:
    """The patched object; `current` stays as it is. Raises ApiError 400, 415 or 422."""
    if media_type == JSON:
        if not isinstance(patch, list):
            raise status.bad_request("error decoding patch: json: cannot unmarshal object into Go value of type patch")
        return json_patch(current, patch)
    if not isinstance(patch, dict):
        raise status.bad_request("error decoding patch: a JSON object is needed")
    if media_type == MERGE:
        merged = merge(current, patch)
    elif media_type == STRATEGIC:
        merged = strategic(current, patch)
    else:
        raise status.ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    if not isinstance(merged, dict):
        raise status.bad_request("the patch leaves no object")
    return merged


def merge(current: Any, patch: Any) -> Any:
    """RFC 7386: objects are merged, null deletes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(current: Any, patch: Any) -> Any:
    """As `merge`, but known lists are joined by their key."""
    if not isinstance(patch, dict):
        return patch
    result = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _join(result.get(key) or [], value, _MERGE_KEYS.get(key, ""))
        else:
            result[key] = strategic(result.get(key), value)
    return result


def _join(current: list[Any], patch: list[Any], key: str) -> list[Any]:
    if not key:
        return patch
    result = list(current)
    for item in patch:
        at = next((i for i, old in enumerate(result) if old.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del result[at]
        elif at is None:
            result.append(item)
        else:
            result[at] = strategic(result[at], item)
    return result


def json_patch(current: Object, operations: list[Any]) -> Object:
    """RFC 6902 with `add`, `replace`, `remove` and `test`."""
    result: Any = _copy(current)
    for operation in operations:
        if not isinstance(operation, dict):
            raise status.bad_request("error decoding patch: each operation must be an object")
        path = [part.replace("~1", "/").replace("~0", "~") for part in str(operation.get("path", "")).split("/")[1:]]
        if not path:
            raise status.bad_request("the path of a JSON patch is missing")
        parent = result
        for part in path[:-1]:
            parent = _step(parent, part)
        _operate(parent, path[-1], operation)
    return dict(result)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _unusable(path: str) -> status.ApiError:
    message = f"the server rejected our request due to an error in our request: doc is missing path: {path}"
    return status.ApiError(422, "Invalid", message, details={})


def _step(parent: Any, part: str) -> Any:
    try:
        return parent[int(part)] if isinstance(parent, list) else parent[part]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _unusable(part) from error


def _operate(parent: Any, part: str, operation: Mapping[str, Any]) -> None:
    verb = operation.get("op")
    if verb == "add":
        if isinstance(parent, list):
            parent.insert(len(parent) if part == "-" else int(part), operation.get("value"))
        else:
            parent[part] = operation.get("value")
        return
    present = _step(parent, part)
    at: Any = int(part) if isinstance(parent, list) else part
    if verb == "remove":
        del parent[at]
    elif verb == "replace":
        parent[at] = operation.get("value")
    elif verb == "test":
        if present != operation.get("value"):
            raise _unusable(part)
    else:
        raise status.bad_request(f"Unexpected kind: {verb}")
