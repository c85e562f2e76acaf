"""One agent acts for a node: who holds the lease acts, the others wait.

The lease is asked for once before anything else starts. When another agent holds it, this one reads nothing, decides
nothing and answers over HTTP who acts; it begins when the lease becomes free. When nobody can be asked, because the
cluster is away, it begins at once, for rules may have work that needs no cluster, and only its requests to the cluster
wait for the lease. When another agent is found to hold the lease after that, this one ends: what it knows of its runs
is not true any more. Whoever started it starts it again, and then it waits.

Without the right to use leases an agent acts after half a minute: a missing role must not stop a node that has worked
before roles were needed. It warns, with the remedy.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from edgesched.adapters.kube.lease import KubeLease, LeaseState
from edgesched.adapters.statedir import StateDir
from edgesched.core.model import PodView
from edgesched.core.plan.effects import DeletePod, FetchLog, LaunchPod
from edgesched.errors import KubeUnavailableError
from edgesched.ports import Notice, PodRunner

FORBIDDEN_S: Final = 30.0
IDENTITY: Final = "identity"


class Tenure:
    """Says whether this agent may act. `begun` is called once, when it may begin; on the lease's thread or in `start`.

    `superseded`: who acts instead of us although we had begun, empty while nobody does.
    """

    def __init__(self, lease: KubeLease, begun: Callable[[], None], notice: Notice) -> None:
        self._lease = lease
        self._begun = begun
        self._notice = notice
        self._lock = threading.Lock()
        self._has_begun = False
        self._forbidden_s: float | None = None
        self._without = False
        self.superseded = ""
        lease.changed = self._hear

    @property
    def waits_for(self) -> str:
        """Name who acts while we may not, empty when we may or nobody knows."""
        state = self._lease.state
        return "" if state.held or self._without else state.holder

    def start(self) -> None:
        """Ask for the lease once; begin unless another agent has it."""
        state = self._lease.attempt()
        if not state.held and not state.holder:
            self._begin()

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Hold or wait for the lease until `stop` is set, then give it back."""
        self._lease.run(stop, beat)

    def require(self) -> None:
        """Raise KubeUnavailableError unless we may act on the cluster."""
        state = self._lease.state
        if state.held or self._may_go_without(state):
            return
        why = f"held by {state.holder}" if state.holder else state.error or "not asked yet"
        raise KubeUnavailableError(f"waiting for the lease {self._lease.name}: {why}")

    def _hear(self, state: LeaseState) -> None:
        if state.forbidden:
            if self._forbidden_s is None:
                self._forbidden_s = time.monotonic()
            return
        self._forbidden_s = None
        if state.error:
            return
        self._without = False
        if state.held:
            self._begin()
        elif state.holder and self._has_begun:
            self.superseded = state.holder

    def _begin(self) -> None:
        with self._lock:
            if self._has_begun:
                return
            self._has_begun = True
        self._begun()

    def _may_go_without(self, state: LeaseState) -> bool:
        since_s = self._forbidden_s
        if not self._without and since_s is not None and time.monotonic() - since_s >= FORBIDDEN_S:
            self._without = True
            self._notice(
                "lease.off", level="warning", lease=self._lease.name, error=state.error,
                hint="give the agent its roles: kubectl apply -k deploy/kubernetes/rbac, or say --lease=false",
            )  # fmt: skip
        return self._without


class TenuredPods:
    """A `PodRunner` that changes nothing in the cluster while another agent may act there."""

    def __init__(self, pods: PodRunner, tenure: Tenure) -> None:
        self._pods = pods
        self._tenure = tenure

    def launch(self, effect: LaunchPod) -> PodView:
        """Create a pod; raises KubeUnavailableError while we may not act."""
        self._tenure.require()
        return self._pods.launch(effect)

    def delete(self, effect: DeletePod) -> None:
        """Delete a pod; raises KubeUnavailableError while we may not act."""
        self._tenure.require()
        self._pods.delete(effect)

    def log(self, effect: FetchLog) -> tuple[str, ...]:
        """Read a log."""
        return self._pods.log(effect)


def identity(folder: StateDir | None) -> str:
    """Return the name of this agent among those of its node: host and a random part, kept with the state.

    Without a state directory each process is another agent.
    """
    if folder is not None:
        kept = (folder.read(IDENTITY) or b"").decode("ascii", errors="replace").strip()
        if kept and kept.isprintable() and len(kept) <= 128:
            return kept
    made = f"{socket.gethostname()[:63]}-{secrets.token_hex(4)}"
    if folder is not None:
        try:
            folder.replace(IDENTITY, made.encode())
        except OSError:
            # a disk that cannot be written: another agent to the next process
            return made
    return made
