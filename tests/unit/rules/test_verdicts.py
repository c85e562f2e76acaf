"""True, false, unknown and error: Kleene's logic, reasons, and values as numpy has them."""

import pytest

from edgesched.core.rules import FALSE, TRUE, evaluate_text
from tests.unit.rules.facts import NOW, Known, bind, measure, verdict

UNKNOWN = "any(v('none') > 1)"
ERROR = "1 / 0 > 1"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (f"{UNKNOWN} and True", "unknown"),
        (f"{UNKNOWN} and False", "false"),
        (f"False and {UNKNOWN}", "false"),
        (f"True and {UNKNOWN}", "unknown"),
        (f"{UNKNOWN} or True", "true"),
        (f"{UNKNOWN} or False", "unknown"),
        (f"True or {UNKNOWN}", "true"),
        (f"False or {UNKNOWN}", "unknown"),
        (f"not {UNKNOWN}", "unknown"),
        (f"{UNKNOWN} or {UNKNOWN} or True", "true"),
        (f"{UNKNOWN} and True and False and True", "false"),
        (f"not ({UNKNOWN} and False)", "true"),
        (f"{ERROR} or True", "error"),
        (f"True or {ERROR}", "true"),
        (f"False or {ERROR}", "error"),
        (f"{UNKNOWN} or {ERROR}", "error"),
        (f"{UNKNOWN} and {ERROR}", "error"),
        (f"{ERROR} and {UNKNOWN}", "error"),
        (f"False and {ERROR}", "false"),
        (f"any([{UNKNOWN}, True])", "true"),
        (f"any([{UNKNOWN}, False])", "unknown"),
        (f"all([{UNKNOWN}, False])", "false"),
        (f"all([True, {UNKNOWN}])", "unknown"),
        (f"any([True, {ERROR}])", "error"),
        (f"any(x for x in [{UNKNOWN}, True])", "true"),
        (f"all([x for x in [{UNKNOWN}, False]])", "false"),
        (f"[x for x in [{UNKNOWN}, False]] == []", "unknown"),
        (f"len([x for x in [{UNKNOWN}, 1] if x]) == 1", "unknown"),
        (f"any(True for x in [{UNKNOWN}, True] if x)", "true"),
        (f"True if {UNKNOWN} else True", "unknown"),
        (f"{UNKNOWN} == True", "unknown"),
        (f"len([{UNKNOWN}]) == 1", "unknown"),
    ],
)
def test_kleene(text: str, word: str) -> None:
    """Missing data is not false: an operand decides only if it decides whatever the others are."""
    assert evaluate_text(text, [], NOW)[0] == word


def test_true_and_false_are_always_the_same_objects() -> None:
    """The hot path makes no objects."""
    assert verdict("1 < 2") is TRUE
    assert verdict("2 < 1") is FALSE
    assert TRUE.reason == ""


@pytest.mark.parametrize(
    ("text", "word", "reason"),
    [
        (
            "any(v('a.b', sensor='bme680', since='-5m') > 1)",
            "unknown",
            "no data for a.b with sensor=bme680 in the last 5m",
        ),
        ("rate('c', since='-1h')[0] > 1", "unknown", "no two values of c in the last 1h"),
        ("v('x') > 1 and True", "unknown", "3 values: say any(), all() or last()"),
        ("stddev(v('one')) > 1", "unknown", "one value of one: stddev() needs two"),
        ("median(v('x')[5:]) > 1", "unknown", "median() of no values"),
        ("daylight()", "unknown", "does not know its position"),
        (
            "v('x') > 1",
            "error",
            "the rule produced a series of 3 values; say any(), all() or last(), not true or false",
        ),
        ("v('one') > 1", "error", "a series of 1 value"),
        ("avg(v('x'))", "error", "the rule produced a number: 2, not true or false"),
        ("'yes'", "error", "the rule produced a text: 'yes', not true or false"),
        ("None", "error", "the rule produced None"),
        ("[True]", "error", "the rule produced a list"),
        ("1 % 0 == 1", "error", "division by zero"),
        ("v('x')[7] > 1", "error", "there is no value 7: the series has 3"),
        ("[1][7] > 1", "error", "there is no item 7: a list has 1"),
        ("2.0 ** 5000 > 1", "error", "too large"),
        ("2 ** 5000 > 1", "error", "beyond 2**1024"),
        ("(-1) ** 0.5 == 1", "error", "root of a negative"),
        ("any(v('x') + v('two') > 1)", "error", "a series of 3 values and one of 2"),
        ("any(v('s') + 1 > 1)", "error", "the series holds other values"),
        ("any(v('s') > 1)", "error", ""),
        ("avg(v('s')) > 1", "error", "s has values that are no numbers"),
        ("int('x') == 1", "error", "invalid literal"),
        ("[a for a, b in [1]] == []", "error", "a number cannot be unpacked"),
        ("[a for a, b in [(1, 2, 3)]] == []", "error", "3 values for 2 names"),
        ("max([]) > 1", "error", "max() of no values"),
        ("percentile(v('x'), 101) > 1", "error", "from 0 to 100"),
    ],
)
def test_reasons(text: str, word: str, reason: str) -> None:
    """An operator reads why, not a traceback."""
    facts = Known()
    bound = bind(text, facts)
    for name, values in {"x": [1, 2, 3], "one": [1], "two": [1, 2], "s": ["rain", "sun"]}.items():
        measure(facts, name, *values)
    found = bound.evaluate(NOW)
    assert found.word == word, found
    assert reason in found.reason
    assert found.error == (word == "error")
    assert found.value is None


