"""What must survive a restart, as small records; which of them a batch of steps has changed.

A record is (kind, key, JSON values). `Recorder.changes` compares cheap fingerprints with what the store was given last,
so that a batch writes only what it changed, and measurements that changed nothing write nothing. Nothing secret is in a
goal (secrets are named, not carried), so nothing secret is in a record.

| kind | key | holds |
|---|---|---|
| `node` | `node` | counters, the boot, the offset between the two clocks |
| `goal` | source/job id | a goal of a source, in its wire form |
| `job` | job id | first arrival, completion, the `@reboot` slot, the hold while it is missing |
| `plugin` | job id/name | history, back-off and gates |
| `rule` | job id/digest of the text | edges and clocks of a rule |
| `run` | run id | a run that has not been forgotten |
| `slot` | job id, object, expression, fire time, separated by unit separators | a claimed slot |
| `told` | run id | the number of a run whose end has been told |
| `pause` | job id/plugin, either may be empty | a brake that an operator pulled |
| `story` | job id/plugin/number modulo the length of a story | a line of a plugin's story |

Boot-clock times are stored as they are, with the boot that they belong to; `restore` carries them over to another boot
by way of the wall clock.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from edgesched.core.jobs import goal_to_dict
from edgesched.core.model import NS_PER_S, Instant
from edgesched.core.plan.ledger import SlotKey
from edgesched.core.plan.state import STORY_LENGTH, JobState, NodeState, PluginState, RuleState, Run

UNIT: Final = "\x1f"
SCHEMA: Final = 1
_UNKNOWN: Final = object()


class Record(NamedTuple):
    """One record; `value` None means: drop it."""

    kind: str
    key: str
    value: dict[str, Any] | None


class Recorder:
    """Remembers what the store holds, as fingerprints. `stored`: the records that are in it already."""

    def __init__(self, stored: Iterable[Record] = ()) -> None:
        self._saved: dict[tuple[str, str], object] = {}
        self._told: dict[str, int] = {}
        for kind, key, value in stored:
            if kind == "told":
                self._told[key] = value["number"] if value is not None else 0
            elif kind not in ("slot", "story"):
                # no state has this fingerprint: what is still there is written anew, the rest is dropped
                self._saved[kind, key] = _UNKNOWN

    def changes(self, state: NodeState) -> list[Record]:
        """Return the records that differ from the last call's, and remember them as saved."""
        found: list[Record] = []
        present: set[tuple[str, str]] = set()
        for kind, key, fingerprint, value in _entries(state):
            name = (kind, key)
            present.add(name)
            if self._saved.get(name) != fingerprint:
                self._saved[name] = fingerprint
                found.append(Record(kind, key, value()))
        for name in [name for name in self._saved if name not in present]:
            del self._saved[name]
            found.append(Record(*name, None))
            if name[0] == "plugin":
                found += [Record("story", f"{name[1]}/{number}", None) for number in range(STORY_LENGTH)]
        ledger = state.ledger
        found += [Record("slot", slot_text(key, fire_ns), {}) for key, fire_ns in ledger.fresh]
        found += [Record("slot", slot_text(key, fire_ns), None) for key, fire_ns in ledger.stale]
        ledger.fresh.clear()
        ledger.stale.clear()
        found += self._told_changes(state)
        found += self._story_changes(state)
        return found

    def _story_changes(self, state: NodeState) -> list[Record]:
        """Return the new lines; a story takes the places of its oldest lines."""
        found: dict[str, Record] = {}
        for plugin, number, line in state.fresh_story:
            if plugin in state.plugins:
                key = f"{plugin.job_id}/{plugin.name}/{number % STORY_LENGTH}"
                value = {"number": number, "ts_ns": line.ts_ns, "what": line.what, "fields": dict(line.fields)}
                found[key] = Record("story", key, value)
        state.fresh_story.clear()
        return list(found.values())

    def _told_changes(self, state: NodeState) -> list[Record]:
        if len(self._told) == len(state.told) and list(self._told)[-1:] == list(state.told)[-1:]:
            return []
        found = [
            Record("told", run_id, {"number": number})
            for run_id, number in state.told.items()
            if run_id not in self._told
        ]
        found += [Record("told", run_id, None) for run_id in self._told if run_id not in state.told]
        self._told = dict(state.told)
        return found

    def forget(self, state: NodeState) -> None:
        """Assume that the store holds nothing: the next `changes` is everything."""
        self._saved.clear()
        self._told.clear()
        state.ledger.fresh = [(key, fire_ns) for key, times in state.ledger.claimed.items() for fire_ns in times]


