"""The scheduler: binds pods to the one node, or says why not in the words of kube-scheduler 1.20."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from edgesched.simcluster.admission import placed
from edgesched.simcluster.podstatus import condition, with_condition
from edgesched.simcluster.quantity import parse_quantity
from edgesched.simcluster.recorder import Recorder
from edgesched.simcluster.resources import NODES, PODS
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Store

Amounts = dict[str, Fraction]
_ENDED = frozenset({"Succeeded", "Failed"})


class Scheduler:
    """Looks at pods without a node. Used on the timers' thread only."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    def place(self, namespace: str, name: str) -> None:
        """Bind one pod if it fits."""
        with self._store.lock:
            found = self._store.find(PODS, namespace, name)
            if found is None or not _is_waiting(found.obj):
                return
            pod = found.obj
            why = self._refusal(pod)
            if why:
                self._refuse(pod, why)
                return
            node_name = self._nodes()[0]["metadata"]["name"]
            bound = self._store.replace(PODS, placed(pod, node_name)).obj
            message = f"Successfully assigned {namespace}/{name} to {node_name}"
            self._recorder.scheduler(bound, "Normal", "Scheduled", message)

    def place_all(self) -> None:
        """Try all waiting pods again, in the order of their creation: room has become free, or a node has changed."""
        waiting = [stored.obj for stored in self._store.items(PODS) if _is_waiting(stored.obj)]
        for pod in sorted(
            waiting, key=lambda pod: (-pod["spec"].get("priority", 0), pod["metadata"]["creationTimestamp"])
        ):
            self.place(pod["metadata"]["namespace"], pod["metadata"]["name"])

    def _nodes(self) -> list[Object]:
        return [stored.obj for stored in self._store.items(NODES)]

    def _refuse(self, pod: Object, why: str) -> None:
        conditions = pod["status"].get("conditions") or []
        new = condition("PodScheduled", met=False, reason="Unschedulable", message=why)
        if any(item["type"] == "PodScheduled" and item.get("message") == why for item in conditions):
            return
        self._recorder.scheduler(pod, "Warning", "FailedScheduling", why)
        status = {**pod["status"], "conditions": with_condition(conditions, new)}
        self._store.replace(PODS, {**pod, "status": status})

    def _refusal(self, pod: Object) -> str:
        nodes = self._nodes()
        if not nodes:
            return "no nodes available to schedule pods"
        node = nodes[0]
        reasons = [_node_refusal(pod, node)]
        if not reasons[0]:
            reasons = self._lacking(pod, node)
        if not reasons:
            return ""
        return f"0/{len(nodes)} nodes are available: {', '.join(f'1 {reason}' for reason in sorted(reasons))}."

    def _lacking(self, pod: Object, node: Object) -> list[str]:
        free = {name: parse_quantity(amount) for name, amount in (node["status"].get("allocatable") or {}).items()}
        node_name = node["metadata"]["name"]
        others = [stored.obj for stored in self._store.items(PODS)]
        for other in others:
            if other["spec"].get("nodeName") == node_name and other["status"]["phase"] not in _ENDED:
                _subtract(free, pod_requests(other).items())
                _subtract(free, [("pods", Fraction(1))])
        wanted = {**pod_requests(pod), "pods": Fraction(1)}
        lacking = [name for name, amount in wanted.items() if amount > free.get(name, Fraction(0))]
        return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in lacking]


def _subtract(free: Amounts, amounts: Iterable[tuple[str, Fraction]]) -> None:
    for name, amount in amounts:
        free[name] = free.get(name, Fraction(0)) - amount


def _is_waiting(pod: Object) -> bool:
    spec = pod["spec"]
    bound_or_gone = spec.get("nodeName") or pod["metadata"].get("deletionTimestamp")
    return not bound_or_gone and spec["schedulerName"] == "default-scheduler" and pod["status"]["phase"] not in _ENDED


def _node_refusal(pod: Object, node: Object) -> str:
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] != "PreferNoSchedule" and not _tolerates(pod, taint):
            return f"node(s) had taint {{{taint['key']}: {taint.get('value', '')}}}, that the pod didn't tolerate"
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity"
    return ""


def _tolerates(pod: Object, taint: Object) -> bool:
    for toleration in pod["spec"].get("tolerations") or []:
        if toleration.get("effect") not in {None, "", taint["effect"]}:
            continue
        if toleration.get("key") not in {None, "", taint["key"]}:
            continue
        if toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def pod_requests(pod: Object) -> Amounts:
    """What a pod asks for: its containers together, or its largest init container."""
    spec = pod["spec"]
    total: Amounts = {}
    for container in spec["containers"]:
        for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] = total.get(name, Fraction(0)) + parse_quantity(amount)
    for container in spec.get("initContainers") or []:
        for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] = max(total.get(name, Fraction(0)), parse_quantity(amount))
    return total
