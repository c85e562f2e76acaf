"""A real Kubernetes for tests, started and ended by tools/k8s/cluster.sh.

Tier `api`: etcd and kube-apiserver, no root. Tier `node`: with controller manager, scheduler, containerd and kubelet;
root. What is missing fails the test with the command that brings it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Literal, Self

import urllib3
import yaml

from tests.kube.rawkube import RawKube
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools" / "k8s"
CACHE = Path(os.environ.get("K8S_CACHE", Path.home() / ".cache/edgesched/k8s-1.20.2"))
VIEWER_TOKEN = "viewer-token"
_COMPONENTS = {
    "api": ("kube-apiserver",),
    "node": ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"),
}
_PACKAGES = {
    "api": {"etcd": "etcd-server", "openssl": "openssl", "curl": "curl"},
    "node": {"containerd": "containerd", "runc": "runc", "ip": "iproute2", "catatonit": "catatonit"},
}

Process = Literal["etcd", "apiserver", "kcm", "sched", "kubelet", "containerd"]


class RealKube:
    """A real cluster in `directory`. `api_args`: more arguments for its API server. `cache`: where the binaries are."""

    def __init__(
        self, tier: Literal["api", "node"], directory: Path, *, api_args: str = "", cache: Path = CACHE
    ) -> None:
        self.tier = tier
        self.directory = directory
        self._api_args = api_args
        self._cache = cache

    # --- life ---

    def start(self) -> None:
        """Start it and wait until it is ready; an AssertionError says what is missing."""
        self._require()
        environment = {**os.environ, "K8S_CACHE": str(self._cache), "API_ARGS": self._api_args}
        if self.tier == "node":
            environment["IMAGES"] = " ".join(str(path) for path in self._images())
        self._script("up", self.tier, environment=environment)

    def stop(self) -> None:
        """End it and remove its data."""
        self._script("down")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _require(self) -> None:
        absent = [name for name in _COMPONENTS[self.tier] if not (self._cache / name).exists()]
        assert not absent, f"{', '.join(absent)} missing in {self._cache}; run: tools/k8s/build.sh {' '.join(absent)}"
        wanted = _PACKAGES["api"] | (_PACKAGES["node"] if self.tier == "node" else {})
        folders = [*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"]
        packages = [
            package
            for program, package in wanted.items()
            if not any((Path(item) / program).exists() for item in folders)
        ]
        assert not packages, f"missing Debian packages; run: tools/apt.sh {' '.join(packages)}"
        assert self.tier == "api" or os.geteuid() == 0, "the node tier needs root"

    def _images(self) -> list[Path]:
        folder = self.directory.parent / f"{self.directory.name}-images"
        subprocess.run([str(TOOLS / "images.py"), str(folder)], check=True, timeout=60)
        return sorted(folder.glob("*.tar"))

    def _script(self, *words: str, environment: dict[str, str] | None = None) -> None:
        command = [str(TOOLS / "cluster.sh"), *words, str(self.directory)]
        log = self.directory.parent / f"{self.directory.name}.log"
        with log.open("ab") as out:  # a pipe would stay open in the processes that the script leaves behind
            result = subprocess.run(command, env=environment, stdout=out, stderr=out, timeout=1200, check=False)
        assert result.returncode == 0, f"{' '.join(command)}: {log.read_text()[-2000:]}"

    # --- ways in ---

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def url(self) -> str:
        """Where the API server is."""
        return f"https://127.0.0.1:{(self.directory / 'port').read_text().strip()}"

    @property
    def token(self) -> str:
        """An administrator's token."""
        return str(yaml.safe_load(self.kubeconfig.read_text())["users"][0]["user"]["token"])

    @property
    def ca(self) -> Path:
        """The certificate to verify the server with."""
        return self.directory / "pki" / "apiserver.crt"

    def raw(self) -> RawKube:
        """Requests as an administrator."""
        return RawKube("apiserver", self.url, self.token, str(self.ca), VIEWER_TOKEN, self._restart_api, self._compact)

    def _restart_api(self) -> None:
        self.kill9("apiserver")
        self.restart("apiserver")
        self.wait_ready()

    def _compact(self, version: str) -> None:
        port = (self.directory / "etcd.port").read_text().strip()
        body = json.dumps({"revision": version, "physical": True})
        answer = urllib3.request("POST", f"http://127.0.0.1:{port}/v3/kv/compaction", body=body)
        assert answer.status == 200, answer.data

    # --- faults ---

    def pid(self, process: Process) -> int:
        """The process id."""
        return int((self.directory / f"{process}.pid").read_text())

    def kill9(self, process: Process) -> None:
        """Kill a process and wait until it is gone."""
        pid = self.pid(process)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not _lives(pid), 10, what=f"{process} to end")

    def restart(self, process: Process) -> None:
        """Start a process again that was killed, with the same command."""
        self._script("start", process)

    def sigstop(self, process: Process) -> None:
        """Stop a process where it is."""
        os.kill(self.pid(process), signal.SIGSTOP)

    def sigcont(self, process: Process) -> None:
        """Let a stopped process go on."""
        os.kill(self.pid(process), signal.SIGCONT)

    def is_ready(self) -> bool:
        """The API server answers `/readyz`."""
        try:
            return self.raw().get("/readyz", timeout_s=2).text == "ok"
        except urllib3.exceptions.HTTPError:
            return False

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait for the API server; a failure shows the end of its log."""
        try:
            wait_until(self.is_ready, timeout_s, what="the API server")
        except AssertionError as error:
            log = (self.directory / "apiserver.log").read_text(errors="replace")
            raise AssertionError(f"{error}; its log ends with\n{log[-3000:]}") from None

    # --- Waggle ---

    def prepare_wes(self) -> None:
        """Make what plugin pods find on a Waggle node: namespace, account, priority class, config maps."""
        kube = self.raw()
        for path, body in _wes_objects():
            answer = kube.post(path, body)
            assert answer.status in {201, 409}, (path, answer.status, answer.message)
        if self.tier == "node":
            account = "/api/v1/namespaces/ses/serviceaccounts/wes-plugin-account"
            wait_until(lambda: kube.get(account).body.get("secrets"), 30, what="the account's token")


def _wes_objects() -> list[tuple[str, dict[str, object]]]:
    ses = "/api/v1/namespaces/ses"
    return [
        ("/api/v1/namespaces", {"metadata": {"name": "ses"}}),
        (f"{ses}/serviceaccounts", {"metadata": {"name": "wes-plugin-account"}}),
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            {"metadata": {"name": "wes-app-priority"}, "value": 100_000, "description": "plugins"},
        ),
        (f"{ses}/configmaps", {"metadata": {"name": "waggle-data-config"}, "data": {"data-config.json": "[]"}}),
        (
            f"{ses}/configmaps",
            {"metadata": {"name": "wes-audio-server-plugin-conf"}, "data": {"asound.conf": "# none"}},
        ),
    ]


def _lives(pid: int) -> bool:
    """Whether any thread is left: the first one may be dead while others still hold the sockets."""
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            states.append(task.read_text().rpartition(")")[2].split()[0])
    return not set(states) <= {"Z", "X"}
