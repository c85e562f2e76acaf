"""What stands between a valid object and the store: namespaces, priority classes, service accounts; and placing."""

from __future__ import annotations

from edgesched.simcluster import status, times
from edgesched.simcluster.defaults import quality_of_service
from edgesched.simcluster.resources import NAMESPACES, PODS, PRIORITY_CLASSES, SERVICE_ACCOUNTS
from edgesched.simcluster.routes import Target
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Store

_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def admit_namespace(store: Store, where: Target, name: str) -> None:
    """The namespace of a new object must exist and live. Raises ApiError 403 or 404."""
    if not where.resource.namespaced:
        return
    namespace = store.get(NAMESPACES, "", where.namespace).obj
    if namespace["status"]["phase"] == "Terminating":
        why = f"unable to create new content in namespace {where.namespace} because it is being terminated"
        detail = f"namespace {where.namespace} is being terminated"
        cause = status.Cause("NamespaceTerminating", "metadata.namespace", detail)
        raise status.forbidden(where.resource.plural, name, why, where.resource.group, [cause])


def admit_pod(store: Store, pod: Object, *, service_accounts: bool) -> None:
    """Fill in priority and service account of a new pod, which the caller owns. Raises ApiError 403."""
    spec = pod["spec"]
    name = pod["metadata"]["name"]
    spec["priority"] = _priority(store, name, spec.get("priorityClassName", ""))
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    if service_accounts:
        account = spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = account
        namespace = pod["metadata"]["namespace"]
        if store.find(SERVICE_ACCOUNTS, namespace, account) is None:
            why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise status.forbidden(PODS.plural, name, why)
    pod["status"]["qosClass"] = quality_of_service(spec)


def _priority(store: Store, pod_name: str, class_name: str) -> int:
    if not class_name:
        return 0
    if class_name in _SYSTEM_PRIORITIES:
        return _SYSTEM_PRIORITIES[class_name]
    found = store.find(PRIORITY_CLASSES, "", class_name)
    if found is None:
        raise status.forbidden(PODS.plural, pod_name, f"no PriorityClass with name {class_name} was found")
    return int(found.obj.get("value", 0))


def placed(pod: Object, node_name: str) -> Object:
    """The pod bound to a node."""
    condition = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": times.now_text(),
    }
    others = [item for item in pod["status"].get("conditions") or [] if item["type"] != "PodScheduled"]
    return {
        **pod,
        "spec": {**pod["spec"], "nodeName": node_name},
        "status": {**pod["status"], "conditions": [*others, condition]},
    }
