"""The two clusters that adapter tests run against: the embedded one and a real kube-apiserver with etcd.

Both are without a kubelet; `World.set_status` plays its part. A wire stands between the adapter and the server.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from edgesched.adapters.kube import KubeTarget
from edgesched.simcluster.cluster import SimCluster
from tests.kube.wire import Wire
from tests.waiting import wait_until

Json = dict[str, Any]

BINARIES = Path(os.environ.get("K8S_CACHE", Path.home() / ".cache/edgesched/k8s-1.20.2"))
ADMIN = "admintoken"
AGENT = "agenttoken"
"""Token of the user that the manifests' roles are bound to."""


@dataclass
class World:
    """A cluster. `kind`: `sim` or `api`. `wire`: between the adapter and the server. `folder`: for kubeconfigs."""

    kind: str
    wire: Wire
    url: str
    folder: Path
    ca: str = ""

    def __post_init__(self) -> None:
        self._http = urllib3.PoolManager(ca_certs=self.ca or None)

    def target(self, token: str = ADMIN) -> KubeTarget:
        """Return the way to the server through the wire."""
        scheme = self.url.partition("://")[0]
        cluster: Json = {"server": f"{scheme}://127.0.0.1:{self.wire.port}"}
        if self.ca:
            cluster["certificate-authority"] = self.ca
        return KubeTarget(kubeconfig=str(self._kubeconfig(f"wire-{token}", cluster, token)))

    def admin_kubeconfig(self) -> Path:
        """Return a kubeconfig past the wire, for kubectl."""
        cluster: Json = {"server": self.url}
        if self.ca:
            cluster["certificate-authority"] = self.ca
        return self._kubeconfig("admin", cluster, ADMIN)

    def call(self, method: str, path: str, body: Json | None = None, kind: str = "application/json") -> Json:
        """Make a request as administrator, past the wire; a refusal fails the test."""
        answer = self._http.request(
            method,
            self.url + path,
            body=None if body is None else json.dumps(body),
            headers={"Authorization": f"Bearer {ADMIN}", "Content-Type": kind},
            timeout=10,
        )
        assert answer.status < 300, (method, path, answer.status, answer.data[:300])
        return json.loads(answer.data)

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
    with SimCluster(kubelet=False, service_accounts=False, tokens={ADMIN: "admin"}) as cluster:
        port = int(cluster.url.rpartition(":")[2])
        with Wire(port) as wire:
            yield World("sim", wire, cluster.url, folder)


@contextmanager
def api_world(folder: Path) -> Iterator[World]:
    """Run etcd and a real kube-apiserver with RBAC; fails when their binaries are missing."""
    etcd = shutil.which("etcd")
    assert etcd, "etcd is missing: apt-get install etcd-server"
    assert (BINARIES / "kube-apiserver").exists(), f"no kube-apiserver in {BINARIES}: make test-api builds it"
    etcd_port, peer_port, api_port = _free_ports(3)
    _keys(folder)
    (folder / "tokens.csv").write_text(
        f'{ADMIN},admin,admin,"system:masters"\n'
        f'{AGENT},system:serviceaccount:default:edgesched,agent,"system:serviceaccounts,system:authenticated"\n'
    )
    client, peer = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
    with (
        _process(
            folder, "etcd", [
                etcd, "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync",
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"default={peer}",
            ],
        ),
        _process(
            folder, "apiserver", [
                str(BINARIES / "kube-apiserver"), f"--etcd-servers={client}", "--bind-address=127.0.0.1",
                f"--secure-port={api_port}", f"--cert-dir={folder}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={folder}/sa.pub", f"--service-account-signing-key-file={folder}/sa.key",
                "--authorization-mode=RBAC", f"--token-auth-file={folder}/tokens.csv",
                "--service-cluster-ip-range=10.99.0.0/24", "--allow-privileged=true",
                "--endpoint-reconciler-type=none",
                # without a controller manager no account has a token, and every pod would be refused
                "--disable-admission-plugins=ServiceAccount",
            ],
        ),
        Wire(api_port) as wire,
    ):  # fmt: skip
        url = f"https://127.0.0.1:{api_port}"
        # the server makes its certificate when it starts
        wait_until((folder / "apiserver.crt").exists, 60, what="the API server's certificate")
        world = World("api", wire, url, folder, ca=str(folder / "apiserver.crt"))
        wait_until(lambda: _ready(world), 60, what="the API server")
        yield world


def _ready(world: World) -> bool:
    with contextlib.suppress(AssertionError, urllib3.exceptions.HTTPError, ValueError):
        # the priority class is made by the server itself after it is ready
        world.call("GET", "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical")
        return True
    return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _keys(folder: Path) -> None:
    key, public = folder / "sa.key", folder / "sa.pub"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", str(key), "-pubout", "-out", str(public)], check=True, capture_output=True)


@contextmanager
def _process(folder: Path, name: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(10)


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
