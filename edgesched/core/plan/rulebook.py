"""Rules in force: parsed, checked against their job, compiled, bound to the windows and indexed for waking."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edgesched.core.model import NS_PER_S, ScienceRule
from edgesched.core.plan.state import JobState, RuleFacts, RuleState
from edgesched.core.plan.turn import Turn
from edgesched.core.rules import Condition, compile_condition, parse_duration_ns, parse_rule
from edgesched.core.suggest import did_you_mean
from edgesched.errors import RuleError

LATEST_GRACE_NS: Final = 8 * 86_400 * NS_PER_S


def install_rule(turn: Turn, job: JobState, text: str) -> str:
    """Put a rule in force; returns why not, empty when it is."""
    state = turn.state
    try:
        rule = parse_rule(text)
        if rule.action == "schedule" and rule.object not in job.plugins:
            hint = did_you_mean(rule.object, job.plugins)
            return f"no plugin {rule.object!r} in the job" + (f"; {hint}" if hint else "")
        if rule.action == "publish" and rule.object.startswith("sys."):
            return f"{rule.object!r}: names that begin with sys. are the system's own"
        grace_ns = own_grace_ns = round(state.settings.grace_s * NS_PER_S)
        if "grace" in rule.parameters:
            grace_ns = own_grace_ns = parse_duration_ns(rule.parameters["grace"])
        if rule.parameters.get("misfire") == "latest":
            grace_ns = LATEST_GRACE_NS
        condition = compile_condition(rule.condition, grace_ns=grace_ns)
        hold = rule.parameters.get("hold")
        hold_s = 0.0 if hold is None else parse_duration_ns(hold) / NS_PER_S
        for name in ("duration", "cooldown", "every"):
            if name in rule.parameters:
                parse_duration_ns(rule.parameters[name])
    except RuleError as error:
        return str(error)
    put_in_force(turn, job, rule, condition, hold_s, grace_ns=own_grace_ns)
    return ""


def uninstall_rules(turn: Turn, job: JobState) -> None:
    """Take the rules of a job out of force; its plugins and their history stay."""
    state = turn.state
    for rule in job.rules:
        state.wakeups.forget(rule.rule_id, rule.names)
        turn.dropped.append(rule.bound)
        del state.rules[rule.rule_id]
        turn.woken.pop(rule.rule_id, None)
    for plugin in job.plugins.values():
        plugin.rules.clear()
    job.rules = []


def put_in_force(
    turn: Turn, job: JobState, rule: ScienceRule, condition: Condition, hold_s: float = 0.0, *, grace_ns: int = 0
) -> None:
    """Bind a compiled rule and wake it. `grace_ns`: how long its slots stay open but for `misfire=latest`."""
    state = turn.state
    state.rule_counter += 1
    is_late = condition.grace_ns > grace_ns
    facts = RuleFacts(state, job.job_id, rule.object, grace_ns if is_late else None)
    bound = condition.bind(facts, turn.now.ts_ns)
    installed = RuleState(state.rule_counter, (job.job_id, len(job.rules)), job.job_id, rule, condition, bound, hold_s)
    installed.is_cron = rule.action == "schedule" and condition.is_cron
    installed.grace_s = grace_ns / NS_PER_S
    state.rules[installed.rule_id] = installed
    job.rules.append(installed)
    if rule.action == "schedule":
        job.plugins[rule.object].rules.append(installed)
    state.wakeups.index(installed.rule_id, installed.names)
    turn.woken[installed.rule_id] = None


def names_wanted(rules: Iterable[RuleState]) -> frozenset[str]:
    """Measurement names that any rule in force reads."""
    return frozenset(name for rule in rules for name in rule.names)