def slot_text(key: SlotKey, fire_ns: int) -> str:
    """Return the key of a slot's record."""
    return UNIT.join((*key, str(fire_ns)))


@functools.lru_cache(maxsize=8192)
def rule_key(job_id: str, text: str) -> str:
    """Return the key of a rule's record."""
    return f"{job_id}/{hashlib.sha256(text.encode()).hexdigest()[:16]}"


Entry = tuple[str, str, object, Callable[[], dict[str, Any]]]


def _entries(state: NodeState) -> Iterator[Entry]:
    yield _node(state)
    for source, goals in state.sources.items():
        for job_id, goal in goals.items():
            missing_ns = _deadline(state, ("missing", source, job_id))
            fields = {"source": source, "missing_until_boot_ns": missing_ns}
            yield (
                "goal",
                f"{source}/{job_id}",
                (goal, missing_ns),
                lambda goal=goal, fields=fields: {  # type: ignore[misc]
                    "goal": goal_to_dict(goal),
                    **fields,
                },
            )
    for job in state.jobs.values():
        yield "job", job.job_id, _job_print(job), lambda job=job: _job(job)  # type: ignore[misc]
        for rule in job.rules:
            key = rule_key(job.job_id, rule.rule.text)
            yield "rule", key, _rule_print(rule), lambda rule=rule: _rule(rule)  # type: ignore[misc]
    for plugin in state.plugins.values():
        key = f"{plugin.key.job_id}/{plugin.key.name}"
        yield "plugin", key, _plugin_print(plugin), lambda plugin=plugin: _plugin(plugin)  # type: ignore[misc]
    for pause_key, pause in state.pauses.items():
        fields = {"since_ns": pause.since_ns, "until_boot_ns": pause.until_boot_ns}
        yield "pause", "/".join(pause_key), pause, lambda fields=fields: fields  # type: ignore[misc]
    for run in state.runs.values():
        yield "run", run.run_id, _run_print(run), lambda run=run: _run(state, run)  # type: ignore[misc]


def _node(state: NodeState) -> Entry:
    offset_ns = state.now.ts_ns - state.now.boot_ns
    coarse_s = round(offset_ns / NS_PER_S)
    fingerprint = (
        state.run_counter,
        state.effect_counter,
        state.boot_id,
        tuple(state.seen_boots.items()),
        coarse_s,
        state.clock_trusted,
    )
    return (
        "node",
        "node",
        fingerprint,
        lambda: {
            "schema": SCHEMA,
            "vsn": state.settings.vsn,
            "epoch": state.settings.epoch,
            "run_counter": state.run_counter,
            "effect_counter": state.effect_counter,
            "boot_id": state.boot_id,
            "seen_boots": dict(state.seen_boots),
            "offset_ns": offset_ns,
            "newest_ns": state.now.ts_ns,
        },
    )


def _job_print(job: JobState) -> object:
    return (job.first_seen, job.source, job.completed, job.boot_slot_ns, job.missing_until_boot_ns)


def _job(job: JobState) -> dict[str, Any]:
    return {
        "first_seen": list(_pair(job.first_seen)),
        "source": job.source,
        "completed": job.completed,
        "boot_slot_ns": job.boot_slot_ns,
        "missing_until_boot_ns": job.missing_until_boot_ns,
    }


