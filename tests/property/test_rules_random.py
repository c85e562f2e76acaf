"""Random conditions: printing, Python's own answer, and what time and the order of arrival may change."""

import math
import warnings
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgesched.core.model import SECOND_NS, Measurement, Site
from edgesched.core.rules import Verdict, ast, compile_condition, evaluate_text, parser, printer
from edgesched.core.windows import WindowStore
from tests.property.rule_trees import python_texts, trees

START_NS = 1_678_875_630 * SECOND_NS
PYTHON = {
    function.__name__: function
    for function in (abs, all, any, bool, enumerate, float, int, len, list, max, min, pow, range, reversed, round)
} | {function.__name__: function for function in (sorted, str, sum, tuple, zip)}


@settings(max_examples=300, deadline=None)
@given(trees())
def test_a_printed_tree_is_read_as_the_same_tree(tree: ast.Node) -> None:
    """Brackets stand where precedence needs them, literals keep their kind, and nothing else changes."""
    assert repr(parser.parse(printer.to_text(tree))) == repr(tree)


def python_says(text: str) -> Any:
    """Python's value, or the exception that it raises."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return eval(text, {"__builtins__": PYTHON})
    except Exception as error:  # noqa: BLE001 - whatever Python says
        return error


def is_beyond(value: Any) -> bool:
    """Whether a value is none of the language, or an integer that it bounds."""
    return isinstance(value, complex) or (isinstance(value, int) and abs(value) > 1 << 1000)


@settings(max_examples=500, deadline=None)
@given(python_texts())
def test_python_gives_the_same_answer(text: str) -> None:
    """Precedence, chains, short circuits, slices, conversions and errors are Python's."""
    value = python_says(text)
    assume(not is_beyond(value) and "complex" not in str(value))
    expected = str(value).lower() if isinstance(value, bool) else "error"
    assert evaluate_text(text, [], START_NS)[0] == expected


class Facts:
    """Facts that do not change but for the measurements."""

    def __init__(self) -> None:
        self.windows = WindowStore.with_history()
        self.site = Site(41.9, -87.6)

    def last_run(self, plugin: str) -> int | None:
        """Some plugins ran shortly before, or at, the start."""
        return {"p": START_NS - 20 * SECOND_NS, "q": START_NS - 1}.get(plugin)

    def slot_claimed(self, expr: str, fire_ns: int) -> bool:
        """Every third slot."""
        return fire_ns // (60 * SECOND_NS) % 3 == 0


ATOMS = [
    "any(v('a') > 2)",
    "all(v('a', since='-20s') > 0)",
    "avg(v('a', since='-30s')) > 2",
    "sum(v('a')) == 3",
    "count(v('a', since='-10s')) == 0",
    "count(v('a', since='-40s') > 2) > 1",
    "max([x * 2 for x in v('a')]) > 4",
    "len(v('a')) > 2",
    "1 / (time('second') - 40) > 0",
    "time('second') % 7 == 3",
    "time('minute', tz='Europe/Riga') == 21",
    "cronjob('q', '* * * * *')",
    "cronjob('p', '*/2 * * * * 30', tz='America/Chicago')",
    "after('p', since=60)",
    "after('q', since=time('second'))",
    "any(rate('a', since='-30s', window='10s') > 0.1)",
    "v('a')[0] > 1",
    "daylight()",
    "True",
    "False",
]


def conditions() -> st.SearchStrategy[str]:
    """Conditions of two to four clauses."""
    return st.recursive(
        st.sampled_from(ATOMS),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join).map("({})".format),
            inner.map("not ({})".format),
            st.tuples(inner, inner, inner).map(lambda three: "({} if {} else {})".format(*three)),
            st.tuples(inner, inner).map(lambda two: "any([{}, {}])".format(*two)),
        ),
        max_leaves=4,
    )


MEASUREMENTS = st.lists(
    st.tuples(st.integers(-70, 20), st.integers(0, 4), st.sampled_from("xy")), max_size=12, unique_by=lambda m: m[::2]
)


def measured(found: list[tuple[int, int, str]]) -> list[Measurement]:
    """Measurements from seconds after the start, values and series."""
    return [Measurement("a", START_NS + at * SECOND_NS, value, {"s": series}) for at, value, series in found]


def said(verdict: Verdict) -> tuple[str, bool]:
    """What counts of a verdict; the text of a reason may tell more as time passes."""
    return verdict.word, verdict.error


@settings(max_examples=200, deadline=None)
@given(conditions(), MEASUREMENTS, st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_no_verdict_changes_before_the_next_change(text: str, found: list[Any], steps: list[float]) -> None:
    """A deadline that is later than a change of the verdict would leave a rule asleep."""
    facts = Facts()
    bound = compile_condition(text).bind(facts, START_NS)
    for measurement in measured(found):
        facts.windows.append(measurement, START_NS)
    now = START_NS
    for _ in range(12):
        verdict = said(bound.evaluate(now))
        change = bound.next_change(now)
        assert change is None or change > now
        until = min(change if change is not None else math.inf, now + 120 * SECOND_NS)
        for at in sorted({now + int((until - 1 - now) * step) for step in [*steps, 1.0]}):
            assert said(bound.evaluate(at)) == verdict, (text, at - START_NS)
        if change is None:
            break
        now = change


@settings(max_examples=150, deadline=None)
@given(conditions(), MEASUREMENTS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_count(text: str, found: list[Any], rng: Any) -> None:
    """Two nodes, or one before and after a restart, come to the same verdict."""
    verdicts = []
    for order in (measured(found), rng.sample(measured(found), len(found))):
        facts = Facts()
        bound = compile_condition(text).bind(facts, START_NS)
        for measurement in order:
            facts.windows.append(measurement, START_NS)
        verdicts.append(bound.evaluate(START_NS + 5 * SECOND_NS))
    assert verdicts[0] == verdicts[1]
