"""Which waiting runs may go to the cluster now.

A policy sees the waiting runs, oldest first, and what occupies the node, and says who goes; every run that stays gets
the reason why. Foreign plugin pods (of another agent) count as occupants: they hold the GPU as much as ours.

- `default`: everybody goes.
- `roundrobin`: one run at a time, the oldest first.
- `gpuaware`: runs that need the GPU one at a time, the others at once.
- `resourceaware` (in `room`): as `gpuaware`, and no more than the nodes can hold.

Within a policy a higher `priority=` goes first; equal ones in the order of their decision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from edgesched.core.model import NS_PER_S, PodView
from edgesched.core.plan.state import Run

GPU_SELECTOR: Final = "resource.gpu"
GPU_RESOURCES: Final = ("limit.gpu", "nvidia.com/gpu")


class Selection(NamedTuple):
    """Runs that go, and for each that stays the reason."""

    go: list[Run]
    stay: list[tuple[Run, str]]


Policy = Callable[[Sequence[Run], Sequence[Run], Sequence[PodView]], Selection]


def needs_gpu(run: Run) -> bool:
    """Does the plugin ask for the GPU, by selector or by resource?"""
    spec = run.plugin.spec
    return spec.selector.get(GPU_SELECTOR) == "true" or any(spec.resource.get(key) for key in GPU_RESOURCES)


def default(waiting: Sequence[Run], active: Sequence[Run], foreign: Sequence[PodView]) -> Selection:
    """Everybody goes."""
    del active, foreign
    return Selection(list(waiting), [])


def roundrobin(waiting: Sequence[Run], active: Sequence[Run], foreign: Sequence[PodView]) -> Selection:
    """The oldest goes when nothing is in the cluster."""
    if not waiting:
        return Selection([], [])
    if active or foreign:
        holder = _holder(active, foreign)
        return Selection([], [(run, f"waiting for its turn: {holder}") for run in waiting])
    first = waiting[0]
    turn = f"waiting for its turn: {_holder([first], foreign)}"
    return Selection([first], [(run, turn) for run in waiting[1:]])


def gpuaware(waiting: Sequence[Run], active: Sequence[Run], foreign: Sequence[PodView]) -> Selection:
    """Runs without GPU go; of the others one at a time."""
    holders = [run for run in active if needs_gpu(run)]
    foreign_holders = [pod for pod in foreign if pod.gpu]
    go: list[Run] = []
    stay: list[tuple[Run, str]] = []
    for run in waiting:
        if not needs_gpu(run):
            go.append(run)
        elif holders or foreign_holders:
            stay.append((run, f"waiting for GPU: {_holder(holders, foreign_holders)}"))
        else:
            go.append(run)
            holders = [run]
    return Selection(go, stay)


POLICIES: Final[dict[str, Policy]] = {"default": default, "roundrobin": roundrobin, "gpuaware": gpuaware}


def _holder(active: Sequence[Run], foreign: Sequence[PodView]) -> str:
    if active:
        run = active[0]
        return f"held by {run.plugin.name} of job {run.job_id} since {clock_text(run.created.ts_ns)}"
    return f"held by pod {foreign[0].name} of another agent"


def clock_text(ts_ns: int) -> str:
    """Return the time of day (UTC) of a time, `12:03:10`."""
    return _second_text(ts_ns // NS_PER_S % 86_400)


@lru_cache(maxsize=128)
def _second_text(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
