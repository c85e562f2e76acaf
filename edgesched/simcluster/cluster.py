"""`SimCluster`: the embedded cluster as one object."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import yaml

from edgesched.simcluster import removal, times
from edgesched.simcluster.api import Api
from edgesched.simcluster.control import control
from edgesched.simcluster.defaults import identify
from edgesched.simcluster.discovery import GIT_VERSION
from edgesched.simcluster.faults import Faults
from edgesched.simcluster.kubelet import Kubelet, Publish
from edgesched.simcluster.podstatus import HOST_IP, condition, with_condition
from edgesched.simcluster.recorder import Recorder
from edgesched.simcluster.resources import NAMESPACES, NODES, PODS, PRIORITY_CLASSES, SERVICE_ACCOUNTS, Resource
from edgesched.simcluster.scenario import Scenario
from edgesched.simcluster.scheduling import Scheduler
from edgesched.simcluster.server import HttpServer
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Change, Store
from edgesched.simcluster.timers import Timers


class SimCluster:
    """A small Kubernetes on loopback: API server, scheduler and scripted kubelet.

    `scenario`: what becomes of pods. `publish`: takes what pods publish. `kubelet`: False leaves pods Pending, as a
    bare API server does. `service_accounts`: creating a pod needs its service account. `tokens`: bearer token to user
    name (only `admin` may do anything); empty lets everybody in. `wes`: make the namespace `ses` and what plugin pods
    need in it.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        publish: Publish | None = None,
        kubelet: bool = True,
        service_accounts: bool = True,
        tokens: Mapping[str, str] | None = None,
        wes: bool = True,
    ) -> None:
        self.scenario = scenario or Scenario()
        self.store = Store()
        self.faults = Faults()
        self._timers = Timers()
        recorder = Recorder(self.store, self.scenario.node.name)
        self._scheduler = Scheduler(self.store, recorder)
        self._kubelet = Kubelet(self.store, self._timers, recorder, self.scenario, publish)
        self._has_kubelet = kubelet
        closing = threading.Event()
        self._api = Api(
            self.store,
            tokens=tokens,
            service_accounts=service_accounts,
            log_source=self._kubelet if kubelet else None,
            closing=closing,
        )
        self._http = HttpServer(self._api.handle, partial(control, self), self.faults)
        self._http.closing = closing
        self._token = next((token for token, user in (tokens or {}).items() if user == "admin"), "")
        self._wes = wes

    # --- life ---

    def start(self, port: int = 0) -> str:
        """Serve on 127.0.0.1; returns the URL. Raises OSError when the port is taken."""
        self._http.start(port)
        self._bootstrap()
        self.store.listen(self._notice)
        self._timers.start()
        return self.url

    def stop(self) -> None:
        """End all threads and connections."""
        self._http.stop()
        with self.store.changed:
            self.store.changed.notify_all()
        self._timers.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self._http.port}"

    def kubeconfig(self) -> Object:
        """The kubeconfig of an administrator."""
        user: Object = {"token": self._token} if self._token else {}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sim", "cluster": {"server": self.url}}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "admin", "namespace": "ses"}}],
            "current-context": "sim",
        }

    def write_kubeconfig(self, path: Path) -> Path:
        """Write the kubeconfig, readable by its owner only."""
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(self.kubeconfig(), sort_keys=False), encoding="utf-8")
        return path

    # --- objects ---

    def create(self, resource: Resource, obj: Object, namespace: str = "") -> Object:
        """Store an object past the API."""
        return self.store.create(resource, identify(resource, obj, namespace)).obj

    def pods(self, namespace: str = "ses") -> list[Object]:
        """The pods of a namespace, by name."""
        return [stored.obj for stored in self.store.items(PODS, namespace)]

    def _bootstrap(self) -> None:
        namespaces = ["default", "kube-system", *(["ses"] if self._wes else [])]
        for name in namespaces:
            self.create(NAMESPACES, {"metadata": {"name": name}})
            self.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, name)
        if self._wes:
            self.create(SERVICE_ACCOUNTS, {"metadata": {"name": "wes-plugin-account"}}, "ses")
            self.create(PRIORITY_CLASSES, {"metadata": {"name": "wes-app-priority"}, "value": 100_000})
            self._wes_configmaps()
        if self._has_kubelet:
            self.create(NODES, _node(self.scenario))

    def _wes_configmaps(self) -> None:
        from edgesched.simcluster.resources import CONFIGMAPS

        for name, key, value in (
            ("waggle-data-config", "data-config.json", "[]"),
            ("wes-audio-server-plugin-conf", "asound.conf", ""),
        ):
            self.create(CONFIGMAPS, {"metadata": {"name": name}, "data": {key: value}}, "ses")

    # --- what the cluster does by itself ---

    def _notice(self, resource: Resource, change: Change) -> None:
        if resource is NAMESPACES and change.now.obj["status"]["phase"] == "Terminating" and change.type == "MODIFIED":
            self._timers.after(0.05, partial(removal.empty_namespace, self.store, change.key[1]))
        if not self._has_kubelet:
            return
        if resource is PODS:
            self._timers.after(0, partial(self._follow_pod, change))
        elif resource is NODES:
            self._timers.after(0, self._scheduler.place_all)

    def _follow_pod(self, change: Change) -> None:
        pod = change.now.obj
        gone = change.type == "DELETED"
        self._kubelet.notice(pod, gone=gone)
        has_room = self._scheduler.notice(pod, gone=gone)
        if change.type == "ADDED":
            self._scheduler.place(*change.key)
        elif has_room:
            self._scheduler.place_all()

    # --- mishaps ---

    def counts(self) -> dict[str, int]:
        """Requests so far by method; watches are counted as `WATCH`."""
        return self._http.counts()

    def compact(self) -> int:
        """Forget old changes: watches and lists from before now are refused with 410."""
        return self.store.compact()

    def drop_watches(self) -> int:
        """Cut the connections of all watches; returns how many."""
        return self._http.cut(watches_only=True)

    def go_down(self, for_s: float | None = None) -> None:
        """Refuse all connections, for a while or until `come_up`."""
        self._timers.after(0.02, self._http.go_down)
        if for_s is not None:
            self._timers.after(for_s, self._listen_again)

    def come_up(self) -> None:
        """Accept connections again."""
        self._timers.after(0, self._listen_again)

    def _listen_again(self) -> None:
        try:
            self._http.come_up()
        except OSError:  # an outgoing connection has taken the port meanwhile
            self._timers.after(0.1, self._listen_again)

    def kill_pod(self, name: str, namespace: str = "ses", exit_code: int = 137) -> None:
        """A pod's containers are killed from outside."""
        uid = self.store.get(PODS, namespace, name).obj["metadata"]["uid"]
        self._timers.after(0, partial(self._kubelet.kill_pod, uid, exit_code))

    def evict_pod(
        self, name: str, namespace: str = "ses", message: str = "The node was low on resource: memory. "
    ) -> None:
        """The kubelet evicts a pod."""
        uid = self.store.get(PODS, namespace, name).obj["metadata"]["uid"]
        self._timers.after(0, partial(self._kubelet.evict_pod, uid, message))

    def lose_node(self, evict_after_s: float | None = None) -> None:
        """The kubelet falls silent: the node is NotReady (Unknown), its pods are not Ready, nothing moves.

        After `evict_after_s` its pods are marked for deletion, as by the node controller; they stay until it is back.
        """
        self._timers.after(0, partial(self._turn_node, ready=False))
        if evict_after_s is not None:
            self._timers.after(evict_after_s, self._delete_lost_pods)

    def _delete_lost_pods(self) -> None:
        with self.store.lock:
            node = self.store.get(NODES, "", self.scenario.node.name).obj
            for stored in self.store.items(PODS) if node["spec"].get("taints") else []:
                if stored.obj["spec"].get("nodeName") == self.scenario.node.name:
                    removal.remove(self.store, PODS, stored.obj, removal.DeleteOptions())

    def return_node(self) -> None:
        """The kubelet is back."""
        self._timers.after(0, partial(self._turn_node, ready=True))

    def _turn_node(self, *, ready: bool) -> None:
        name = self.scenario.node.name
        word = {"reason": "KubeletReady", "message": "kubelet is posting ready status"}
        if not ready:
            self._kubelet.freeze()
            word = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
        with self.store.lock:
            node = self.store.get(NODES, "", name).obj
            new = {**condition("Ready", met=ready, **word), "status": "True" if ready else "Unknown"}
            conditions = with_condition(node["status"]["conditions"], new)
            taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule", "timeAdded": times.now_text()}
            spec = {**node["spec"], "taints": []} if ready else {**node["spec"], "taints": [taint]}
            self.store.replace(NODES, {**node, "spec": spec, "status": {**node["status"], "conditions": conditions}})
            if not ready:
                self._mark_pods_unready(name)
        if ready:
            self._kubelet.thaw()

    def _mark_pods_unready(self, node_name: str) -> None:
        for stored in self.store.items(PODS):
            pod: Any = stored.obj
            if pod["spec"].get("nodeName") == node_name and pod["status"]["phase"] == "Running":
                conditions = with_condition(pod["status"].get("conditions") or [], condition("Ready", met=False))
                self.store.replace(PODS, {**pod, "status": {**pod["status"], "conditions": conditions}})


def _node(scenario: Scenario) -> Object:
    shape = scenario.node
    calm = [
        condition(kind, met=False, reason=f"KubeletHas{word}", message=f"kubelet has {text}")
        for kind, word, text in (
            ("MemoryPressure", "SufficientMemory", "sufficient memory available"),
            ("DiskPressure", "NoDiskPressure", "no disk pressure"),
            ("PIDPressure", "SufficientPID", "sufficient PID available"),
        )
    ]
    ready = condition("Ready", met=True, reason="KubeletReady", message="kubelet is posting ready status")
    labels = {
        "kubernetes.io/hostname": shape.name,
        "k3s.io/hostname": shape.name,
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/master": "true",
        **shape.labels,
    }
    info = {
        "kubeletVersion": f"{GIT_VERSION}-sim",
        "osImage": "embedded cluster",
        "kernelVersion": "none",
        "containerRuntimeVersion": "scripted://1",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
    status = {
        "capacity": dict(shape.capacity),
        "allocatable": dict(shape.capacity),
        "conditions": [*calm, ready],
        "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": shape.name}],
        "nodeInfo": info,
    }
    return {"metadata": {"name": shape.name, "labels": labels}, "status": status}
