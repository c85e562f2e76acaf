"""Taking rules apart."""

import pytest

from edgesched.core.rules import parse_rule
from edgesched.errors import RuleSyntaxError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value=5", 5),
        ("value=-5", -5),
        ("value=2.5", 2.5),
        ("value=1e3", 1000.0),
        ("value=true", True),
        ("value=False", False),
        ("value='5'", "5"),
        ('value="true"', "true"),
        ("value=06:39:00", "06:39:00"),
        ("value=007", "007"),
        ("value=5m", "5m"),
        ("value=nan", "nan"),
        ("value=", ""),
        ("value='a, b=c'", "a, b=c"),
        ("value = 'x' ", "x"),
    ],
)
def test_values_have_types(text: str, expected: object) -> None:
    """A number or bool without quotes is one; everything else is a text."""
    value = parse_rule(f"set(key, {text}): True").parameters["value"]
    assert value == expected
    assert type(value) is type(expected)


def test_quotes_protect_commas_and_equals_signs() -> None:
    """The reference splits there; no author can mean that."""
    rule = parse_rule("""publish("a,b", value='x, y=1', to="all"): True""")
    assert rule.object == "a,b"
    assert rule.parameters == {"value": "x, y=1", "to": "all"}


def test_a_quote_inside_a_value_protects_nothing() -> None:
    """An apostrophe must not swallow the next parameter."""
    assert parse_rule("publish(a, value=it's, to=node): True").parameters == {"value": "it's", "to": "node"}


@pytest.mark.parametrize(
    "text", ["schedule(p) : True", " schedule(p): True", "schedule (p): True", "schedule(p)\t: True"]
)
def test_blanks_where_a_person_puts_them(text: str) -> None:
    """A blank before the colon is no reason to refuse a job."""
    rule = parse_rule(text)
    assert (rule.action, rule.object, rule.condition) == ("schedule", "p", "True")


def test_the_condition_knows_its_place() -> None:
    """Errors inside the condition are shown at their place in the rule."""
    rule = parse_rule("schedule(p):   avg(x)")
    assert rule.text[rule.condition_column - 1 :] == "avg(x)"
    assert rule.condition_line == 1


@pytest.mark.parametrize(
    ("text", "message", "hint", "column"),
    [
        ("image-sampler: cronjob('a', '* * * * *')", "names no action", "schedule(image-sampler): cronjob(", 1),
        ("a > 5 ==> Run(B)", "old knowledge base", "schedule(plugin): condition", 7),
        ("schedul(p): True", "no action schedul", "did you mean schedule?", 1),
        ("schedule(p, x): True", "x is no parameter", "key=value", 13),
        ("schedule(p, x=a=b): True", "x=a=b is no parameter", "quotes", 13),
        ("schedule(p True", "never closed", "schedule(plugin)", 9),
        ("schedule(p) True", "colon is missing", "schedule(plugin)", 12),
        ("schedule(p): True\n", "one line", "join", 18),
        ("schedule: True", "has no object", "schedule(name)", 9),
        ("", "action(object): condition", "", 1),
        ("schedule(p): " + "x" * 5000, "4 KiB", "", 1),
    ],
)
def test_what_is_no_rule_gets_a_message_with_place_and_hint(text: str, message: str, hint: str, column: int) -> None:
    """The author sees what to change and where."""
    with pytest.raises(RuleSyntaxError) as caught:
        parse_rule(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert (caught.value.line, caught.value.column) == (1, column)