def _rule_print(rule: RuleState) -> object:
    # the beginning of a spell of true is kept only where a hold counts from it: it comes and goes with measurements
    since = rule.true_since if rule.hold_s else None
    known = rule.known if rule.rule.action != "schedule" else None
    blocked = tuple(rule.blocked.items())
    return (known, since, rule.acted_boot_ns, rule.acted_value, rule.fired, blocked, rule.looked_at_ns)


def _rule(rule: RuleState) -> dict[str, Any]:
    since = rule.true_since if rule.hold_s else None
    return {
        "known": rule.known if rule.rule.action != "schedule" else None,
        "true_since": None if since is None else list(_pair(since)),
        "acted_boot_ns": rule.acted_boot_ns,
        "acted_value": rule.acted_value,
        "fired": rule.fired,
        "blocked": [[slot.expr, slot.fire_ns, gate] for slot, gate in rule.blocked.items()],
        "looked_at_ns": rule.looked_at_ns,
    }


def _plugin_print(plugin: PluginState) -> object:
    return (
        plugin.upload_job,
        plugin.refused,
        plugin.last_completed_ns,
        plugin.last_launch_ns,
        plugin.gate_boot_ns,
        plugin.backoff_boot_ns,
        plugin.failures,
        plugin.runs,
        plugin.completed_runs,
        plugin.retry,
    )


def _plugin(plugin: PluginState) -> dict[str, Any]:
    return {
        "upload_job": plugin.upload_job,
        "refused": plugin.refused,
        "last_completed_ns": plugin.last_completed_ns,
        "last_launch_ns": plugin.last_launch_ns,
        "gate_boot_ns": plugin.gate_boot_ns,
        "gate": plugin.gate,
        "backoff_boot_ns": plugin.backoff_boot_ns,
        "failures": plugin.failures,
        "runs": plugin.runs,
        "completed_runs": plugin.completed_runs,
        "retry": None if plugin.retry is None else list(plugin.retry),
    }


def _run_print(run: Run) -> object:
    pod = run.pod
    return (
        run.state,
        run.attempt,
        run.pod_name,
        run.ending,
        run.reason,
        run.awaits_log,
        run.pod_gone,
        run.launched,
        run.ended,
        run.duration_s,
        None if pod is None else (pod.uid, pod.phase, pod.node_name, pod.container.started_ns),
    )


def _run(state: NodeState, run: Run) -> dict[str, Any]:
    plugin = state.plugins.get(run.plugin_key)
    deadlines = {
        kind: when_ns
        for kind in ("queue", "patience", "duration", "remove", "orphan", "log")
        if (when_ns := _deadline(state, (kind, run.run_id))) is not None
    }
    until = state.wakeups.wall.current.get(("queue", run.run_id))
    return {
        "number": run.number,
        "key": run.key,
        "job_id": run.job_id,
        "goal_id": run.goal_id,
        "plugin": run.plugin.name,
        "image": run.plugin.spec.image,
        "occupies": plugin is not None and plugin.active is run,
        "pod_name": run.pod_name,
        "instance": run.instance,
        "created": list(_pair(run.created)),
        "cause": run.cause,
        "slots": [list(slot) for slot in run.slots],
        "duration_s": run.duration_s,
        "priority": run.priority,
        "state": run.state.value,
        "ending": run.ending,
        "uid": "" if run.pod is None else run.pod.uid,
        "pod_gone": run.pod_gone,
        "launched": None if run.launched is None else list(_pair(run.launched)),
        "ended": None if run.ended is None else list(_pair(run.ended)),
        "reason": run.reason,
        "message": run.message,
        "exit_code": run.exit_code,
        "awaits_log": run.awaits_log,
        "attempt": run.attempt,
        "retry": run.retry,
        "grace_s": run.grace_s,
        "deadlines": deadlines,
        "queue_until_ns": until,
        "why": run.why,
    }


def _deadline(state: NodeState, key: tuple[str, ...]) -> int | None:
    return state.wakeups.boot.current.get(key)


def _pair(instant: Instant) -> tuple[int, int]:
    return instant.ts_ns, instant.boot_ns
