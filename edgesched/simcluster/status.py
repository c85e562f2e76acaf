"""Refusals of the API server: the `Status` object of each, in the real server's words.

The agent and kubectl decide by `code` and `reason`, people read `message`. Texts are those of Kubernetes 1.20, where a
client may depend on them; the contract suite compares them with a real server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgesched.errors import EdgeSchedError

Object = dict[str, Any]
"""A JSON object of the API. Objects in the store are never changed in place."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One wrong field: `reason` is a machine word such as `FieldValueInvalid`, `field` a path."""

    reason: str
    field: str
    message: str


class ApiError(EdgeSchedError):
    """A request that the server refuses. `headers` go into the HTTP reply."""

    code = "simcluster.refused"

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.details = details
        self.headers = dict(headers or {})

    def body(self) -> Object:
        """The `Status` object."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = dict(self.details)
        body["code"] = self.status
        return body


def _named(name: str, kind: str, group: str = "") -> Object:
    details: Object = {"name": name} if name else {}
    if group:
        details["group"] = group
    details["kind"] = kind
    return details


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, name: str, group: str = "") -> ApiError:
    """404 for an object."""
    message = f'{_qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, details=_named(name, plural, group))


def no_such_resource() -> ApiError:
    """404 for a path that names no resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed() -> ApiError:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, details={})


def already_exists(plural: str, name: str, group: str = "") -> ApiError:
    """409 for a create."""
    message = f'{_qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_named(name, plural, group))


def conflict(plural: str, name: str, why: str = "", group: str = "") -> ApiError:
    """409 for an update or a delete whose precondition does not hold."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_named(name, plural, group))


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(plural: str, name: str, why: str, group: str = "", causes: Sequence[Cause] = ()) -> ApiError:
    """403."""
    subject = _qualified(plural, group) + (f' "{name}"' if name else "")
    details = _named(name, plural, group)
    if causes:
        details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details=details)


def unsupported_media_type(message: str) -> ApiError:
    """415."""
    return ApiError(415, "UnsupportedMediaType", message)


def expired(message: str = "too old resource version") -> ApiError:
    """410: the resource version is older than the oldest change that is kept."""
    return ApiError(410, "Expired", message)


def invalid(kind: str, name: str, causes: Sequence[Cause], group: str = "") -> ApiError:
    """422 with every wrong field."""
    lines = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    subject = f"{kind}.{group}" if group else kind
    details = _named(name, kind, group)
    details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    return ApiError(422, "Invalid", f'{subject} "{name}" is invalid: {listed}', details=details)


def too_many_requests(retry_after_s: int) -> ApiError:
    """429 with `Retry-After`."""
    return ApiError(
        429,
        "TooManyRequests",
        "Too many requests, please try again later.",
        details={"retryAfterSeconds": retry_after_s},
        headers={"Retry-After": str(retry_after_s)},
    )


def version_too_large(wanted: int, current: int) -> ApiError:
    """504: a list at a resource version that does not exist yet."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {wanted}, current: {current}",
        details={"causes": [cause], "retryAfterSeconds": 1},
        headers={"Retry-After": "1"},
    )


def internal(message: str, status: int = 500) -> ApiError:
    """5xx of the server itself."""
    reason = {500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}.get(status, "")
    return ApiError(status, reason, message)