@pytest.mark.parametrize(
    "text",
    [
        "any(v('x') / 0 > 1e300)",
        "v('x')[0] / 0 > 1e300",
        "avg(v('x')) / 0 > 1e300",
        "not (v('x')[0] % 0 < 1)",
        "(v('x')[0] > 0) + (v('x')[1] > 0) == 1",
        "~(v('x')[0] > 5)",
        "(v('x')[0] > 0) is not True",
        "sum(v('x') > 1) == 2",
        "(v('x') > 1).sum() == 2 and (v('x') > 1).mean() > 0.6",
        "any((v('x') > 1) & (v('x') < 3))",
        "list(v('x') * v('x')) == [1.0, 4.0, 9.0]",
        "list(v('x') + v('one')) == [2, 3, 4]",
        "list(v('x')[v('x') > 1]) == [2, 3]",
        "list(v('x')[[0, -1]]) == [1, 3]",
        "list(v('x')[::-1]) == [3, 2, 1]",
        "all(v('x') == [1, 2, 3]) and all((1, 2, 3) == v('x'))",
        "2 in v('x') and 5 not in v('x')",
        "max(v('s')) == 'sun' and 'rain' in v('s') and any(v('s') == 'rain')",
        "v('x').size == 3 and v('x').max() - v('x').min() == 2",
        "v('flag')[0] == 1 and not (v('flag')[0] is True)",
        "bool(v('one')) and not bool(v('x')[5:])",
        "round(v('x')[0] / 3, 2) == 0.33",
        "sorted(v('x'), reverse=True)[0] == 3",
        "abs(min(v('x') - 5)) == 4",
        "float(v('one')) == 1 and int(v('one')) == 1",
        "sum([v('x'), v('x')]).sum() == 12",
        "median(v('x')) == 2 and percentile(v('x'), 25) == 1.5 and delta(v('x')) == 2 and last(v('x')) == 3",
        "median([3, 1, 2]) == 2 and last([1, 2]) == 2 and delta((1, 5)) == 4 and stddev([1, 3]) > 1.4",
        "percentile(v('x') * 2, 50) == 4",
        "v('huge')[0] == 9007199254740993 and any(v('huge') == 9007199254740993) and last(v('huge')) < 2 ** 64",
        "list(v('huge') == 9007199254740993)[0] and 9007199254740992.0 != 9007199254740993",
        "bool(v('s').any() == 'rain') and v('s').all() == 'sun' and list(zip()) == []",
        "avg([1, 2]) == 1.5 and avg(5) == 5 and avg([[1, 2], [3, 4]]) == 2.5",
    ],
)
def test_series_follow_numpy(text: str) -> None:
    """The reference hands out numpy arrays; what a rule can see of that is the same here."""
    facts = Known()
    bound = bind(text, facts)
    series = {"x": [1, 2, 3], "one": [1], "s": ["rain", "sun"], "flag": [True], "huge": [9007199254740993]}
    for name, values in series.items():
        measure(facts, name, *values)
    assert bound.evaluate(NOW) is TRUE


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("sum(v('f')) == 0.6", "false"),
        ("sum(v('f')) > 0.6", "true"),
        ("avg(v('f')) == 0.2", "false"),
        ("0.6 < sum(v('f'))", "true"),
        ("sum(v('f')) == 0.1 + 0.2 + 0.3", "true"),
        ("sum(v('big')) > 0.5", "true"),
    ],
)
def test_close_sums_are_added_as_python_adds(text: str, word: str) -> None:
    """Windows keep exact sums; where the last digit decides, the order of addition is the reference's."""
    found = verdict(text, f=[0.1, 0.2, 0.3], big=[1e16, 1.0, -1e16])
    assert found.word == word


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("count(v('none', since='-1m')) == 0", "unknown"),
        ("count(v('x', since='-10s')) == 3", "true"),
        ("count(v('x', since='-1h')) == 3", "true"),
        ("count(v('x', since='-1h') > 5) == 0", "unknown"),
        ("count(v('x', since='-10s') > 5) == 0", "true"),
        ("count(v('x', since='-1h') > 1) >= 2", "true"),
        ("count(v('none', since='-10s')) == 0", "true"),
        ("count(v('none', since='-10s') * 2) == 0", "true"),
        ("count([x for x in v('none', since='-10s')]) == 0", "true"),
        ("count(v('none', since='-10s') > 5) == 0", "true"),
        ("len(v('none', since='-10s')) == 0", "unknown"),
        ("sum(v('none', since='-10s') > 5) == 0", "unknown"),
        ("count([1, 2]) == 2 and count(range(3)) == 3", "true"),
    ],
)
def test_absence_is_known_only_of_what_has_been_observed(text: str, word: str) -> None:
    """Shortly after a start, nothing seen does not mean that nothing happened."""
    facts = Known(history=False)
    start = NOW - 20 * 10**9
    bound = bind(text, facts, start)
    measure(facts, "x", 1, 2, 3)
    assert bound.evaluate(NOW).word == word


def test_reboot_is_unknown_where_no_boot_is_known() -> None:
    """`eval` has no node that could have booted."""
    assert evaluate_text("cronjob('p', '@reboot')", [], NOW) == ("unknown", "no boot of a node is known here")
