"""Cron slots that went by while nobody looked: the agent was down, the node slept, the clock was set ahead.

A rule that is nothing but a `cronjob()` owes each of its slots a run or a reason. While the agent runs, the reason is
recorded when the slot closes. This module finds the slots between the last one that was looked at and the present one:
they are recorded together, as one event, when the rule is looked at again. Nothing is run for them (`misfire=latest`
keeps the newest one open, so that it is run late).
"""

from __future__ import annotations

from typing import Final

from edgesched.core.plan.announce import say, tell
from edgesched.core.plan.ledger import SlotKey
from edgesched.core.plan.policies import clock_text
from edgesched.core.plan.state import RuleState
from edgesched.core.plan.turn import Turn
from edgesched.core.rules import next_fire

MOST_COUNTED: Final = 1000
"""Slots that are counted one by one; a week of seconds is not worth the time."""
REASON: Final = "nobody looked: the agent was down, the node slept or its clock was set"


def account(turn: Turn, rule: RuleState) -> None:
    """Record what went by since this rule was last looked at. Costs a comparison while nothing did."""
    if not turn.state.clock_trusted:
        return
    key, fire_ns, following_ns = rule.bound.cron_slot(turn.now.ts_ns)
    before_ns, expected_ns = rule.looked_at_ns, rule.expected_ns
    if fire_ns is None or fire_ns == before_ns:
        return
    rule.looked_at_ns, rule.expected_ns = fire_ns, following_ns
    if before_ns is None or fire_ns in (before_ns, expected_ns) or before_ns > turn.now.ts_ns:
        return
    passed, more = _passed(turn, rule, key, before_ns, fire_ns)
    if passed:
        _tell(turn, rule, key, passed, more=more)


def _passed(turn: Turn, rule: RuleState, key: str, after_ns: int, before_ns: int) -> tuple[list[int], bool]:
    """List the slots between two times that were neither claimed nor answered by a run; True when there may be more."""
    state = turn.state
    slot_key = SlotKey(rule.job_id, rule.rule.object, key)
    plugin = state.plugins.get(rule.plugin_key)
    ran_ns = None if plugin is None else plugin.last_completed_ns
    found: list[int] = []
    job = state.jobs.get(rule.job_id)
    fire_ns = next_fire(key, after_ns if job is None else max(after_ns, job.first_seen.ts_ns))
    for _ in range(MOST_COUNTED):
        if fire_ns is None or fire_ns >= before_ns:
            return found, False
        if not state.ledger.is_claimed(slot_key, fire_ns) and (ran_ns is None or ran_ns < fire_ns):
            found.append(fire_ns)
        fire_ns = next_fire(key, fire_ns)
    return found, True


def _tell(turn: Turn, rule: RuleState, key: str, passed: list[int], *, more: bool) -> None:
    # a slot that a gate held is recorded with that reason by itself
    passed = [fire_ns for fire_ns in passed if all(slot.fire_ns != fire_ns for slot in rule.blocked)]
    if not passed:
        return
    fields = {
        "job": rule.job_id,
        "plugin": rule.rule.object,
        "slot": clock_text(passed[0]),
        "slot_ns": passed[0],
        "last_slot_ns": passed[-1],
        "count": len(passed),
        "cron": key,
        "reason": REASON,
    }
    if more:
        fields["more"] = True
    say(turn, "slot.missed", fields, level="warning")
    plugin = turn.state.plugins.get(rule.plugin_key)
    if plugin is not None:
        tell(turn, plugin, "slot.missed", {"slot": clock_text(passed[0]), "count": len(passed), "reason": REASON})
