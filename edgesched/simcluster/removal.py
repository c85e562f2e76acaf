"""Deletion: with grace for pods that a node runs, at once for everything else; finalizers hold an object.

A pod's deletion is a change first (`deletionTimestamp`), then, when nothing holds it any more, the removal: two
resource versions, also with a grace of 0. The kubelet ends a running pod and then deletes it with grace 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgesched.simcluster import status, times
from edgesched.simcluster.http_types import Request
from edgesched.simcluster.resources import NAMESPACES, PODS, RESOURCES, Resource
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Store


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a delete asks for; `grace_s` None is the pod's own grace."""

    grace_s: int | None = None
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def options(request: Request) -> DeleteOptions:
    """Options of the body and the query. Raises ApiError 400."""
    given: Any = request.json() if request.body else {}
    if not isinstance(given, dict):
        raise status.bad_request("the delete options are no object")
    preconditions = given.get("preconditions") or {}
    grace_s = given.get("gracePeriodSeconds", request.number("gracePeriodSeconds"))
    return DeleteOptions(
        grace_s=grace_s,
        uid=preconditions.get("uid") or "",
        version=preconditions.get("resourceVersion") or "",
        dry_run="dryRun" in request.query or bool(given.get("dryRun")),
    )


def remove(store: Store, resource: Resource, obj: Object, wanted: DeleteOptions) -> Object:
    """Delete; returns what the API answers. The caller holds the store's lock. Raises ApiError 409."""
    _check_preconditions(resource, obj, wanted)
    if resource is PODS:
        return _remove_pod(store, obj, wanted)
    if resource is NAMESPACES:
        return _remove_namespace(store, obj, wanted)
    metadata = obj["metadata"]
    if wanted.dry_run:
        return _deleted(resource, metadata)
    if metadata.get("finalizers"):
        marked = _marked(obj, 0) if not metadata.get("deletionTimestamp") else obj
        return store.replace(resource, marked).obj
    store.remove(resource, metadata.get("namespace", ""), metadata["name"])
    return _deleted(resource, metadata)


def finish(store: Store, resource: Resource, obj: Object) -> None:
    """Remove an object whose deletion was waiting for its last finalizer. The caller holds the store's lock."""
    metadata = obj["metadata"]
    waiting = metadata.get("deletionTimestamp") and not metadata.get("finalizers")
    if waiting and resource is not NAMESPACES and not metadata.get("deletionGracePeriodSeconds"):
        store.remove(resource, metadata.get("namespace", ""), metadata["name"])


def _check_preconditions(resource: Resource, obj: Object, wanted: DeleteOptions) -> None:
    metadata = obj["metadata"]
    name = metadata["name"]
    if wanted.uid and wanted.uid != metadata["uid"]:
        why = (
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise _precondition(resource, name, why)
    if wanted.version and wanted.version != metadata["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({wanted.version}) does not match the ResourceVersion in record "
            f"({metadata['resourceVersion']}). The object might have been modified"
        )
        raise _precondition(resource, name, why)


def _precondition(resource: Resource, name: str, why: str) -> status.ApiError:
    message = f'Operation cannot be fulfilled on {resource.kind} "{name}": {why}'
    return status.ApiError(409, "Conflict", message, details={"name": name, "kind": resource.kind})


def _deleted(resource: Resource, metadata: Object) -> Object:
    details = {"name": metadata["name"], "kind": resource.plural, "uid": metadata["uid"]}
    if resource.group:
        details["group"] = resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _marked(obj: Object, grace_s: int, since: str = "") -> Object:
    end = times.later_text(since or times.now_text(), grace_s)
    metadata = {**obj["metadata"], "deletionTimestamp": end, "deletionGracePeriodSeconds": grace_s}
    return {**obj, "metadata": metadata}


def _remove_pod(store: Store, pod: Object, wanted: DeleteOptions) -> Object:
    metadata = pod["metadata"]
    grace_s = wanted.grace_s if wanted.grace_s is not None else pod["spec"]["terminationGracePeriodSeconds"]
    if not pod["spec"].get("nodeName") or pod["status"]["phase"] in {"Succeeded", "Failed"}:
        grace_s = 0
    next_state = pod
    present_s = metadata.get("deletionGracePeriodSeconds")
    if present_s is None:
        next_state = _marked(pod, grace_s)
    elif grace_s == 0:
        next_state = _marked(pod, 0)
    elif wanted.grace_s is not None and grace_s < present_s:
        next_state = _marked(pod, grace_s, times.later_text(metadata["deletionTimestamp"], -present_s))
    if wanted.dry_run:
        return next_state
    stored = store.replace(PODS, next_state)
    if grace_s == 0:
        finish(store, PODS, stored.obj)
    return stored.obj


def _remove_namespace(store: Store, namespace: Object, wanted: DeleteOptions) -> Object:
    if namespace["metadata"].get("deletionTimestamp") or wanted.dry_run:
        return namespace
    metadata = {**namespace["metadata"], "deletionTimestamp": times.now_text()}
    ending = {**namespace, "metadata": metadata, "status": {**namespace["status"], "phase": "Terminating"}}
    return store.replace(NAMESPACES, ending).obj


def empty_namespace(store: Store, name: str) -> None:
    """End a terminating namespace: delete what is in it, then the namespace itself."""
    with store.lock:
        namespace = store.find(NAMESPACES, "", name)
        if namespace is None or namespace.obj["status"]["phase"] != "Terminating":
            return
        for resource in RESOURCES:
            for stored in store.items(resource, name) if resource.namespaced else []:
                remove(store, resource, stored.obj, DeleteOptions(grace_s=0))
        store.remove(NAMESPACES, "", name)
