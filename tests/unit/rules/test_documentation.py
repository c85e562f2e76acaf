"""The page about the rule language: its tables are fresh, and every example does what the page says."""

import re

import pytest

from edgesched.core.messages import parse_measurement_line
from edgesched.core.rules import check_rule, compile_condition, evaluate_text
from edgesched.core.rules.functions import FUNCTIONS, Function
from edgesched.core.rules.library import IMPLEMENTATIONS
from edgesched.core.rules.parameters import PARAMETERS
from edgesched.errors import RuleError
from tests.unit.rules.facts import NOW
from tools.rule_reference import PAGE, updated

TEXT = PAGE.read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    """Lines of the fenced blocks of a kind."""
    found = re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)
    return [line for block in found for line in block.splitlines() if line.strip()]


MEASUREMENTS = [parse_measurement_line(line) for line in blocks("ndjson")]


def split(line: str) -> tuple[str, str]:
    """An example and what is said of it."""
    example, _, said = line.rpartition("# ")
    return example.strip(), said.strip()


def test_the_tables_of_functions_are_fresh() -> None:
    """A function that the page does not know is a function that nobody uses."""
    assert updated(TEXT) == TEXT


def test_there_are_examples() -> None:
    """The other tests would pass without one."""
    assert len(blocks("rules")) >= 7
    assert len(blocks("conditions")) >= 40
    assert len(blocks("refused")) >= 10


@pytest.mark.parametrize("line", blocks("rules"))
def test_rules_of_the_page_pass_the_check(line: str) -> None:
    """An example that `check` refuses or warns of would teach the wrong thing."""
    assert check_rule(line) == []


@pytest.mark.parametrize("line", blocks("conditions"))
def test_conditions_of_the_page_have_the_verdict_that_it_tells(line: str) -> None:
    """Each example is evaluated on the data of the page."""
    condition, word = split(line)
    assert evaluate_text(condition, MEASUREMENTS, NOW)[0] == word


@pytest.mark.parametrize("line", blocks("refused"))
def test_mistakes_of_the_page_are_refused_with_the_message_that_it_tells(line: str) -> None:
    """The reader finds the message that he got."""
    condition, message = split(line)
    with pytest.raises(RuleError, match=re.escape(message)):
        compile_condition(condition)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda f: f.name)
def test_the_example_of_a_function_uses_it_and_passes_the_check(function: Function) -> None:
    """The table's own examples are good conditions."""
    assert re.search(rf"\b{function.name}\(", function.example)
    assert check_rule(f"schedule(p): {function.example}") == []


def test_every_function_that_takes_values_is_implemented() -> None:
    """The table and the library agree."""
    of_time = {"v", "rate", "time", "cronjob", "after", "daylight", "sunrise", "sunset"}
    assert set(FUNCTIONS) - of_time == set(IMPLEMENTATIONS)


def test_every_parameter_is_on_the_page() -> None:
    """A parameter that the page does not explain is a riddle."""
    actions = TEXT[TEXT.index("## Actions") : TEXT.index("## Values")]
    for known in PARAMETERS.values():
        for name in known:
            assert f"`{name}" in actions
