"""`retries=N`: a failed run of a cron slot is launched again, with back-off, while the slot counts.

The slot stays claimed; a retry has a run id and a pod name of its own, made of the slot's key and the number of the
retry, so a repeated create is still the same create. A slot counts until the next one of its cron expression; a run of
a newer slot ends the retries of an older one.
"""

from __future__ import annotations

from edgesched.core.model import NS_PER_S
from edgesched.core.plan.announce import log, tell
from edgesched.core.plan.firing import enqueue, gate
from edgesched.core.plan.policies import clock_text
from edgesched.core.plan.state import PluginState, Retry, newest
from edgesched.core.plan.turn import Turn
from edgesched.core.rules import next_fire


def consider(turn: Turn) -> None:
    """Look at the runs that failed in this step: which of them are to be launched again?"""
    for run in turn.failed:
        plugin = turn.state.plugins.get(run.plugin_key)
        if plugin is None or not run.slots or run.ending:
            continue
        allowed = max(
            (int(rule.rule.parameters.get("retries", 0)) for rule in plugin.rules if rule.rule.condition == run.cause),
            default=0,
        )
        if run.retry >= allowed:
            continue
        slot = newest(run.slots)
        until_ns = next_fire(slot.expr, slot.fire_ns)
        if until_ns is None:
            until_ns = slot.fire_ns + round(turn.state.settings.queue_timeout_s * NS_PER_S)
        key = run.key.removesuffix(f"/retry{run.retry}")
        due_ns = max(plugin.gate_boot_ns, plugin.backoff_boot_ns)
        _arm(turn, plugin, Retry(key, run.retry + 1, run.cause, run.slots, until_ns, due_ns))


def due(turn: Turn, plugin: PluginState) -> None:
    """The pause before a retry is over."""
    retry, plugin.retry = plugin.retry, None
    if retry is None:
        return
    cause = next((rule for rule in plugin.rules if rule.rule.condition == retry.cause), None)
    if cause is None or turn.now.ts_ns >= retry.until_ns:
        return
    if gate(turn, plugin, with_slot=True):
        pause_ns = round(turn.state.settings.min_gap_s * NS_PER_S)
        _arm(turn, plugin, retry._replace(due_boot_ns=max(plugin.gate_boot_ns, turn.now.boot_ns + pause_ns)))
        return
    enqueue(turn, plugin, cause, f"{retry.key}/retry{retry.number}", retry.slots, retry=retry.number)


def _arm(turn: Turn, plugin: PluginState, retry: Retry) -> None:
    if turn.time_after(retry.due_boot_ns) >= retry.until_ns:
        return
    plugin.retry = retry
    turn.state.wakeups.boot.set(("retry", *plugin.key), retry.due_boot_ns)
    fields = {
        "job": plugin.key.job_id,
        "plugin": plugin.key.name,
        "retry": retry.number,
        "at": clock_text(turn.time_after(retry.due_boot_ns)),
    }
    log(turn, "plugin.retrying", fields)
    tell(turn, plugin, "plugin.retrying", {"retry": retry.number, "at": fields["at"]})
