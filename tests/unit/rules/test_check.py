"""The check: names, arguments, literals and kinds; what refuses a condition and what is only odd."""

import pytest

from edgesched.core.rules import check_rule, compile_condition
from edgesched.errors import RuleTypeError


@pytest.mark.parametrize(
    ("text", "message", "hint", "column"),
    [
        ("undefined > 1", "no name undefined", "", 1),
        ("true", "no name true", "write True", 1),
        ("False and nothing", "no name nothing", "", 11),
        ("averag([1]) > 1", "no function averag", "avg", 1),
        ("mean([1]) > 1", "no function mean", "write avg", 1),
        ("V('a') > 1", "no function V", "did you mean v?", 1),
        ("sys.time.hour > 1", "no name sys.time.hour", "v('sys.time.hour')", 9),
        ("a.b() > 1", "no name a.b", "v('a.b')", 2),
        ("avg > 1", "avg is a function", "avg(values)", 1),
        ("v.__globals__ is None", "v is a function", "", 1),
        ("[f() for f in [1]]", "f is no function", "", 2),
        ("[1][0]() == 1", "only functions can be called", "", 4),
        ("v('a').mena() > 1", "no attribute mena", ".mean()", 7),
        ("v('a').mean > 1", "no attribute mean", "call it", 7),
        ("v('a').size() > 1", "no attribute size", "", 7),
        ("v('a').sum(0) > 1", "takes no arguments", "", 7),
        ("'a'.upper() == 'A'", "a text has no attribute upper", "", 4),
        ("(1).real == 1", "a number has no attribute real", "", 4),
        ("len() == 0", "lacks the argument x", "len(x)", 1),
        ("len([1], [2]) == 1", "takes 1 argument without", "", 10),
        ("len(x=[1]) == 1", "no argument x", "", 5),
        ("round(1.5, digits=1) == 1", "no argument digits", "ndigits", 12),
        ("round(1.5, 1, ndigits=1) == 1", "given twice", "", 15),
        ("round(1.5, number=1) == 1", "given twice", "", 12),
        ("rate('a', '-5m')[0] > 1", "without a name", "since=", 11),
        ("v('a', '-5m')[0] > 1", "without a name", "write since=", 8),
        ("v() > 1", "lacks the argument name", "", 1),
        ("any(v(n) > 1 for n in ['a'])", "inside a generator expression", "list", 5),
        ("[v(n)[0] for n in ['a']] == [1]", "name must be written out", "", 4),
        ("v(5)[0] > 1", "name must be a text", "quotes", 3),
        ("v('has blank')[0] > 1", "no name of a measurement", "letters", 3),
        ("v('a', since='5m')[0] > 1", "lies in the future", "'-5m'", 14),
        ("v('a', since='-5M')[0] > 1", "small m", "-5m", 14),
        ("v('a', since='-1.5m')[0] > 1", "fraction", "smaller unit", 14),
        ("v('a', since='-60')[0] > 1", "no unit", "60s", 14),
        ("v('a', since=-60)[0] > 1", "since must be a text", "'-60s'", 14),
        ("v('a', since='-0s')[0] > 1", "out of range", "", 14),
        ("v('a', since='-2000d')[0] > 1", "out of range", "", 14),
        ("v('a', since='2023-03-15')[0] > 1", "not a date", "'-5m'", 14),
        ("v('a', channel=3)[0] > 1", "meta values are texts", "channel='3'", 16),
        ("rate('a', window='0s')[0] > 1", "window='0s' is out of range", "", 18),
        ("rate('a', unit='x')[0] > 1", "no length of time", "30s", 16),
        ("time('Hour') > 1", "knows no unit 'Hour'", "did you mean hour?", 6),
        ("time('hour', tz='Europe/Rigga') > 1", "no time zone Europe/Rigga", "Europe/Riga", 17),
        ("time('hour', tz='../../etc/passwd') > 1", "no time zone", "", 17),
        ("time('hour', tz='America') > 1", "no time zone", "", 17),
        ("cronjob('p', '*/5 * * *')", "has 4 fields", "asterisks", 14),
        ("cronjob('p', 'R * * * *')", "R (a random minute)", "fixed", 14),
        ("cronjob('p', 'H * * * *')", "H (a hashed minute)", "fixed", 14),
        ("cronjob('p', '* * * * * 0 2023')", "7 fields", "year", 14),
        ("cronjob('p', '*/90 * * * *')", "step of */90 is beyond the minute", "60", 14),
        ("cronjob('p', '0 0 30 2 *')", "never fires", "day and month", 14),
        ("cronjob('p', '0 0 * * MONDAY')", "no cron expression", "mon", 14),
        ("cronjob('p', '*/{n} * * * *')", "template", "", 14),
        ("cronjob('p', '@every 5m')", "no cron expression", "@hourly", 14),
        ("cronjob('p')", "lacks the argument expr", "", 1),
        ("after('p', 'q', 5)", "takes 2 arguments", "after(name", 17),
        ("'a' + 'b' == 'ab'", "`+` does not take a text", "", 1),
        ("'%s' % 5 == '5'", "`%` does not take a text", "", 1),
        ("[1] * 3 == []", "`*` does not take a list", "", 1),
        ("-None == 1", "`-` does not take None", "", 2),
        ("1 < 'a'", "cannot compare a number with a text", "", 3),
        ("1 in 5", "looks into a list", "", 6),
        ("1 in 'abc'", "looks for a text", "", 1),
        ("(5)[0] == 1", "a number has no items", "", 4),
        ("[1]['a'] == 1", "a text is no index", "", 5),
        ("[1]['a':] == 1", "ends of a slice", "", 5),
        ("abs('a') == 1", "x of abs() must be a number", "", 5),
        ("avg('abc') > 1", "must be a series or a list", "", 5),
        ("v('a') > 3 & v('b') < 2", "does not take measured values", "brackets", 14),
        ("[x for x in 5] == []", "goes through a series or a list", "", 13),
        ("v('a', since='-1m', sensor=x)[0] > 1", "sensor must be written out", "", 28),
        ("[x for x in [1, 2]][0] == 1", "mere copy", "the item itself", 20),
    ],
)
def test_what_cannot_be_is_refused_with_place_and_hint(text: str, message: str, hint: str, column: int) -> None:
    """The author is told before the rule runs, at the right column."""
    with pytest.raises(RuleTypeError) as caught:
        compile_condition(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert (caught.value.line, caught.value.column) == (1, column)


@pytest.mark.parametrize(
    "text", ["True or abs('a')", "False and 'a' + 1", "1 if True else -None", "[x + 'a' for x in []] == []"]
)
def test_a_wrong_kind_that_may_never_be_evaluated_is_no_refusal(text: str) -> None:
    """The reference evaluates such conditions; `check` still calls the kind wrong."""
    compile_condition(text)
    assert any(finding.code == "rule.type" for finding in check_rule(f"schedule(p): {text}"))


@pytest.mark.parametrize(
    ("rule", "severity", "code", "column"),
    [
        ("schedule(p): v('a') > 1 and True", "warning", "rule.truth", 21),
        ("schedule(p): not v('a')", "warning", "rule.truth", 18),
        ("schedule(p): v('a') > 1", "error", "rule.verdict", 21),
        ("schedule(p): avg(v('a'))", "error", "rule.verdict", 14),
        ("schedule(p): 'yes'", "error", "rule.verdict", 14),
        ("schedule(q): True", "error", "rule.plugin", 10),
        ("schedule(): True", "error", "rule.object", 10),
        ("schedule(<plugin>): True", "error", "rule.object", 10),
        ("schedule(p): cronjob('q', '* * * * *')", "warning", "rule.plugin", 14),
        ("schedule(p): after('p', since='q')", "warning", "rule.plugin", 14),
        ("schedule(p): cronjob('p', '* * * * * *')", "warning", "rule.cron", 14),
        ("schedule(p): v('a', sinc='-5m')[0] > 1", "warning", "rule.meta", 21),
        ("schedule(p):", "error", "rule.syntax", 13),
        ("schedule(p): True)", "error", "rule.syntax", 18),
        ("schedule(p, duration=5): True", "error", "rule.parameter", 13),
        ("schedule(p, duration=5x): True", "error", "rule.parameter", 13),
        ("schedule(p, duraton=5m): True", "warning", "rule.parameter", 13),
        ("schedule(p, misfire=always): True", "error", "rule.parameter", 13),
        ("schedule(p, retries=-1): True", "error", "rule.parameter", 13),
        ("schedule(p, grace=0s): True", "error", "rule.parameter", 13),
        ("publish(a, every=0s): True", "error", "rule.parameter", 12),
        ("publish(a, to=cloud): True", "warning", "rule.parameter", 12),
        ("publish(a b): True", "warning", "rule.measurement", 9),
        ("publish(sys.a): True", "error", "rule.measurement", 9),
        ("set(): True", "error", "rule.object", 5),
        ("p: True", "error", "rule.syntax", 1),
    ],
)
def test_findings_about_whole_rules(rule: str, severity: str, code: str, column: int) -> None:
    """`check` finds what is wrong and what is odd, with the place in the text of the rule."""
    found = check_rule(rule, plugins=["p"])
    assert [(f.severity, f.code, f.line, f.column) for f in found] == [(severity, code, 1, column)]


@pytest.mark.parametrize(
    "rule",
    [
        "schedule(p): any(v('a') > 1) and avg(v('b')) < 0",
        "schedule(p, duration=10m, cooldown=0s, hold=2m, misfire=latest, grace=60s, retries=2, priority=-5): True",
        "publish(env.event.rain, value='a', to=beehive, every=10s): daylight()",
        "set(key, value=1): bool(last(v('a')))",
        "schedule(p): cronjob('p', '@reboot') or after('p', since=3600)",
        "schedule(p): [x for x in v('a') if x > avg(v('a'))] != []",
        "schedule(p): True if any(v('a') > 1) else time('hour') in [1, 2]",
        "schedule(p): any((v('a') > 1) & ~(v('a') > 3)) or min(v('b') > 1)",
    ],
)
def test_good_rules_have_no_findings(rule: str) -> None:
    """A warning about a good rule teaches people to ignore warnings."""
    assert check_rule(rule, plugins=["p"]) == []


def test_without_plugins_names_are_not_compared() -> None:
    """A rule can be checked on its own."""
    assert check_rule("schedule(x): cronjob('lock', '* * * * *')") == []


def test_all_faults_show_at_once() -> None:
    """An author does not want to mend one fault a submit; errors come before warnings."""
    found = check_rule(
        "schedule(q, foo=1, duration=x): foo(v('a', since='1m')) and v('b') and time('x')", plugins=["p"]
    )
    assert [f.severity for f in found] == ["error"] * 5 + ["warning"] * 2


def test_needs_name_what_a_condition_depends_on() -> None:
    """The planner stores, wakes and claims by them."""
    needs = compile_condition(
        "any(v('a', s='x') > 1) and cronjob('p', '*/5  * * * *', tz='Europe/Riga') "
        "and after('q', since='r') and time('hour') > 1 and daylight() "
        "and rate('b', since='-1h')[0] > any(v('a', s='x'))"
    ).needs
    assert [(w.name, w.kind, w.meta, w.since_ns) for w in needs.windows] == [
        ("a", "v", (("s", "x"),), 60 * 10**9),
        ("b", "rate", (), 3600 * 10**9),
    ]
    assert [(c.plugin, c.expr, c.tz) for c in needs.crons] == [("p", "*/5 * * * *", "Europe/Riga")]
    assert needs.afters == ("p", "q", "r")
    assert [t.unit for t in needs.times] == ["hour"]
    assert needs.sun
    assert needs.names == {"a", "b"}
