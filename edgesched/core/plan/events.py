"""What the planner hears. One immutable value an event; adapters build them, `step` consumes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgesched.core.model import Measurement, PodView, ScienceGoal
from edgesched.core.pods import NodeView

SourceKind = Literal["stream", "configmap", "files"]


@dataclass(frozen=True, slots=True)
class GoalsReceived:
    """The complete list of goals of one source. `first`: the first list after a (re)connect of that source."""

    source: SourceKind
    goals: tuple[ScienceGoal, ...]
    first: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement arrived from a sensor stream."""

    measurement: Measurement


@dataclass(frozen=True, slots=True)
class PodObserved:
    """A pod of our namespace was added, changed or, with `gone`, deleted."""

    pod: PodView
    gone: bool = False


@dataclass(frozen=True, slots=True)
class PodsListed:
    """A complete list of the plugin pods of our namespace: what is not in it did not exist at `version` (0: now)."""

    pods: tuple[PodView, ...]
    version: int = 0


@dataclass(frozen=True, slots=True)
class NodesObserved:
    """The nodes of the cluster, all of them, with what they can hold; for the policy `resourceaware`."""

    nodes: tuple[NodeView, ...]


@dataclass(frozen=True, slots=True)
class PodEventObserved:
    """A Kubernetes Event about a pod (`FailedMount`, `BackOff`, `Scheduled`, ...). `warning`: its type is Warning."""

    pod_name: str
    pod_uid: str
    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class EffectDone:
    """An effect was carried out, or not.

    `effect_id`: id of the effect. `outcome`: `ok`; `refused`: the peer said no for good; `unavailable`: the peer is
    away, the shell goes on trying and reports this once per outage. `detail`: one line for people. `pod`: what the
    API answered to a create. `log`: the lines that `FetchLog` read.
    """

    effect_id: str
    outcome: Literal["ok", "refused", "unavailable"]
    detail: str = ""
    status: int = 0
    pod: PodView | None = None
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Woke:
    """A deadline has come (see `next_deadline`), nothing arrived."""


@dataclass(frozen=True, slots=True)
class Booted:
    """The agent started. `boot_id`: the kernel's id of this boot, for `@reboot`; `clock_trusted`: slots may open."""

    boot_id: str
    clock_trusted: bool = True


@dataclass(frozen=True, slots=True)
class ClockTrusted:
    """The wall clock can be believed from now on; `reason` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Paused:
    """An operator stops launches of a job, of a plugin, of a plugin of one job, or with both empty of everything.

    `for_s`: for how long, None until it is resumed. `end`: what runs now is ended, too.
    """

    job_id: str = ""
    plugin: str = ""
    for_s: float | None = None
    end: bool = False


@dataclass(frozen=True, slots=True)
class Resumed:
    """An operator lets go what was paused under the same names; with both empty, everything."""

    job_id: str = ""
    plugin: str = ""


Event = (
    GoalsReceived
    | Measured
    | PodObserved
    | PodsListed
    | NodesObserved
    | PodEventObserved
    | EffectDone
    | Woke
    | Booted
    | ClockTrusted
    | Paused
    | Resumed
)
