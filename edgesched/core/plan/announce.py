"""What the node tells the world and its log: the scheduler events of the Waggle wire, and one log line a decision.

Event names and payload keys are those of the reference implementation; consumers pair `launched` with `complete` or
`failed` by `k3s_pod_instance`. We add `job_id` and `run_id` and keep everything else as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from edgesched.core.model import NO_PAIRS, Message, Plugin
from edgesched.core.plan.effects import Report
from edgesched.core.plan.state import PluginState, Run, StoryLine
from edgesched.core.plan.turn import Turn

PREFIX: Final = "sys.scheduler.status."
LAST_EXECUTION: Final = "sys.scheduler.plugin.lastexecution"


class RunFields(Mapping[str, Any]):
    """The payload of a run's event: the run, the plugin, the pod when there is one, and what the event adds.

    It is put together when somebody first reads it: a full minute makes thousands, and the launches come first.
    """

    __slots__ = ("_extra", "_fields", "_plugin", "_pod", "_run")

    def __init__(self, run: Run, plugin: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        self._run = run
        self._pod = run.pod  # as it is now
        self._plugin = plugin
        self._extra = extra
        self._fields: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        return self._together()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._together())

    def __len__(self) -> int:
        return len(self._together())

    def __repr__(self) -> str:
        return repr(self._together())

    def _together(self) -> dict[str, Any]:
        if self._fields is not None:
            return self._fields
        run, pod = self._run, self._pod
        fields: dict[str, Any] = {"pluginruntime_pod_instance": run.instance, "run_id": run.run_id, **self._plugin}
        if pod is not None:
            fields["k3s_pod_name"] = pod.name
            fields["k3s_pod_status"] = pod.phase
            fields["k3s_pod_node_name"] = pod.node_name
            fields["k3s_pod_instance"] = pod.instance or run.instance
            fields["k3s_pod_uid"] = pod.uid
        fields.update(self._extra)
        self._fields = fields
        return fields


def plugin_fields(plugin: Plugin, job_id: str, goal_id: str, upload_job: str) -> dict[str, Any]:
    """Return the part of an event's payload that tells of the plugin; it does not change from run to run."""
    spec = plugin.spec
    return {
        "plugin_name": plugin.name,
        "plugin_image": spec.image,
        "plugin_task": upload_job,
        "plugin_args": " ".join(spec.args),
        "plugin_selector": json.dumps(dict(spec.selector), sort_keys=True, separators=(",", ":"))
        if spec.selector
        else "null",
        "goal_id": goal_id,
        "job_id": job_id,
    }


def say(turn: Turn, name: str, fields: Mapping[str, Any], *, level: str = "info") -> None:
    """Log one line and publish the event of the same name."""
    turn.effects.append(Report(name, fields, level))
    _publish(turn, PREFIX + name, fields, scope="all", as_text=True)


def log(turn: Turn, name: str, fields: Mapping[str, Any], *, level: str = "info") -> None:
    """Log one line and publish nothing."""
    turn.effects.append(Report(name, fields, level))


def say_run(turn: Turn, run: Run, name: str, extra: Mapping[str, Any], *, level: str = "info") -> None:
    """Log one line about a run, publish its event and add it to the plugin's story."""
    job_id, plugin = run.plugin_key
    short: dict[str, Any] = {"job": job_id, "plugin": plugin, "run": run.run_id}
    if run.pod is not None:
        short["pod"] = run.pod_name
    short.update(extra)
    turn.effects.append(Report(name, short, level))
    known = publish_run(turn, run, name, extra)
    if known is not None:
        tell(turn, known, name, extra)


def publish_run(turn: Turn, run: Run, name: str, extra: Mapping[str, Any]) -> PluginState | None:
    """Publish a run's event without a log line of its own; returns the plugin's state, if it is known."""
    known = turn.state.plugins.get(run.plugin_key)
    fields = (
        known.fields
        if known is not None and known.goal_id == run.goal_id
        else plugin_fields(run.plugin, run.job_id, run.goal_id, run.plugin.spec.job)
    )
    _publish(turn, _full_name(name), RunFields(run, fields, extra), scope="all", as_text=True)
    return known


def last_execution(turn: Turn, run: Run) -> None:
    """Tell the node that a plugin completed; the reference's rule checker lives on this message."""
    _publish(turn, LAST_EXECUTION, run.plugin.name, scope="node", as_text=False)


def publish_value(turn: Turn, name: str, value: Any, scope: str) -> None:
    """Publish a measurement, as a `publish` rule asks."""
    _publish(turn, name, value, scope=scope, as_text=False)


def tell(turn: Turn, plugin: PluginState, what: str, extra: Mapping[str, Any]) -> None:
    """Add a line to a plugin's story."""
    line = StoryLine(turn.now.ts_ns, what, extra)
    plugin.story.append(line)
    turn.state.fresh_story.append((plugin.key, plugin.told, line))
    plugin.told += 1


@cache
def _full_name(name: str) -> str:
    return PREFIX + name


def _publish(turn: Turn, name: str, value: Any, *, scope: str, as_text: bool) -> None:
    message_id = turn.state.next_message_id()
    turn.effects.append(Message(name, turn.now.ts_ns, value, NO_PAIRS, scope, message_id, as_text))
