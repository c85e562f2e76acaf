"""The two clusters that adapter tests run against: the embedded one and a real kube-apiserver with etcd.

Both are without a kubelet; `World.set_status` plays its part. A wire stands between the adapter and the server.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from edgesched.adapters.kube import KubeTarget
from edgesched.simcluster import SimCluster
from tests.kube.adapter.wire import Wire
from tests.kube.realkube import RealKube
from tests.waiting import wait_until

Json = dict[str, Any]

SIM_TOKEN = "admin-token"


@dataclass
class World:
    """A cluster. `kind`: `sim` or `api`. `wire`: between the adapter and the server. `folder`: for kubeconfigs."""

    kind: str
    wire: Wire
    url: str
    folder: Path
    token: str
    ca: str = ""

    def __post_init__(self) -> None:
        self._http = urllib3.PoolManager(ca_certs=self.ca or None)

    def target(self, token: str = "") -> KubeTarget:
        """Return the way to the server through the wire, as administrator or with another token."""
        token = token or self.token
        scheme = self.url.partition("://")[0]
        cluster: Json = {"server": f"{scheme}://127.0.0.1:{self.wire.port}"}
        if self.ca:
            cluster["certificate-authority"] = self.ca
        return KubeTarget(kubeconfig=str(self._kubeconfig(f"wire-{len(token)}", cluster, token)))

    def admin_kubeconfig(self) -> Path:
        """Return a kubeconfig past the wire, for kubectl."""
        cluster: Json = {"server": self.url}
        if self.ca:
            cluster["certificate-authority"] = self.ca
        return self._kubeconfig("admin", cluster, self.token)

    def call(self, method: str, path: str, body: Json | None = None, kind: str = "application/json") -> Json:
        """Make a request as administrator, past the wire; a refusal fails the test."""
        answer = self._http.request(
            method,
            self.url + path,
            body=None if body is None else json.dumps(body),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
            timeout=10,
        )
        assert answer.status < 300, (method, path, answer.status, answer.data[:300])
        return json.loads(answer.data)

    def exists(self, path: str) -> bool:
        """Say whether there is an object."""
        answer = self._http.request(
            "GET", self.url + path, headers={"Authorization": f"Bearer {self.token}"}, timeout=10
        )
        return answer.status == 200

    def items(self, path: str) -> list[Json]:
        """List a collection."""
        return self.call("GET", path)["items"]

    def set_status(self, name: str, status: Json, namespace: str = "ses") -> None:
        """Set a pod's status as a kubelet would."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self.call("PATCH", path, {"status": status}, "application/merge-patch+json")

    def clear(self) -> None:
        """Remove what tests made."""
        for path in (
            "/api/v1/namespaces/ses/pods",
            "/api/v1/namespaces/ses/configmaps",
            "/api/v1/namespaces/default/configmaps",
            "/api/v1/namespaces/ses/events",
            "/apis/coordination.k8s.io/v1/namespaces/ses/leases",
        ):
            body = {"gracePeriodSeconds": 0}
            self.call("DELETE", path, body)
        for namespace in ("ses", "default"):
            for service in self.items(f"/api/v1/namespaces/{namespace}/services"):
                if service["metadata"]["name"] != "kubernetes":
                    self.call("DELETE", f"/api/v1/namespaces/{namespace}/services/{service['metadata']['name']}")
        wait_until(lambda: not self.items("/api/v1/namespaces/ses/pods"), what="the namespace to be empty")

    def _kubeconfig(self, name: str, cluster: Json, token: str) -> Path:
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        return path


@contextmanager
def sim_world(folder: Path) -> Iterator[World]:
    """Run the embedded cluster, without its kubelet."""
    with SimCluster(kubelet=False, service_accounts=False, tokens={SIM_TOKEN: "admin"}) as cluster:
        port = int(cluster.url.rpartition(":")[2])
        with Wire(port) as wire:
            yield World("sim", wire, cluster.url, folder, SIM_TOKEN)


@contextmanager
def api_world(folder: Path, server: RealKube) -> Iterator[World]:
    """Put a wire before a real API server, and wait until its own controllers have made what they make."""
    with Wire(int(server.url.rpartition(":")[2])) as wire:
        world = World("api", wire, server.url, folder, server.token, str(server.ca))
        wait_until(lambda: world.exists("/api/v1/namespaces/default"), 60, what="namespace default")
        yield world


class Collector:
    """Keeps events; callable from any thread."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._lock = threading.Lock()

    def __call__(self, event: Any) -> None:
        """Keep an event."""
        with self._lock:
            self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        """Return the events of one type."""
        with self._lock:
            return [event for event in self.events if isinstance(event, kind)]
