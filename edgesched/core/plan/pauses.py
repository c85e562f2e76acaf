"""The operator's brake: what is paused is not launched, until it is resumed or its time is over.

A pause names a plugin, a job, a plugin of one job, or everything. It holds launches only: `publish` and `set` rules go
on, and so does what runs, unless the operator asked to end it. A run that waits stays waiting; a cron slot that opens
meanwhile stays open for its grace and is then missed, with the pause as the reason.
"""

from __future__ import annotations

from typing import Any

from edgesched.core.plan.announce import say, tell
from edgesched.core.plan.ends import miss, remove_pod
from edgesched.core.plan.events import Paused, Resumed
from edgesched.core.plan.policies import clock_text
from edgesched.core.plan.state import NodeState, Pause, PauseKey, PluginKey
from edgesched.core.plan.turn import Turn

ENDED_BY_PAUSE = "ended by the operator's pause"


def pause(turn: Turn, event: Paused) -> None:
    """Stop launches of what the event names."""
    state = turn.state
    key = PauseKey(event.job_id, event.plugin)
    until_ns = None if event.for_s is None else turn.boot_deadline(event.for_s)
    state.pauses[key] = Pause(turn.now.ts_ns, until_ns)
    if until_ns is None:
        state.wakeups.boot.clear(("pause", *key))
    else:
        state.wakeups.boot.set(("pause", *key), until_ns)
    _say(turn, key, "node.paused", {"end": event.end} if until_ns is None else {"for_s": event.for_s, "end": event.end})
    if event.end:
        _end_runs(turn, key)


def resume(turn: Turn, event: Resumed) -> None:
    """Let go what is paused under the same names, or everything."""
    key = PauseKey(event.job_id, event.plugin)
    for each in [key] if key != PauseKey() else list(turn.state.pauses):
        if each in turn.state.pauses:
            _let_go(turn, each, "resumed by the operator")


def over(turn: Turn, key: PauseKey) -> None:
    """The time of a pause is over."""
    if key in turn.state.pauses:
        _let_go(turn, key, "its time is over")


def paused(state: NodeState, plugin: PluginKey) -> str:
    """Return what pauses a plugin, for people; empty when nothing does."""
    if not state.pauses:
        return ""
    for key in (PauseKey(*plugin), PauseKey("", plugin.name), PauseKey(plugin.job_id), PauseKey()):
        found = state.pauses.get(key)
        if found is not None:
            until = ""
            if found.until_boot_ns is not None:
                until = f", until {clock_text(state.now.ts_ns + found.until_boot_ns - state.now.boot_ns)}"
            return f"paused by the operator (since {clock_text(found.since_ns)}{until})"
    return ""


def covers(key: PauseKey, plugin: PluginKey) -> bool:
    """Does a pause hold this plugin?"""
    return key.job_id in ("", plugin.job_id) and key.plugin in ("", plugin.name)


def _let_go(turn: Turn, key: PauseKey, reason: str) -> None:
    state = turn.state
    del state.pauses[key]
    state.wakeups.boot.clear(("pause", *key))
    _say(turn, key, "node.resumed", {"reason": reason})
    for plugin in state.plugins.values():
        if covers(key, plugin.key):
            turn.wake_plugin(plugin)


def _say(turn: Turn, key: PauseKey, name: str, extra: dict[str, Any]) -> None:
    fields = {"job_id": key.job_id or "all", "plugin_name": key.plugin or "all", **extra}
    say(turn, name, fields)
    for plugin in turn.state.plugins.values():
        if covers(key, plugin.key):
            tell(turn, plugin, name, extra)


def _end_runs(turn: Turn, key: PauseKey) -> None:
    state = turn.state
    for plugin in list(state.plugins.values()):
        run = plugin.active
        if run is None or not covers(key, plugin.key):
            continue
        if run.run_id in state.waiting:
            miss(turn, run, ENDED_BY_PAUSE)
        else:
            run.ending = ENDED_BY_PAUSE
            remove_pod(turn, run, grace_s=state.settings.delete_grace_s)
