"""Policy `resourceaware`: no more goes to the cluster than its nodes can hold.

As Kubernetes' own scheduler does, requests are counted, not use: what plugin pods ask for, ours and others', against
what a node allots. The oldest run goes first. One that does not fit keeps what it asks for: younger runs may use what
is left beside it, and cannot keep it waiting for ever. One that no node could hold waits alone. A run of the GPU waits
for the GPU as under `gpuaware`.

What is not known does not hold anybody: pods outside the namespace are not counted, and while no node is known, or none
has the labels that a plugin wants, runs go, and Kubernetes says what it thinks of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgesched.core.model import PodView
from edgesched.core.plan.launching import order_of
from edgesched.core.plan.policies import Selection, gpuaware
from edgesched.core.plan.state import NodeState, Run
from edgesched.core.pods import NodeView, pod_manifest, pod_requests
from edgesched.errors import PluginError

HOLDERS_SHOWN = 3
LIVE = ("Pending", "Running")


class Ask(NamedTuple):
    """What a pod needs: amounts by resource (millicores, bytes, pieces), and labels of its node."""

    requests: Mapping[str, int]
    selector: Mapping[str, str]


@dataclass(slots=True)
class Room:
    """A node while it is filled. `holders`: for each resource who has some of it."""

    node: NodeView
    free: dict[str, int]
    holders: dict[str, list[str]] = field(default_factory=dict)

    def lacks(self, ask: Ask) -> list[str]:
        """Name the resources of which too little is left."""
        return [name for name, amount in ask.requests.items() if amount > self.free.get(name, 0)]

    def exceeded_by(self, ask: Ask) -> list[str]:
        """Name the resources of which the node has too little even when it is empty."""
        return [name for name, amount in ask.requests.items() if amount > self.node.allocatable.get(name, 0)]

    def take(self, requests: Mapping[str, int], who: str) -> None:
        """Count a pod."""
        for name, amount in requests.items():
            self.free[name] = self.free.get(name, 0) - amount
            if amount:
                self.holders.setdefault(name, []).append(who)


def resourceaware(state: NodeState, waiting: Sequence[Run], active: Sequence[Run]) -> Selection:
    """Let those go that fit, oldest first; say of each other what it lacks and who has it."""
    chosen = gpuaware(waiting, active, list(state.foreign.values()))
    rooms = [Room(node, dict(node.allocatable)) for node in state.nodes.values() if node.usable]
    if not rooms:
        return chosen
    _fill(state, rooms)
    go: list[Run] = []
    stay = list(chosen.stay)
    for run in chosen.go:
        ask = _ask(state, run)
        fitting = [room for room in rooms if _matches(ask, room.node)]
        lacks = [room.lacks(ask) for room in fitting]
        if not fitting or [] in lacks:
            if fitting:
                fitting[lacks.index([])].take(ask.requests, _name(run))
            go.append(run)
            continue
        room = next((room for room in fitting if not room.exceeded_by(ask)), None)
        if room is not None:
            stay.append((run, _reason(room, ask)))
            room.take(ask.requests, f"{_name(run)}, which waits")
        else:
            stay.append((run, _never(fitting[0], ask)))
    return Selection(go, stay)


def _fill(state: NodeState, rooms: list[Room]) -> None:
    """Count what is in the cluster, or on its way there."""
    for foreign in state.foreign.values():
        _put(rooms, Ask(_one(foreign.requests), {}), foreign.node_name, f"pod {foreign.name}")
    for run in state.runs.values():
        pod = run.pod
        if run.run_id in state.waiting or (not run.is_active and not _lives(run, pod)):
            continue
        ask = _ask(state, run)
        if pod is not None and pod.requests:
            ask = Ask(_one(pod.requests), ask.selector)
        _put(rooms, ask, "" if pod is None else pod.node_name, _name(run))


def _lives(run: Run, pod: PodView | None) -> bool:
    """Is the pod of an ended run still there, on its way out?"""
    return pod is not None and not run.pod_gone and pod.phase in LIVE


def _put(rooms: list[Room], ask: Ask, node_name: str, who: str) -> None:
    """Count a pod on its node; one that has none yet goes where it fits."""
    if node_name:
        places = [room for room in rooms if room.node.name == node_name]
    else:
        places = [room for room in rooms if _matches(ask, room.node)]
        places = [room for room in places if not room.lacks(ask)] or places
    if places:
        places[0].take(ask.requests, who)


def _ask(state: NodeState, run: Run) -> Ask:
    if run.ask is None:
        try:
            manifest = pod_manifest(order_of(state, run), state.settings.pods)
            run.ask = (_one(pod_requests(manifest["spec"])), manifest["spec"]["nodeSelector"])
        except PluginError:
            # it cannot become a pod: creating it tells why
            run.ask = ({}, {})
    return Ask(*run.ask)


def _one(requests: Mapping[str, int]) -> dict[str, int]:
    """Add the pod itself: a node holds only so many."""
    return {**requests, "pods": 1}


def _matches(ask: Ask, node: NodeView) -> bool:
    return all(node.labels.get(key) == value for key, value in ask.selector.items())


def _name(run: Run) -> str:
    return f"{run.plugin.name} of job {run.job_id}"


def _reason(room: Room, ask: Ask) -> str:
    resource = room.lacks(ask)[0]
    wanted = _amount(resource, ask.requests[resource])
    free = _amount(resource, max(0, room.free.get(resource, 0)))
    whole = _amount(resource, room.node.allocatable[resource])
    holders = room.holders.get(resource, [])
    more = f" and {len(holders) - HOLDERS_SHOWN} more" if len(holders) > HOLDERS_SHOWN else ""
    held = f", held by {', '.join(holders[:HOLDERS_SHOWN])}{more}" if holders else ""
    return f"waiting for {resource}: asks for {wanted}, {free} of {whole} free on {room.node.name}{held}"


def _never(room: Room, ask: Ask) -> str:
    resource = room.exceeded_by(ask)[0]
    wanted = _amount(resource, ask.requests[resource])
    whole = _amount(resource, room.node.allocatable.get(resource, 0))
    return f"waiting for {resource}: asks for {wanted}, node {room.node.name} has {whole} in all"


def _amount(resource: str, amount: int) -> str:
    if resource == "cpu":
        return f"{amount}m"
    return f"{amount / 2**20:.0f}Mi" if resource in {"memory", "ephemeral-storage"} else str(amount)
