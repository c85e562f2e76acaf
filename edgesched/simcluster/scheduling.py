"""The scheduler: binds pods to the one node, or says why not in the words of kube-scheduler 1.20."""

from __future__ import annotations

from fractions import Fraction

from edgesched.simcluster.admission import placed
from edgesched.simcluster.podstatus import condition, with_condition
from edgesched.simcluster.quantity import parse_quantity
from edgesched.simcluster.recorder import Recorder
from edgesched.simcluster.resources import NODES, PODS
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Key, Store, key_of

Amounts = dict[str, Fraction]
_ENDED = frozenset({"Succeeded", "Failed"})


class Scheduler:
    """Looks at pods without a node, and keeps account of what the others hold. Used on the timers' thread only."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self._held: dict[str, Amounts] = {}
        self._total: Amounts = {}
        self._waiting: dict[str, Key] = {}

    def notice(self, pod: Object, *, gone: bool) -> bool:
        """Keep account of a pod that was stored or removed; returns whether room has become free."""
        uid = pod["metadata"]["uid"]
        if _is_waiting(pod) and not gone:
            self._waiting[uid] = key_of(pod)
        else:
            self._waiting.pop(uid, None)
        if gone or pod["status"]["phase"] in _ENDED:
            held = self._held.pop(uid, {})
            for name, amount in held.items():
                self._total[name] -= amount
            return bool(held)
        if pod["spec"].get("nodeName") and uid not in self._held:
            self._hold(uid, pod)
        return False

    def _hold(self, uid: str, pod: Object) -> None:
        self._held[uid] = _wanted(pod)
        for name, amount in self._held[uid].items():
            self._total[name] = self._total.get(name, Fraction(0)) + amount

    def place(self, namespace: str, name: str) -> None:
        """Bind one pod if it fits."""
        with self._store.lock:
            found = self._store.find(PODS, namespace, name)
            if found is None or not _is_waiting(found.obj):
                return
            pod = found.obj
            nodes = [stored.obj for stored in self._store.items(NODES)]
            why = self._refusal(pod, nodes)
            if why:
                self._refuse(pod, why)
                return
            node_name = nodes[0]["metadata"]["name"]
            bound = self._store.replace(PODS, placed(pod, node_name)).obj
            self._hold(bound["metadata"]["uid"], bound)
            message = f"Successfully assigned {namespace}/{name} to {node_name}"
            self._recorder.scheduler(bound, "Normal", "Scheduled", message)

    def place_all(self) -> None:
        """Try all waiting pods again, the most important and oldest first: there is room, or a node has changed."""
        found = [self._store.find(PODS, *key) for key in self._waiting.values()]
        waiting = [stored.obj for stored in found if stored is not None]
        for pod in sorted(waiting, key=_rank):
            self.place(*key_of(pod))

    def _refuse(self, pod: Object, why: str) -> None:
        conditions = pod["status"].get("conditions") or []
        new = condition("PodScheduled", met=False, reason="Unschedulable", message=why)
        if any(item["type"] == "PodScheduled" and item.get("message") == why for item in conditions):
            return
        self._recorder.scheduler(pod, "Warning", "FailedScheduling", why)
        status = {**pod["status"], "conditions": with_condition(conditions, new)}
        self._store.replace(PODS, {**pod, "status": status})

    def _refusal(self, pod: Object, nodes: list[Object]) -> str:
        if not nodes:
            return "no nodes available to schedule pods"
        reason = _node_refusal(pod, nodes[0])
        reasons = [reason] if reason else self._lacking(pod, nodes[0])
        if not reasons:
            return ""
        return f"0/{len(nodes)} nodes are available: {', '.join(f'1 {reason}' for reason in sorted(reasons))}."

    def _lacking(self, pod: Object, node: Object) -> list[str]:
        room = node["status"].get("allocatable") or {}
        lacking = [
            name
            for name, amount in _wanted(pod).items()
            if amount > parse_quantity(room.get(name, "0")) - self._total.get(name, Fraction(0))
        ]
        return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in lacking]


def _rank(pod: Object) -> tuple[int, str, int]:
    metadata = pod["metadata"]
    return -pod["spec"].get("priority", 0), metadata["creationTimestamp"], int(metadata["resourceVersion"])


def _wanted(pod: Object) -> Amounts:
    return {**pod_requests(pod), "pods": Fraction(1)}


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
