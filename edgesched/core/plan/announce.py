"""What the node tells the world and its log: the scheduler events of the Waggle wire, and one log line a decision.

Event names and payload keys are those of the reference implementation; consumers pair `launched` with `complete` or
`failed` by `k3s_pod_instance`. We add `job_id` and `run_id` and keep everything else as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from edgesched.core.model import NO_PAIRS, Message, Plugin
from edgesched.core.plan.effects import Publish, Report
from edgesched.core.plan.state import PluginState, Run, StoryLine
from edgesched.core.plan.turn import Turn

PREFIX: Final = "sys.scheduler.status."
LAST_EXECUTION: Final = "sys.scheduler.plugin.lastexecution"


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
    short: dict[str, Any] = {"job": run.job_id, "plugin": run.plugin.name, "run": run.run_id}
    if run.pod is not None:
        short["pod"] = run.pod_name
    short.update(extra)
    turn.effects.append(Report(name, short, level))
    known = turn.state.plugins.get(run.plugin_key)
    _publish(turn, PREFIX + name, _run_payload(known, run, extra), scope="all", as_text=True)
    if known is not None:
        tell(turn, known, name, extra)


def publish_run(turn: Turn, run: Run, name: str, extra: Mapping[str, Any]) -> None:
    """Publish a run's event without a log line of its own."""
    payload = _run_payload(turn.state.plugins.get(run.plugin_key), run, extra)
    _publish(turn, PREFIX + name, payload, scope="all", as_text=True)


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


def _run_payload(known: PluginState | None, run: Run, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of a run's event: the run (R), the pod (K) when there is one, the plugin (P)."""
    fields = (
        known.fields
        if known is not None and known.goal_id == run.goal_id
        else plugin_fields(run.plugin, run.job_id, run.goal_id, run.plugin.spec.job)
    )
    payload: dict[str, Any] = {"pluginruntime_pod_instance": run.instance, "run_id": run.run_id, **fields}
    pod = run.pod
    if pod is not None:
        payload["k3s_pod_name"] = pod.name
        payload["k3s_pod_status"] = pod.phase
        payload["k3s_pod_node_name"] = pod.node_name
        payload["k3s_pod_instance"] = pod.instance or run.instance
        payload["k3s_pod_uid"] = pod.uid
    payload.update(extra)
    return payload


def _publish(turn: Turn, name: str, value: Any, *, scope: str, as_text: bool) -> None:
    state = turn.state
    effect_id = state.next_effect_id()
    message = Message(name, turn.now.ts_ns, value, NO_PAIRS, scope, f"{state.settings.vsn}-{effect_id}", as_text)
    turn.effects.append(Publish(effect_id, message))
