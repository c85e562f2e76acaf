"""Everything the planner knows. Mutable, owned by one thread, changed by `step` only.

Jobs are keyed by job id and plugins by (job id, plugin name): goal ids change at every edit, and two jobs may use one
plugin name without touching each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgesched.core.model import Instant, Plugin, PodView, ScienceGoal, ScienceRule
from edgesched.core.plan.effects import Report
from edgesched.core.plan.events import SourceKind
from edgesched.core.plan.ledger import Ledger
from edgesched.core.plan.lifecycle import ENDED, RunState
from edgesched.core.plan.settings import PlanSettings
from edgesched.core.plan.wakeups import Wakeups
from edgesched.core.pods import NodeView, RunNames
from edgesched.core.rules import Bound, Condition, Verdict
from edgesched.core.windows import WindowStore

STORY_LENGTH = 64
TOLD_LENGTH = 2048
FRESH_LENGTH = 4096


class PluginKey(NamedTuple):
    """Names a plugin of a job."""

    job_id: str
    name: str


class Slot(NamedTuple):
    """One fire time of one cron expression (with ` tz=ZONE` when the rule names a zone)."""

    expr: str
    fire_ns: int


def newest(slots: Sequence[Slot]) -> Slot:
    """Return the slot that fired last; there is one at least."""
    return slots[0] if len(slots) == 1 else max(slots, key=lambda slot: slot.fire_ns)


class NextRun(NamedTuple):
    """What is known of a run before it is made.

    `slot`: the newest one that it serves, None without one. `key` and the names that are derived from it; `line`, its
    first line in the log; `extra`, what its first event adds.
    """

    slot: Slot | None
    key: str
    names: RunNames
    line: Report
    extra: Mapping[str, Any]


@dataclass(slots=True)
class Run:
    """One execution of a plugin, from the decision to the end of its pod.

    `number` orders runs by their decision. `key` is what the pod's name is derived from: the ledger key of the slot
    that caused it, or a counter. `cause`: the condition that fired. `why`: one line on where the run is held, for
    people. `ending`: why we asked for its end. `attempt` counts names for its pod, `retry` launches of its slot.
    `grace_s`: how long its slots stay open. `ask`: what its pod requests and the labels that it wants of a node, once
    somebody has asked.
    """

    run_id: str
    number: int
    key: str
    plugin_key: PluginKey
    goal_id: str
    plugin: Plugin
    pod_name: str
    instance: str
    created: Instant
    cause: str
    slots: tuple[Slot, ...] = ()
    duration_s: float | None = None
    priority: int = 0
    timeout_s: float = 3600.0
    state: RunState = RunState.QUEUED
    why: str = ""
    ending: str = ""
    pod: PodView | None = None
    pod_gone: bool = False
    launched: Instant | None = None
    ended: Instant | None = None
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    log: tuple[str, ...] = ()
    awaits_log: bool = False
    attempt: int = 1
    retry: int = 0
    grace_s: float = 0.0
    ask: tuple[Mapping[str, int], Mapping[str, str]] | None = None

    @property
    def job_id(self) -> str:
        """The job that it belongs to."""
        return self.plugin_key.job_id

    @property
    def is_active(self) -> bool:
        """Waiting or in the cluster, not ended."""
        return self.state not in ENDED


class Retry(NamedTuple):
    """A failed run of a cron slot that is to be launched again, at `due_boot_ns`.

    `key`: that of the slot; `number` of the retry, from 1. `cause`: the condition that fired. `until_ns`: wall time at
    which the slot counts no more.
    """

    key: str
    number: int
    cause: str
    slots: tuple[Slot, ...]
    until_ns: int
    due_boot_ns: int


class StoryLine(NamedTuple):
    """One thing that happened to a plugin, for `explain`: the event's name and its fields."""

    ts_ns: int
    what: str
    fields: Mapping[str, Any]


class PauseKey(NamedTuple):
    """What an operator stopped: a plugin, a job, a plugin of one job, or with both empty everything."""

    job_id: str = ""
    plugin: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """A brake that an operator pulled. `until_boot_ns` None: until somebody resumes it."""

    since_ns: int
    until_boot_ns: int | None = None


@dataclass(slots=True)
class PluginState:
    """A plugin of a job in force, or one whose last run has not ended.

    `fields`: the part of every event's payload that does not change. `last_completed_ns`: launch time of the last
    completed run. `last_launch_ns`: of the last run. `gate_boot_ns`: boot time before which no launch may happen, with
    `gate` saying why. `upload_job`: the job part of the upload path. `told`: lines of the story so far, also those that
    were forgotten.
    """

    key: PluginKey
    plugin: Plugin
    goal_id: str
    upload_job: str
    fields: Mapping[str, Any]
    rules: list[RuleState] = field(default_factory=list)
    active: Run | None = None
    refused: str = ""
    last_completed_ns: int | None = None
    last_launch_ns: int | None = None
    gate_boot_ns: int = 0
    gate: str = ""
    backoff_boot_ns: int = 0
    failures: int = 0
    runs: int = 0
    completed_runs: int = 0
    retry: Retry | None = None
    story: deque[StoryLine] = field(default_factory=lambda: deque(maxlen=STORY_LENGTH))
    told: int = 0


