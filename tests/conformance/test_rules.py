"""Rules of the field and what the reference's parser makes of rules."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgesched.core.findings import has_errors
from edgesched.core.rules import check_rule, parse_rule
from edgesched.errors import RuleSyntaxError

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("EDGESCHED_SHARED", ROOT / "../shared")) / "conformance"
PARSED = [json.loads(line) for line in (FOLDER / "parse-vectors.jsonl").read_text().splitlines()]
RULES = [json.loads(line) for line in (FOLDER / "rules.jsonl").read_text().splitlines()]
GENEROUS = {"schedule (a): True"}
"""Refused by the reference, accepted here: blanks where a person would put them."""


@pytest.mark.parametrize("vector", [v for v in PARSED if v["ok"]], ids=lambda v: v["id"])
def test_a_rule_that_the_reference_accepts_means_the_same(vector: dict[str, Any]) -> None:
    """Action, object, parameters and condition are the reference's; typed values are compared as text."""
    rule = parse_rule(vector["rule"])
    parameters = {key: str(value) for key, value in rule.parameters.items()}
    assert (rule.action, rule.object, parameters, rule.condition) == (
        vector["action"],
        vector["object"],
        vector["parameters"],
        vector["condition"],
    )


@pytest.mark.parametrize("vector", [v for v in PARSED if not v["ok"]], ids=lambda v: v["id"])
def test_a_rule_that_the_reference_refuses_is_refused(vector: dict[str, Any]) -> None:
    """But for the blanks, what the reference refuses is refused, with a message and a place."""
    if vector["rule"] in GENEROUS:
        assert parse_rule(vector["rule"]).condition == "True"
        return
    with pytest.raises(RuleSyntaxError) as caught:
        parse_rule(vector["rule"])
    assert caught.value.message
    assert caught.value.line == 1
    assert 1 <= caught.value.column <= len(vector["rule"]) + 1


def test_outcomes_of_the_rules_of_the_field() -> None:
    """How many rules of each form pass the check; a change here is a change of what authors are told."""
    outcomes = Counter(
        (rule["form"], "refused" if has_errors(check_rule(rule["rule"])) else "accepted") for rule in RULES
    )
    assert outcomes == {
        ("current", "accepted"): 96,
        ("current", "refused"): 10,
        ("legacy-bare", "refused"): 48,
        ("legacy-kb", "refused"): 20,
        ("malformed", "refused"): 2,
        ("template", "refused"): 33,
    }


@pytest.mark.parametrize("rule", [r for r in RULES if r["form"] == "legacy-bare"], ids=lambda r: r["rule"][:40])
def test_the_short_form_is_refused_with_the_form_to_write(rule: dict[str, Any]) -> None:
    """The author of `plugin: condition` is told `schedule(plugin): condition`, which is then a rule."""
    with pytest.raises(RuleSyntaxError) as caught:
        parse_rule(rule["rule"])
    assert caught.value.hint.startswith(("write schedule(", "write schedule(name)"))
    assert parse_rule(caught.value.hint.removeprefix("write ")).action == "schedule"


@pytest.mark.parametrize("rule", [r for r in RULES if r["form"] == "legacy-kb"], ids=lambda r: r["rule"][:40])
def test_knowledge_base_rules_are_called_by_their_name(rule: dict[str, Any]) -> None:
    """The author of `fact ==> Run(x)` is told that no scheduler reads such rules any more."""
    with pytest.raises(RuleSyntaxError, match="old knowledge base"):
        parse_rule(rule["rule"])
