"""Pods that live by the clock of the replay: each starts, runs for a given time and ends well."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from typing import Final

from edgesched.core.model import NS_PER_S, ContainerView, PodOrder, PodView
from edgesched.core.plan.effects import DeletePod, FetchLog, LaunchPod
from edgesched.core.plan.events import EffectDone, Event, PodObserved

DELETION_NS: Final = NS_PER_S


@dataclass(slots=True)
class PodLives:
    """The pods of a replay. `start_s`: from the create to the running container; `run_s`: how long it runs."""

    vsn: str
    start_s: float = 2.0
    run_s: float = 30.0
    _due: list[tuple[int, int, str, Event]] = field(default_factory=list)
    _pods: dict[str, PodView] = field(default_factory=dict)
    _sequence: int = 0

    def next_ns(self) -> int | None:
        """When the next event of a pod is due."""
        return self._due[0][0] if self._due else None

    def take(self) -> Event | None:
        """Take the next event; None when the pod that it is about was deleted meanwhile."""
        _, _, pod_name, event = heapq.heappop(self._due)
        if isinstance(event, PodObserved):
            if pod_name not in self._pods:
                return None
            if event.gone:
                del self._pods[pod_name]
            else:
                self._pods[pod_name] = event.pod
        return event

    def launch(self, effect: LaunchPod, now_ns: int) -> None:
        """Create a pod and plan its life."""
        pod = self._pod(effect.order, now_ns)
        name = pod.name
        self._pods[name] = pod
        self._plan(now_ns, name, EffectDone(effect.effect_id, "ok", pod=pod))
        started_ns = now_ns + round(self.start_s * NS_PER_S)
        finished_ns = started_ns + round(self.run_s * NS_PER_S)
        running = replace(pod.container, state="running", started_ns=started_ns)
        done = replace(running, state="terminated", reason="Completed", exit_code=0, finished_ns=finished_ns)
        self._plan(started_ns, name, PodObserved(replace(pod, phase="Running", container=running)))
        self._plan(finished_ns, name, PodObserved(replace(pod, phase="Succeeded", container=done)))

    def delete(self, effect: DeletePod, now_ns: int) -> None:
        """Let a pod go, a second later."""
        pod = self._pods.get(effect.pod_name)
        if pod is not None:
            self._plan(now_ns + DELETION_NS, pod.name, PodObserved(pod, gone=True))

    def fetch_log(self, effect: FetchLog, now_ns: int) -> None:
        """Answer that there is no log."""
        self._plan(now_ns, effect.pod_name, EffectDone(effect.effect_id, "ok"))

    def _plan(self, when_ns: int, pod_name: str, event: Event) -> None:
        self._sequence += 1
        heapq.heappush(self._due, (when_ns, self._sequence, pod_name, event))

    def _pod(self, order: PodOrder, now_ns: int) -> PodView:
        return PodView(
            name=order.pod_name,
            uid=f"uid-{order.pod_name}-{self._sequence}",
            run_id=order.run_id,
            agent=self.vsn,
            job_id=order.job_id,
            goal_id=order.goal_id,
            plugin=order.plugin.name,
            instance=order.instance,
            node_name=self.vsn,
            gpu="resource.gpu" in order.plugin.spec.selector,
            created_ns=now_ns,
            container=ContainerView(order.plugin.name),
        )
