"""The rule language: `action(object, key=value...): condition`.

parse_rule(text) -> ScienceRule              takes a rule apart
compile_condition(text) -> Condition         parses, checks and compiles a condition
Condition.bind(facts, now_ns) -> Bound       makes it ready for facts that live on
Bound.evaluate(now_ns) -> Verdict            true, false, unknown or error
check_rule(text, plugins) -> list[Finding]   everything that is wrong or odd, for people
evaluate_text(condition, measurements, now)  one verdict about a history
"""

from .calls import CronNeed, Needs, TimeNeed
from .condition import GRACE_NS, Bound, ClauseValue, Condition, compile_condition
from .cron import next_fire
from .durations import duration_ns, duration_text
from .facts import Facts
from .history import HistoryFacts, evaluate_text
from .parameters import parse_duration_ns
from .rule import parse_rule
from .rulecheck import check_rule
from .syntax_hints import excerpt
from .verdict import FALSE, TRUE, Verdict

__all__ = [
    "FALSE",
    "GRACE_NS",
    "TRUE",
    "Bound",
    "ClauseValue",
    "Condition",
    "CronNeed",
    "Facts",
    "HistoryFacts",
    "Needs",
    "TimeNeed",
    "Verdict",
    "check_rule",
    "compile_condition",
    "duration_ns",
    "duration_text",
    "evaluate_text",
    "excerpt",
    "next_fire",
    "parse_duration_ns",
    "parse_rule",
]