@dataclass(slots=True)
class RuleState:
    """A science rule of a job in force.

    `order`: by job, then by place in the job. `verdict`: the last one. `known`: the last one that was not unknown.
    `true_since`: when the present spell of true began. `acted_boot_ns`: when a publish rule last acted. `blocked`:
    open slots that a gate holds back, with the gate. `is_cron`: it schedules and is nothing but a `cronjob()`; the
    latest slot that was looked at is `looked_at_ns`, and `expected_ns` follows it. `next_run`: that of the
    next slot, made ready while there was time. `plugin_key`: names the plugin that it schedules.
    `told_unknown_boot_ns`: when the log last said that it became unknown.
    """

    rule_id: int
    order: tuple[str, int]
    job_id: str
    rule: ScienceRule
    condition: Condition
    bound: Bound
    hold_s: float = 0.0
    verdict: Verdict | None = None
    known: bool | None = None
    true_since: Instant | None = None
    acted_boot_ns: int | None = None
    acted_value: str | None = None
    blocked: dict[Slot, str] = field(default_factory=dict)
    fired: int = 0
    told_unknown_boot_ns: int | None = None
    is_cron: bool = False
    grace_s: float = 0.0
    looked_at_ns: int | None = None
    expected_ns: int | None = None
    next_run: NextRun | None = None
    plugin_key: PluginKey = field(init=False)

    def __post_init__(self) -> None:
        self.plugin_key = PluginKey(self.job_id, self.rule.object)

    @property
    def names(self) -> tuple[str, ...]:
        """Measurement names that the condition reads."""
        return tuple(dict.fromkeys(window.name for window in self.condition.needs.windows))


@dataclass(slots=True)
class JobState:
    """A job in force on this node.

    `missing_until_boot_ns`: set while a suspect list lacks the job. `completed`: the success criterion that was met.
    """

    job_id: str
    goal: ScienceGoal
    source: SourceKind
    first_seen: Instant
    rules: list[RuleState] = field(default_factory=list)
    plugins: dict[str, PluginState] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    missing_until_boot_ns: int | None = None
    boot_slot_ns: int | None = None
    completed: str = ""


@dataclass(slots=True)
class NodeState:
    """The planner's whole state.

    `told`: ids and numbers of the latest runs whose end has been told and that were forgotten. `fresh_story`: lines
    that no store has been told of yet, with their plugin and number. `turns`: how often a rule that acts on an edge
    became false, or a hold began or was broken: what must be written down although nothing is done about it.
    `evaluations`: of rules, so far.
    """

    settings: PlanSettings
    windows: WindowStore
    ledger: Ledger = field(default_factory=Ledger)
    wakeups: Wakeups = field(default_factory=Wakeups)
    now: Instant = field(default_factory=lambda: Instant(0, 0))
    jobs: dict[str, JobState] = field(default_factory=dict)
    sources: dict[SourceKind, dict[str, ScienceGoal]] = field(default_factory=dict)
    plugins: dict[PluginKey, PluginState] = field(default_factory=dict)
    rules: dict[int, RuleState] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    waiting: dict[str, None] = field(default_factory=dict)
    run_of_pod: dict[str, str] = field(default_factory=dict)
    finished: deque[str] = field(default_factory=deque)
    told: dict[str, int] = field(default_factory=dict)
    foreign: dict[str, PodView] = field(default_factory=dict)
    nodes: dict[str, NodeView] = field(default_factory=dict)
    pauses: dict[PauseKey, Pause] = field(default_factory=dict)
    fresh_story: deque[tuple[PluginKey, int, StoryLine]] = field(default_factory=lambda: deque(maxlen=FRESH_LENGTH))
    pods_known: bool = False
    boot_id: str = ""
    seen_boots: dict[str, str] = field(default_factory=dict)
    started: Instant | None = None
    clock_trusted: bool = True
    rule_counter: int = 0
    run_counter: int = 0
    effect_counter: int = 0
    turns: int = 0
    evaluations: int = 0
    _id_prefix: str = field(init=False)
    _message_prefix: str = field(init=False)

    def __post_init__(self) -> None:
        self._id_prefix = f"{self.settings.life}-"
        self._message_prefix = f"{self.settings.vsn}-{self._id_prefix}"

    def next_effect_id(self) -> str:
        """Number an effect."""
        self.effect_counter += 1
        return f"{self._id_prefix}{self.effect_counter}"

    def next_message_id(self) -> str:
        """Number a message; the id is the node's own among all nodes."""
        self.effect_counter += 1
        return f"{self._message_prefix}{self.effect_counter}"


class RuleFacts:
    """What a bound condition may ask about: the windows, the run history and the ledger of its own job and object."""

    __slots__ = ("_grace_ns", "_job_id", "_object", "_state", "site", "windows")

    def __init__(self, state: NodeState, job_id: str, object_name: str, grace_ns: int | None = None) -> None:
        self._grace_ns = grace_ns
        self.windows = state.windows
        self.site = state.settings.site
        self._state = state
        self._job_id = job_id
        self._object = object_name

    def last_run(self, plugin: str) -> int | None:
        """Launch time (ns) of the last completed run of a plugin of this job, None if none completed."""
        known = self._state.plugins.get((self._job_id, plugin))  # type: ignore[call-overload]  # equals a PluginKey
        return None if known is None else known.last_completed_ns

    def slot_claimed(self, expr: str, fire_ns: int) -> bool:
        """Has this slot been claimed? While the clock is not trusted, no slot is open.

        Nor is one of before the job came, whose grace was over then: a `misfire=latest` rule catches up with what it
        missed, not with what it never was there for.
        """
        state = self._state
        if not state.clock_trusted:
            return True
        if self._grace_ns is not None:
            job = state.jobs.get(self._job_id)
            if job is not None and fire_ns + self._grace_ns <= job.first_seen.ts_ns:
                return True
        return state.ledger.is_claimed((self._job_id, self._object, expr), fire_ns)

    def boot_slot(self) -> int | None:
        """Fire time of the open `@reboot` slot of this job, None when it is closed."""
        job = self._state.jobs.get(self._job_id)
        return None if job is None else job.boot_slot_ns
