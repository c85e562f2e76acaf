"""Lists: the present state, an older one, and pages of it.

A page's `continue` token carries the version of the first page, so that all pages show one state; it expires with the
change log (410), as after a compaction.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from edgesched.simcluster import status
from edgesched.simcluster.http_types import Request
from edgesched.simcluster.resources import Resource
from edgesched.simcluster.selectors import Test
from edgesched.simcluster.store import Key, Store, Stored, key_of


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, or all of it; `remaining` counts what follows."""

    items: list[Stored]
    version: int
    next_token: str = ""
    remaining: int = 0

    def more(self) -> dict[str, Any]:
        """What goes into the list's metadata when there is more."""
        return {"continue": self.next_token, "remainingItemCount": self.remaining} if self.next_token else {}


def version(request: Request) -> int | None:
    """`resourceVersion` of the query, None when absent. Raises ApiError 500 for what is no number, as the real one."""
    text = request.query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdigit():
        why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise status.ApiError(500, "", why)
    return int(text)


def check_options(request: Request) -> None:
    """Refuse combinations of options that contradict each other.

    kubectl asks for a watch that begins with the present objects (`sendInitialEvents`); this refusal is how it learns
    that the server is older than that. Raises ApiError 422.
    """
    match = request.query.get("resourceVersionMatch", "")
    wanted = request.query.get("resourceVersion", "")
    if not match:
        return
    forbidden = [
        words
        for words, applies in (
            ("is forbidden for watch", request.is_watch),
            ("is forbidden unless resourceVersion is provided", not wanted),
            ("is forbidden when continue is provided", bool(request.query.get("continue"))),
        )
        if applies
    ]
    field = "resourceVersionMatch"
    causes = [status.Cause("FieldValueForbidden", field, f"Forbidden: {field} {words}") for words in forbidden]
    if match not in {"Exact", "NotOlderThan"}:
        why = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        causes.append(status.Cause("FieldValueNotSupported", field, why))
    if match == "Exact" and wanted == "0":
        causes.append(
            status.Cause(
                "FieldValueForbidden", field, f'Forbidden: {field} "exact" is forbidden for resourceVersion "0"'
            )
        )
    if causes:
        raise status.invalid("ListOptions", "", causes, "meta.k8s.io")


def page(store: Store, resource: Resource, namespace: str, test: Test, request: Request) -> Page:
    """The list that a request asks for. Raises ApiError 400, 410 or 504."""
    limit = request.number("limit") or 0
    wanted = version(request)
    token = request.query.get("continue", "")
    with store.lock:
        at, after = _resume(token) if token else (wanted or store.version, ("", ""))
        if at > store.version:
            raise status.version_too_large(at, store.version)
        exact = token or (wanted and (limit or request.query.get("resourceVersionMatch") == "Exact"))
        shown = at if exact else store.version
        found = store.items_at(resource, at, namespace) if exact else store.items(resource, namespace)
    items = [stored for stored in found if key_of(stored.obj) > after and test(stored.obj)]
    if not limit or len(items) <= limit:
        return Page(items, shown)
    kept = items[:limit]
    return Page(kept, shown, _token(shown, key_of(kept[-1].obj)), len(items) - limit)


def _token(at: int, after: Key) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": at, "start": list(after)})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _resume(token: str) -> tuple[int, Key]:
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = content["start"]
        return int(content["rv"]), (str(namespace), str(name))
    except (ValueError, KeyError, TypeError) as error:
        raise status.bad_request(f"invalid continue token: continue key is not valid: {error}") from error
