"""Requests to the cluster: a few worker threads, one order per pod.

Requests about one pod are carried out one after another in the order of their decisions; requests about different pods
run side by side, at most as many as there are workers. A refusal is an answer. When the cluster is away a request is
tried again, with a growing jittered pause, until it succeeds or a later delete of the same pod makes a waiting create
pointless; the planner is told `unavailable` once per request.

One object that fails must not stop the others, and a cluster that is away must not be asked by every waiting request.
So a failed request waits on its own, and after `GATE_AFTER` failures without a success between them a gate closes: one
request probes at a time, the rest wait. A `Retry-After` closes the gate at once, for as long as the server asked.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgesched.core.plan.effects import DeletePod, Effect, FetchLog, LaunchPod
from edgesched.core.plan.events import EffectDone
from edgesched.errors import EdgeSchedError, KubeUnavailableError, RefusedError, TransientError
from edgesched.node.backoff import backoff_s
from edgesched.ports import Emit, Notice, PodRunner

KubeEffect = LaunchPod | DeletePod | FetchLog

WAITING_LIMIT: Final = 10_000
GATE_AFTER: Final = 3
CROWD: Final = 8
RETRY_FIRST_S: Final = 0.2
RETRY_LONGEST_S: Final = 10.0
IDLE_WAIT_S: Final = 5.0


@dataclass(slots=True, eq=False)
class _Order:
    effect: KubeEffect
    pod_name: str
    failures: int = 0
    told: bool = False
    busy: bool = False

    @property
    def key(self) -> str:
        """What tells it from others: a second delete with another grace is another request."""
        effect = self.effect
        return f"{effect.effect_id}/{effect.grace_s}" if isinstance(effect, DeletePod) else effect.effect_id


class KubeWorkers:
    """Carries out pod requests. `run` is the body of each worker thread.

    `answer` gets an `EffectDone` for every request; `sent`, when given, is called just before each request goes out.
    """

    def __init__(
        self, runner: PodRunner, *, answer: Emit, notice: Notice, sent: Callable[[Effect], None] | None = None
    ) -> None:
        self._runner = runner
        self._answer = answer
        self._notice = notice
        self._sent = sent
        self._changed = threading.Condition(threading.Lock())
        self._orders: dict[str, deque[_Order]] = {}
        self._keys: set[str] = set()
        self._scheduled: set[str] = set()  # pods that are in `_ready`, in `_later` or with a worker
        self._ready: deque[str] = deque()
        self._later: list[tuple[float, int, str]] = []
        self._counter = 0
        self._failures = 0
        self._gate_s = 0.0
        self._probing = False

    @property
    def waiting(self) -> int:
        """Number of requests that are not answered yet."""
        return len(self._keys)

    @property
    def away(self) -> bool:
        """Whether the cluster counts as away: several requests failed in a row."""
        return self._failures >= GATE_AFTER

    @property
    def crowded(self) -> bool:
        """Whether so many requests are being carried out that answers to them should be taken together."""
        return len(self._keys) >= CROWD and not self.away

    def put(self, effect: KubeEffect) -> None:
        """Add a request; one that is waiting or under way already (same effect id) is not added again."""
        pod_name = effect.order.pod_name if isinstance(effect, LaunchPod) else effect.pod_name
        order = _Order(effect, pod_name)
        full = False
        with self._changed:
            if order.key in self._keys:
                return
            if isinstance(effect, DeletePod):
                self._drop_pointless(pod_name)
                self._add(order)
            elif len(self._keys) < WAITING_LIMIT:
                self._add(order)
            else:
                full = True
        if full:
            self._answer(EffectDone(effect.effect_id, "refused", f"{WAITING_LIMIT} requests wait for the cluster"))

    def nudge(self) -> None:
        """Wake all workers so that they look at `stop`."""
        with self._changed:
            self._changed.notify_all()

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Carry out requests until `stop` is set and nothing is left that could be tried now."""
        while True:
            beat()
            order = self._take(stop)
            if order is not None:
                self._carry_out(order)
            elif stop.is_set():
                return

    def _add(self, order: _Order) -> None:
        self._keys.add(order.key)
        self._orders.setdefault(order.pod_name, deque()).append(order)
        if order.pod_name not in self._scheduled:
            self._scheduled.add(order.pod_name)
            self._ready.append(order.pod_name)
            self._changed.notify()

    def _drop_pointless(self, pod_name: str) -> None:
        """Drop creates of a pod that is to be deleted, save one under way; the delete finds whatever it may make."""
        line = self._orders.get(pod_name, deque())
        dropped = [order for order in line if isinstance(order.effect, LaunchPod) and not order.busy]
        for order in dropped:
            line.remove(order)
            self._keys.discard(order.key)

    def _take(self, stop: threading.Event) -> _Order | None:
        """Wait for the next request that may be tried; None after a while, or when `stop` is set and none is left."""
        with self._changed:
            now_s = time.monotonic()
            self._ripen(now_s)
            opens_s = self._opens_s(now_s)
            if self._ready and opens_s <= 0:
                order = self._orders[self._ready.popleft()][0]
                order.busy = True
                self._probing = self.away
                if self._ready:
                    self._changed.notify()
                return order
            if stop.is_set():
                return None
            wait_s = IDLE_WAIT_S if not self._ready else min(opens_s, IDLE_WAIT_S)
            if self._later:
                wait_s = min(wait_s, max(self._later[0][0] - now_s, opens_s, 0.001))
            self._changed.wait(wait_s)
            return None

    def _ripen(self, now_s: float) -> None:
        while self._later and self._later[0][0] <= now_s:
            self._ready.append(heapq.heappop(self._later)[2])

    def _opens_s(self, now_s: float) -> float:
        """Return seconds until the gate opens; a probe under way keeps it shut."""
        if self._probing:
            return IDLE_WAIT_S
        return self._gate_s - now_s

    def _carry_out(self, order: _Order) -> None:
        effect_id = order.effect.effect_id
        try:
            done = self._request(order.effect)
        except TransientError as error:
            self._try_later(order, error)
            return
        except RefusedError as error:
            done = EffectDone(effect_id, "refused", str(error), status=error.status)
        except Exception as error:  # noqa: BLE001 - guard: a defect in an adapter must be an answer, not silence
            text = str(error) if isinstance(error, EdgeSchedError) else f"{type(error).__name__}: {error}"
            self._notice("kube.request_broken", level="error", pod=order.pod_name, error=text)
            done = EffectDone(effect_id, "refused", text)
        self._finish(order)
        self._answer(done)

    def _request(self, effect: KubeEffect) -> EffectDone:
        if self._sent is not None:
            self._sent(effect)
        if isinstance(effect, LaunchPod):
            return EffectDone(effect.effect_id, "ok", pod=self._runner.launch(effect))
        if isinstance(effect, DeletePod):
            self._runner.delete(effect)
            return EffectDone(effect.effect_id, "ok")
        return EffectDone(effect.effect_id, "ok", log=self._runner.log(effect))

    def _finish(self, order: _Order) -> None:
        with self._changed:
            was_away = self.away
            self._failures = 0
            self._gate_s = 0.0
            self._probing = False
            more = self._leave(order)
            if was_away:
                # the waiting ones need not sit out pauses that were meant for a cluster that is away
                self._later = sorted((0.0, number, pod_name) for _, number, pod_name in self._later)
                self._changed.notify_all()
            elif more:
                self._changed.notify()
        if was_away:
            self._notice("kube.back", waiting=self.waiting)

    def _try_later(self, order: _Order, error: TransientError) -> None:
        """Put a failed request back and close the gate when the cluster seems to be away."""
        untold: list[_Order] = []
        with self._changed:
            order.failures += 1
            self._failures += 1
            self._probing = False
            now_s = time.monotonic()
            asked_s = error.retry_after_s
            pause_s = self._pause_s(order.failures, asked_s)
            if self.away or asked_s is not None:
                gate_failures = max(1, self._failures - GATE_AFTER + 1)
                self._gate_s = max(self._gate_s, now_s + self._pause_s(gate_failures, asked_s))
                untold = [each for line in self._orders.values() for each in line if not each.told]
            elif not order.told:
                untold = [order]
            for each in untold:
                each.told = True
            order.busy = False
            if isinstance(order.effect, LaunchPod) and self._is_to_go(order.pod_name):
                self._leave(order)
            else:
                self._counter += 1
                heapq.heappush(self._later, (now_s + pause_s, self._counter, order.pod_name))
            self._changed.notify()
        self._notice(
            "kube.unavailable" if isinstance(error, KubeUnavailableError) else "kube.retrying",
            level="warning",
            error=str(error),
            retry_in_s=round(pause_s, 2),
            waiting=self.waiting,
        )
        for each in untold:
            self._answer(EffectDone(each.effect.effect_id, "unavailable", str(error)))

    def _leave(self, order: _Order) -> bool:
        """Take a request off the head of its line; return whether another one follows."""
        self._keys.discard(order.key)
        line = self._orders[order.pod_name]
        line.popleft()
        if line:
            self._ready.append(order.pod_name)
            return True
        del self._orders[order.pod_name]
        self._scheduled.discard(order.pod_name)
        return False

    def _is_to_go(self, pod_name: str) -> bool:
        return any(isinstance(order.effect, DeletePod) for order in self._orders[pod_name])

    def _pause_s(self, failures: int, asked_s: float | None) -> float:
        return backoff_s(failures, first_s=RETRY_FIRST_S, longest_s=RETRY_LONGEST_S, asked_s=asked_s)
