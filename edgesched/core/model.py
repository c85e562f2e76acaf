"""The words that all rooms share: values that never change, without behaviour of their own.

Times are integer nanoseconds since the epoch, UTC, as on the Waggle wire (`ts_ns`). Mappings are stored as they come
and never changed after construction; iterate them in their own order, which is that of the job file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

NS_PER_S: Final = 1_000_000_000
SECOND_NS: Final = NS_PER_S
MINUTE_NS: Final = 60 * NS_PER_S
HOUR_NS: Final = 3600 * NS_PER_S
DAY_NS: Final = 86_400 * NS_PER_S

NO_PAIRS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Instant:
    """One reading of both clocks.

    `ts_ns`: wall clock, ns UTC, may step. `boot_ns`: ns since boot including suspend, never steps. Windows, slots and
    messages use the first; `hold`, `cooldown`, `every` and back-off use differences of the second.
    """

    ts_ns: int
    boot_ns: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one series. A series is a name with its full meta.

    `value`: number, bool, string or any other JSON value. `meta`: string to string.
    """

    name: str
    ts_ns: int
    value: Any
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """Position of the node in degrees; north and east are positive."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class PluginSpec:
    """What a plugin's author asks for; the fields of `pluginSpec` in a job (all text kept as written)."""

    image: str
    args: tuple[str, ...] = ()
    privileged: bool = False
    node: str = ""
    job: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)
    entrypoint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    develop: bool = False
    resource: Mapping[str, str] = field(default_factory=dict)
    volume: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin of a job: a name, unique in the job, and what to run."""

    name: str
    spec: PluginSpec


@dataclass(frozen=True, slots=True)
class ScienceRule:
    """`action(object, key=value...): condition`.

    `parameters`: typed values (str, int, float, bool). `text`: the rule as written. `condition_line` and
    `condition_column` (from 1) say where the condition starts in `text`, so that errors in it can be placed.
    """

    action: str
    object: str
    parameters: Mapping[str, Any]
    condition: str
    text: str = ""
    condition_line: int = 1
    condition_column: int = 1


@dataclass(frozen=True, slots=True)
class SubGoal:
    """A node's part of a goal. `rules` are rule texts: a rule that does not parse must not lose the others."""

    node: str
    plugins: tuple[Plugin, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScienceGoal:
    """What a cloud scheduler streams to nodes: `goal_id` changes with every change of content, `job_id` stays.

    `conditions`: the job's success criteria as written.
    """

    goal_id: str
    job_id: str
    name: str = ""
    sub_goals: tuple[SubGoal, ...] = ()
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """What a scientist writes. `nodes` keeps the file's order; the values under `nodes:` carry no meaning."""

    name: str
    plugins: tuple[Plugin, ...] = ()
    nodes: tuple[str, ...] = ()
    node_tags: tuple[str, ...] = ()
    science_rules: tuple[str, ...] = ()
    success_criteria: tuple[str, ...] = ()
    email: str = ""
    notification_on: tuple[str, ...] = ()


class Message(NamedTuple):
    """A Waggle message to be published.

    `value` is any JSON value, an object as any mapping; with `as_text` the wire carries its JSON text, a string with
    sorted keys, as scheduler events do. `scope` is `all`, `node` or `beehive`. `message_id` is stable over repeats so
    that a reader can drop them.
    """

    name: str
    ts_ns: int
    value: Any
    meta: Mapping[str, str] = NO_PAIRS
    scope: str = "all"
    message_id: str = ""
    as_text: bool = False


class PodOrder(NamedTuple):
    """One plugin run as a pod to be created; `edgesched.core.pods.pod_manifest` makes the manifest of it.

    `instance`: value of the label `sagecontinuum.org/plugin-instance`. `upload_job`: the job part of the upload path
    and of the app meta, constant from the first run on. `duration_s`: run time granted, None without a limit.
    """

    run_id: str
    pod_name: str
    instance: str
    job_id: str
    goal_id: str
    upload_job: str
    plugin: Plugin
    duration_s: float | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ContainerView:
    """State of one container of a pod: `waiting`, `running`, `terminated` or `unknown` (no status yet)."""

    name: str
    state: Literal["waiting", "running", "terminated", "unknown"] = "unknown"
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started_ns: int | None = None
    finished_ns: int | None = None


@dataclass(frozen=True, slots=True)
class PodView:
    """What the planner needs to know of a pod; built from the API's JSON by `edgesched.core.pods.view_pod`.

    `run_id` and `agent` are our labels, empty on foreign pods. `container` is the plugin's container, `init` the first
    init container. `unschedulable` is the scheduler's own message, empty when the pod is or may be placed. `version`
    grows with every change of anything in the cluster, 0 when it is not known.
    """

    name: str
    uid: str
    phase: str = "Pending"
    run_id: str = ""
    agent: str = ""
    job_id: str = ""
    goal_id: str = ""
    plugin: str = ""
    instance: str = ""
    node_name: str = ""
    reason: str = ""
    message: str = ""
    unschedulable: str = ""
    deleting: bool = False
    gpu: bool = False
    requests: Mapping[str, int] = field(default_factory=dict)
    created_ns: int = 0
    container: ContainerView = ContainerView("")
    init: ContainerView | None = None
    version: int = 0
