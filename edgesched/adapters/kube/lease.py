"""One agent per node: whoever holds the Lease `edgesched-<vsn>` acts, the others wait and say for whom.

The holder renews every 10 s. A lease counts as abandoned when nobody has changed it for its duration *on the waiting
agent's own steady clock*: no two machines' clocks are compared, and a clock that steps costs nothing. An agent that
could not watch for a while (the API was away) starts to count anew, so the holder gets its chance to renew first.

A holder that cannot renew stops to count as one when its lease could have been taken. An agent that starts again with
the identity that it had (the identity is kept with the state) goes on at once; on a graceful stop the lease is given
back.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from edgesched.adapters.kube.api import KubeApi
from edgesched.errors import KubeRefusedError, KubeUnavailableError
from edgesched.ports import Clock, Notice

Json = dict[str, Any]

LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """`duration_s`: how long an unchanged lease is respected. `renew_s`, `retry_s`: pauses of holder and waiter."""

    duration_s: int = 30
    renew_s: float = 10.0
    retry_s: float = 2.0


@dataclass(frozen=True, slots=True)
class LeaseState:
    """`held`: we may act. `holder`: who holds the lease, empty when unknown. `error`: why it is unknown.

    `forbidden`: it is unknown because we may not read or write leases.
    """

    held: bool = False
    holder: str = ""
    error: str = ""
    forbidden: bool = False


class KubeLease:
    """Holds, or waits for, the lease of a node.

    Args:
        identity: names this agent, kept over restarts; shown to the operator of a second one.
        changed: called on each change of state, on the lease's thread.

    `name`: that of the Lease object.
    """

    def __init__(
        self, api: KubeApi, *, namespace: str, vsn: str, identity: str, clock: Clock, notice: Notice,
        changed: Callable[[LeaseState], None] | None = None, timing: LeaseTiming | None = None,
    ) -> None:  # fmt: skip
        self._api = api
        self._collection = LEASES.format(namespace=namespace)
        self.name = f"edgesched-{re.sub(r'[^a-z0-9-]', '-', vsn.lower())}"
        self._identity = identity
        self._clock = clock
        self._notice = notice
        self.changed = changed
        self._timing = timing or LeaseTiming()
        self._state = LeaseState()
        self._held_until_s = 0.0
        self._seen: tuple[str, str] | None = None
        self._seen_s = 0.0

    @property
    def state(self) -> LeaseState:
        """Who acts now; a lease that could not be renewed in time counts as lost even before that is noticed."""
        if self._state.held and time.monotonic() >= self._held_until_s:
            return LeaseState(error=self._state.error or "the lease was not renewed in time")
        return self._state

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Hold or wait until `stop` is set, then give the lease back."""
        while not stop.is_set():
            beat()
            state = self.attempt()
            stop.wait(self._timing.renew_s if state.held and not state.error else self._timing.retry_s)
        self.release()

    def attempt(self) -> LeaseState:
        """Try once to take or renew the lease; return who holds it."""
        asked_s = time.monotonic()
        try:
            holder = self._take() or self._take()
            if not holder:
                raise KubeUnavailableError(f"others write lease {self.name} at the same time")
        except (KubeUnavailableError, KubeRefusedError) as error:
            self._seen = None
            forbidden = isinstance(error, KubeRefusedError) and error.status in {401, 403}
            self._set(LeaseState(self.state.held, self.state.holder, str(error), forbidden))
            return self.state
        if holder == self._identity:
            self._held_until_s = asked_s + self._timing.duration_s
        self._set(LeaseState(held=holder == self._identity, holder=holder))
        return self._state

    def release(self) -> None:
        """Give the lease back if we hold it, so that a successor need not wait; an API that is away is no error."""
        if not self.state.held:
            return
        try:
            lease = self._api.get(f"{self._collection}/{self.name}")
            spec = _spec(lease)
            if spec.get("holderIdentity") == self._identity:
                lease["spec"] = {**spec, "holderIdentity": "", "renewTime": self._now()}
                self._api.replace(f"{self._collection}/{self.name}", lease)
        except (KubeUnavailableError, KubeRefusedError) as error:
            self._notice("lease.kept", level="warning", lease=self.name, error=str(error))
        self._set(LeaseState())

    def _take(self) -> str:
        """Take or renew the lease where that is allowed; return its holder afterwards."""
        try:
            lease = self._api.get(f"{self._collection}/{self.name}")
        except KubeRefusedError as error:
            if error.status != 404:
                raise
            return self._write(None)
        holder = str(_spec(lease).get("holderIdentity") or "")
        if holder in {"", self._identity} or self._abandoned(lease, holder):
            return self._write(lease)
        return holder

    def _abandoned(self, lease: Json, holder: str) -> bool:
        metadata = lease.get("metadata")
        version = str(metadata.get("resourceVersion")) if isinstance(metadata, dict) else ""
        now_s = time.monotonic()
        if self._seen != (holder, version):
            self._seen, self._seen_s = (holder, version), now_s
        duration_s = _spec(lease).get("leaseDurationSeconds")
        wait_s = duration_s if isinstance(duration_s, int) and 0 < duration_s <= 3600 else self._timing.duration_s
        return now_s - self._seen_s > wait_s

    def _write(self, lease: Json | None) -> str:
        """Write ourselves into the lease; when another was quicker, return nobody and look again."""
        now = self._now()
        old = _spec(lease or {})
        spec: Json = {
            **old,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._timing.duration_s,
            "renewTime": now,
        }
        if old.get("holderIdentity") != self._identity:
            transitions = old.get("leaseTransitions")
            spec["acquireTime"] = now
            spec["leaseTransitions"] = transitions + 1 if isinstance(transitions, int) else 0
        try:
            if lease is None:
                kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
                self._api.create(self._collection, {**kind, "metadata": {"name": self.name}, "spec": spec})
            else:
                self._api.replace(f"{self._collection}/{self.name}", {**lease, "spec": spec})
        except KubeRefusedError as error:
            if error.status != 409:
                raise
            return ""
        return self._identity

    def _set(self, state: LeaseState) -> None:
        before, self._state = self._state, state
        if state == before:
            return
        if state.held and not before.held:
            self._notice("lease.held", lease=self.name, identity=self._identity)
        elif before.held and not state.held and state.holder:
            self._notice("lease.lost", level="error", lease=self.name, holder=state.holder)
        elif before.held and not state.held and state.error:
            # nobody else is known to act, but somebody may begin: requests to the cluster wait
            self._notice("lease.expired", level="warning", lease=self.name, error=state.error)
        elif state.holder and not state.held and state.holder != before.holder:
            self._notice(
                "lease.waiting", level="warning", lease=self.name, holder=state.holder,
                hint="only one agent may run for a node: stop the other one, or this one",
            )  # fmt: skip
        elif state.error and not before.error:
            self._notice("lease.unknown", level="warning", lease=self.name, error=state.error)
        if self.changed is not None:
            self.changed(state)

    def _now(self) -> str:
        moment = _EPOCH + timedelta(microseconds=self._clock.now().ts_ns // 1000)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _spec(lease: Json) -> Json:
    spec = lease.get("spec")
    return spec if isinstance(spec, dict) else {}
