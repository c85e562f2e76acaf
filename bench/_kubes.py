"""A cluster for benchmarks: a real kube-apiserver when its binary is built, else the embedded one in a child process.

Both are without plugins' containers: what is measured is the way from a decision to a created pod.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
import yaml

from bench.agent import Child
from tests.kube.realkube import CACHE, RealKube

PODS = "/api/v1/namespaces/ses/pods"


class Cluster:
    """An API server without a kubelet. `kubeconfig`: for the agent. Requests are made with a bare HTTP client."""

    def __init__(self, kind: str, kubeconfig: Path, real: RealKube | None = None) -> None:
        self.kind = kind
        self.kubeconfig = kubeconfig
        self.real = real
        content = yaml.safe_load(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        self.url = str(cluster["server"])
        self._headers = {"Content-Type": "application/json"}
        if user.get("token"):
            self._headers["Authorization"] = f"Bearer {user['token']}"
        self._pool = urllib3.PoolManager(ca_certs=cluster.get("certificate-authority"), maxsize=16, retries=False)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request and return the JSON of the answer."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        answer = self._pool.request(method, self.url + path, body=raw, headers=self._headers, timeout=30)
        assert answer.status < 300, (method, path, answer.status, answer.data[:200])
        return json.loads(answer.data)

    def stream(self, path: str, silence_s: float) -> Any:
        """Open a watch."""
        timeout = urllib3.Timeout(connect=5, read=silence_s)
        return self._pool.request("GET", self.url + path, headers=self._headers, preload_content=False, timeout=timeout)

    def create_pods(self, bodies: Iterable[Any], workers: int) -> None:
        """Create pods as fast as so many threads can."""
        todo, lock = iter(bodies), threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    body = next(todo, None)
                if body is None:
                    return
                self.call("POST", PODS, body)

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def clear(self) -> None:
        """Remove all plugin pods."""
        self.call("DELETE", PODS, {"gracePeriodSeconds": 0})
        while self.call("GET", PODS)["items"]:
            time.sleep(0.1)

    def arrivals(self) -> Arrivals:
        """Follow the creation of pods from now on."""
        version = self.call("GET", PODS)["metadata"]["resourceVersion"]
        return Arrivals(self.stream(f"{PODS}?watch=1&resourceVersion={version}&timeoutSeconds=600", 610))


class Arrivals:
    """A watch. `times`: for each pod its name and the monotonic time at which it was seen first."""

    def __init__(self, stream: Any) -> None:
        self.times: dict[str, float] = {}
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait(self, count: int, timeout_s: float) -> None:
        """Wait until so many pods have been seen."""
        end_s = time.monotonic() + timeout_s
        while len(self.times) < count:
            assert time.monotonic() < end_s, f"{len(self.times)} of {count} pods within {timeout_s:g} s"
            time.sleep(0.005)

    def close(self) -> None:
        """Stop following."""
        self._stream.shutdown()
        self._thread.join(5)

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            while chunk := self._stream.read1(65_536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ADDED":
                        self.times[event["object"]["metadata"]["name"]] = time.monotonic()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster and end it."""
    with tempfile.TemporaryDirectory() as folder:
        if (CACHE / "kube-apiserver").exists():
            with RealKube("api", Path(folder) / "k") as real:
                real.prepare_wes()
                yield Cluster("real API server", real.kubeconfig, real)
            return
        child = Child("cluster")
        try:
            kubeconfig = Path(folder) / "kubeconfig"
            server = {"name": "c", "cluster": {"server": child.answer()["url"]}}
            context = {"name": "c", "context": {"cluster": "c", "user": "c"}}
            user = {"name": "c", "user": {}}
            kubeconfig.write_text(
                json.dumps({"clusters": [server], "users": [user], "contexts": [context], "current-context": "c"})
            )
            yield Cluster("embedded cluster", kubeconfig)
        finally:
            child.end()
