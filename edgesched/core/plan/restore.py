"""From records back to a state: what `edgesched.core.plan.records` wrote down.

The restored state owes the shell some effects: pods that were asked for and perhaps never created, logs and deletions
that were under way. All of them are idempotent, so asking again is right. Every rule is evaluated anew at once.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from edgesched.core.jobs import goals_from_json
from edgesched.core.model import Instant, Plugin, PluginSpec, PodView
from edgesched.core.plan import criteria, goals
from edgesched.core.plan.effects import Effect, FetchLog
from edgesched.core.plan.ends import remove_pod
from edgesched.core.plan.launching import request_launch
from edgesched.core.plan.ledger import SlotKey
from edgesched.core.plan.lifecycle import RunState
from edgesched.core.plan.records import SCHEMA, UNIT, Record, rule_key
from edgesched.core.plan.settings import PlanSettings
from edgesched.core.plan.state import NodeState, Pause, PauseKey, PluginKey, Retry, Run, Slot, StoryLine
from edgesched.core.plan.turn import Turn
from edgesched.core.windows import WindowStore
from edgesched.errors import ConfigError, StoreNewerError


def restore(
    settings: PlanSettings, windows: WindowStore, records: Iterable[Record], now: Instant, boot_id: str
) -> tuple[NodeState, list[Effect]]:
    """Build the state that the records describe; returns it and the effects that it owes.

    Raises: StoreNewerError when the records are of a newer schema; ConfigError when they are another node's.
    """
    by_kind: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for kind, key, value in records:
        if value is not None:
            by_kind[kind][key] = value
    node = by_kind["node"].get("node")
    if node is None:
        return NodeState(settings, windows, now=now), []
    if node["schema"] > SCHEMA:
        raise StoreNewerError(
            f"the state was written by a newer version (schema {node['schema']}, this one knows {SCHEMA})",
            hint="install that version again, or move the state directory away to start anew",
        )
    if node["vsn"].lower() != settings.vsn.lower():
        raise ConfigError(
            f"the state is that of node {node['vsn']}, this is {settings.vsn}",
            hint="name the node or the state directory right, or move the directory away to start anew",
        )
    state = NodeState(replace(settings, epoch=node["epoch"]), windows, now=now)
    state.seen_boots = dict(node["seen_boots"])
    # boot-clock times of an earlier boot are carried over by way of the wall clock
    shift_ns = 0 if node["boot_id"] == boot_id else node["offset_ns"] - (now.ts_ns - now.boot_ns)
    return _Restorer(state, Turn(state, now), shift_ns, by_kind).run()


class _Restorer:
    """Puts the records of each kind in place, in the order in which they depend on each other."""

    def __init__(
        self, state: NodeState, turn: Turn, shift_ns: int, by_kind: dict[str, dict[str, dict[str, Any]]]
    ) -> None:
        self.state = state
        self.turn = turn
        self.shift_ns = shift_ns
        self.by_kind = by_kind

    def run(self) -> tuple[NodeState, list[Effect]]:
        state, turn = self.state, self.turn
        for text in self.by_kind["slot"]:
            job_id, object_name, expr, fire_ns = text.split(UNIT)
            state.ledger.claim(SlotKey(job_id, object_name, expr), int(fire_ns))
        state.ledger.fresh.clear()
        ended = ((value["number"], run_id) for run_id, value in self.by_kind["told"].items())
        state.told = {run_id: number for number, run_id in sorted(ended)}
        self._goals()
        goals.apply(turn)
        self._jobs()
        self._plugins()
        self._pauses()
        self._stories()
        self._rules()
        # what the rebuilding had to say was said when it happened
        turn.effects.clear()
        node = self.by_kind["node"]["node"]
        state.run_counter, state.effect_counter = node["run_counter"], node["effect_counter"]
        self._runs()
        turn.woken.clear()
        for rule_id in state.rules:
            state.wakeups.wall.set(("rule", rule_id), turn.now.ts_ns)
        return state, turn.effects

    def boot(self, boot_ns: int) -> int:
        """Carry a time of the boot clock over to this boot."""
        return boot_ns + self.shift_ns

    def instant(self, pair: list[int]) -> Instant:
        """Carry a reading of both clocks over to this boot."""
        return Instant(pair[0], self.boot(pair[1]))

    def _goals(self) -> None:
        for value in self.by_kind["goal"].values():
            parsed, _ = goals_from_json(_json_list(value["goal"]))
            source = value["source"]
            for goal in parsed:
                self.state.sources.setdefault(source, {})[goal.job_id] = goal
                if value["missing_until_boot_ns"] is not None:
                    until_ns = self.boot(value["missing_until_boot_ns"])
                    self.state.wakeups.boot.set(("missing", source, goal.job_id), until_ns)

    def _jobs(self) -> None:
        for job_id, value in self.by_kind["job"].items():
            job = self.state.jobs.get(job_id)
            if job is None:
                continue
            job.first_seen = self.instant(value["first_seen"])
            job.boot_slot_ns = value["boot_slot_ns"]
            if value["missing_until_boot_ns"] is not None:
                job.missing_until_boot_ns = self.boot(value["missing_until_boot_ns"])
            criteria.uninstall(self.turn, job)
            if value["completed"]:
                criteria.met(self.turn, job_id, value["completed"])
            else:
                criteria.watch_times(self.turn, job)

    def _plugins(self) -> None:
        for value_key, value in self.by_kind["plugin"].items():
            job_id, _, name = value_key.partition("/")
            plugin = self.state.plugins.get(PluginKey(job_id, name))
            if plugin is None:
                continue
            plugin.last_completed_ns = value["last_completed_ns"]
            plugin.last_launch_ns = value["last_launch_ns"]
            plugin.gate_boot_ns = self.boot(value["gate_boot_ns"])
            plugin.gate = value["gate"]
            plugin.backoff_boot_ns = self.boot(value["backoff_boot_ns"])
            plugin.failures = value["failures"]
            plugin.runs = value["runs"]
            plugin.completed_runs = value["completed_runs"]
            if value["retry"] is not None:
                plugin.retry = self._retry(value["retry"])
                self.state.wakeups.boot.set(("retry", *plugin.key), plugin.retry.due_boot_ns)
            for until_ns in (plugin.backoff_boot_ns, plugin.gate_boot_ns):
                if until_ns > self.turn.now.boot_ns:
                    self.state.wakeups.boot.set(("plugin", *plugin.key), until_ns)

    def _retry(self, saved: list[Any]) -> Retry:
        key, number, cause, slots, until_ns, due_boot_ns = saved
        return Retry(key, number, cause, tuple(Slot(*slot) for slot in slots), until_ns, self.boot(due_boot_ns))

    def _pauses(self) -> None:
        for key, value in self.by_kind["pause"].items():
            job_id, _, plugin = key.rpartition("/")
            until_ns = value["until_boot_ns"]
            if until_ns is not None:
                until_ns = self.boot(until_ns)
                self.state.wakeups.boot.set(("pause", job_id, plugin), until_ns)
            self.state.pauses[PauseKey(job_id, plugin)] = Pause(value["since_ns"], until_ns)

    def _stories(self) -> None:
        self.state.fresh_story.clear()
        found: dict[PluginKey, list[dict[str, Any]]] = defaultdict(list)
        for key, value in self.by_kind["story"].items():
            job_id, _, name = key.rpartition("/")[0].rpartition("/")
            found[PluginKey(job_id, name)].append(value)
        for plugin_key, values in found.items():
            plugin = self.state.plugins.get(plugin_key)
            if plugin is None:
                continue
            values.sort(key=lambda value: int(value["number"]))
            plugin.story.clear()
            plugin.story.extend(StoryLine(each["ts_ns"], each["what"], each["fields"]) for each in values)
            plugin.told = values[-1]["number"] + 1

    def _rules(self) -> None:
        saved = self.by_kind["rule"]
        for rule in self.state.rules.values():
            value = saved.get(rule_key(rule.job_id, rule.rule.text))
            if value is None:
                continue
            rule.known = value["known"]
            if value["true_since"] is not None:
                rule.true_since = self.instant(value["true_since"])
            if value["acted_boot_ns"] is not None:
                rule.acted_boot_ns = self.boot(value["acted_boot_ns"])
            rule.acted_value = value["acted_value"]
            rule.fired = value["fired"]
            rule.blocked = {Slot(expr, fire_ns): gate for expr, fire_ns, gate in value["blocked"]}
            rule.looked_at_ns = value["looked_at_ns"]

    # -- runs -------------------------------------------------------------------------------------------------------

    def _runs(self) -> None:
        saved = sorted(self.by_kind["run"].items(), key=lambda item: item[1]["number"])
        for run_id, value in saved:
            self._run(run_id, value)

    def _run(self, run_id: str, value: dict[str, Any]) -> None:
        state, turn = self.state, self.turn
        key = PluginKey(value["job_id"], value["plugin"])
        plugin = state.plugins.get(key)
        run = Run(
            run_id=run_id,
            number=value["number"],
            key=value["key"],
            plugin_key=key,
            goal_id=value["goal_id"],
            plugin=plugin.plugin if plugin is not None else Plugin(value["plugin"], PluginSpec(value["image"])),
            pod_name=value["pod_name"],
            instance=value["instance"],
            created=self.instant(value["created"]),
            cause=value["cause"],
            slots=tuple(Slot(expr, fire_ns) for expr, fire_ns in value["slots"]),
            duration_s=value["duration_s"],
            priority=value["priority"],
            state=RunState(value["state"]),
            why=value["why"],
            ending=value["ending"],
            pod_gone=value["pod_gone"],
            launched=None if value["launched"] is None else self.instant(value["launched"]),
            ended=None if value["ended"] is None else self.instant(value["ended"]),
            reason=value["reason"],
            message=value["message"],
            exit_code=value["exit_code"],
            awaits_log=value["awaits_log"],
            attempt=value["attempt"],
            retry=value["retry"],
            grace_s=value["grace_s"],
        )
        if value["uid"]:
            run.pod = PodView(run.pod_name, value["uid"], run_id=run_id, agent=state.settings.vsn, job_id=run.job_id)
            state.run_of_pod[run.pod_name] = run_id
        state.runs[run_id] = run
        if value["occupies"] and plugin is not None and run.is_active:
            plugin.active = run
        for kind, when_ns in value["deadlines"].items():
            state.wakeups.boot.set((kind, run_id), self.boot(when_ns))
        if value["queue_until_ns"] is not None:
            state.wakeups.wall.set(("queue", run_id), value["queue_until_ns"])
        if run.state is RunState.QUEUED:
            state.waiting[run_id] = None
        elif run.state is RunState.SELECTED:
            request_launch(turn, run)
        if not run.is_active and not run.pod_gone and run.pod is not None:
            state.finished.append(run_id)
        if run.awaits_log:
            turn.effects.append(FetchLog(f"log:{run_id}", run.pod_name, run.plugin.name, state.settings.log_lines))
        if run.ending and not run.pod_gone:
            remove_pod(turn, run, grace_s=state.settings.delete_grace_s)


def newest_known_ns(records: Iterable[Record]) -> int:
    """Return the wall time of the newest record of a node, ns UTC, 0 without one."""
    return max((value["newest_ns"] for kind, _, value in records if kind == "node" and value is not None), default=0)


def _json_list(goal: dict[str, Any]) -> str:
    return json.dumps([goal])
