"""Bound conditions: slots, runs, the sun, what changes when, and what `explain` shows."""

import pytest

from edgesched.core.model import HOUR_NS, MINUTE_NS, Measurement, Site
from edgesched.core.rules import FALSE, TRUE, compile_condition
from tests.unit.rules.facts import NOW, Known, S, bind, measure, ns

FIRE = ns("2023-03-15T10:20:00Z")


def test_a_slot_is_open_for_its_grace() -> None:
    """From the fire time, inclusive, to the end of the grace, exclusive."""
    bound = bind("cronjob('p', '*/10 * * * *')", Known())
    assert bound.evaluate(FIRE - 1) is FALSE
    assert bound.evaluate(FIRE) is TRUE
    assert bound.evaluate(FIRE + MINUTE_NS - 1) is TRUE
    assert bound.evaluate(FIRE + MINUTE_NS) is FALSE
    assert bound.open_slots(FIRE - 1) == []
    assert bound.open_slots(FIRE) == [("*/10 * * * *", FIRE)]


def test_the_grace_of_a_rule_counts() -> None:
    """`grace=` reaches the compiler; a newer slot replaces an older one that is still open."""
    bound = compile_condition("cronjob('p', '*/10 * * * *')", grace_ns=HOUR_NS).bind(Known(), NOW)
    assert bound.evaluate(FIRE + 9 * MINUTE_NS) is TRUE
    assert bound.open_slots(FIRE + 11 * MINUTE_NS) == [("*/10 * * * *", FIRE + 10 * MINUTE_NS)]


@pytest.mark.parametrize(
    ("ran", "word"), [(FIRE - 1, "true"), (FIRE, "false"), (FIRE + 5 * S, "false"), (None, "true")]
)
def test_only_a_run_at_or_after_the_fire_time_answers_a_slot(ran: int | None, word: str) -> None:
    """A run 40 s before the slot opened has nothing to do with it."""
    facts = Known()
    if ran is not None:
        facts.runs["p"] = ran
    assert bind("cronjob('p', '*/10 * * * *')", facts).evaluate(NOW).word == word


def test_a_claimed_slot_is_closed_for_its_expression_and_zone() -> None:
    """The ledger key holds the expression with its zone."""
    facts = Known()
    facts.claimed.add(("*/10 * * * *", FIRE))
    plain = bind("cronjob('p', '*/10  * * * *')", facts)
    zoned = bind("cronjob('p', '*/10 * * * *', tz='Europe/Riga')", facts)
    assert plain.evaluate(NOW) is FALSE
    assert plain.open_slots(NOW) == []
    assert zoned.open_slots(NOW) == [("*/10 * * * * tz=Europe/Riga", FIRE)]


def test_slots_that_were_passed_over_are_open_too() -> None:
    """When a rule fires it claims them all, also what short-circuited or `not` passed over."""
    text = "True or cronjob('p', '*/10 * * * *') or not cronjob('q', '20 * * * *') or cronjob('p', '0 * * * *')"
    bound = bind(text, Known())
    assert bound.open_slots(NOW) == [("*/10 * * * *", FIRE), ("20 * * * *", FIRE)]
    assert bound.latest_slots(NOW)[2] == ("0 * * * *", ns("2023-03-15T10:00:00Z"))


def test_reboot() -> None:
    """Open while the facts know of a boot that is not answered; it has no end of grace."""
    facts = Known()
    bound = bind("cronjob('p', '@reboot')", facts)
    assert bound.evaluate(NOW) is FALSE
    facts.boot = NOW - 100 * HOUR_NS
    assert bound.evaluate(NOW) is TRUE
    assert bound.open_slots(NOW) == [("@reboot", facts.boot)]
    facts.claimed.add(("@reboot", facts.boot))
    assert bound.evaluate(NOW) is FALSE
    assert bound.next_change(NOW) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("after('p')", "true"),
        ("after('never')", "false"),
        ("after('p', since=30)", "false"),
        ("after('p', since=29.999)", "true"),
        ("after('p', 29)", "true"),
        ("after('p', since=-5)", "true"),
        ("after('p', since=60 / 3)", "true"),
        ("after('p', since='q')", "true"),
        ("after('q', since='p')", "false"),
        ("after('p', since='p')", "false"),
        ("after('p', since='never')", "true"),
        ("after('never', since='p')", "false"),
        ("after('p', since=1e999)", "false"),
        ("after('p', since=1e999 - 1e999)", "false"),
        ("after('p', since=1 / 0)", "error"),
        ("after('p', since=avg(v('none')))", "unknown"),
    ],
)
def test_after(text: str, word: str) -> None:
    """The last run counts over the whole record; `since` is a plugin or a number of seconds."""
    facts = Known()
    facts.runs = {"p": NOW - 30 * S, "q": NOW - 40 * S}
    assert bind(text, facts).evaluate(NOW).word == word


def test_the_sun() -> None:
    """Chicago in March: sunrise at 12:02 UTC, 07:02 by the wall clock, sunset at 23:57 UTC."""
    facts = Known(site=Site(41.88, -87.63))
    noon, night = ns("2023-03-15T18:00:00Z"), ns("2023-03-15T06:00:00Z")
    light = bind("daylight()", facts)
    assert light.evaluate(noon) is TRUE
    assert light.evaluate(night) is FALSE
    assert abs(light.next_change(noon) - ns("2023-03-15T23:56:45Z")) < 2 * MINUTE_NS
    assert bind("12 < sunrise() < 12.1 and 23.9 < sunset() < 24", facts).evaluate(noon) is TRUE
    local = "7 < sunrise(tz='America/Chicago') < 7.1 and 18.9 < sunset(tz='America/Chicago') < 19"
    assert bind(local, facts).evaluate(noon) is TRUE


def test_a_polar_night_has_no_sunrise() -> None:
    """There is an answer to whether it is day, and none to when the sun rises."""
    facts = Known(site=Site(78.2, 15.6))
    winter, summer = ns("2023-12-21T12:00:00Z"), ns("2023-06-21T00:00:00Z")
    assert bind("daylight()", facts).evaluate(winter) is FALSE
    assert bind("daylight()", facts).evaluate(summer) is TRUE
    found = bind("sunrise() < 12", facts).evaluate(winter)
    assert (found.word, found.reason) == ("unknown", "the sun does not rise at the node today")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 < 2", None),
        ("time('hour') >= 6", "2023-03-15T11:00:00Z"),
        ("time('minute') % 15 == 0", "2023-03-15T10:21:00Z"),
        ("time('second') == 3", "2023-03-15T10:20:31Z"),
        ("time('day') == 3", "2023-03-16T00:00:00Z"),
        ("time('hour', tz='Asia/Kathmandu') == 3", "2023-03-15T11:15:00Z"),
        ("time('month') == 4 or time('hour') > 12", "2023-03-15T11:00:00Z"),
        ("cronjob('p', '*/10 * * * *')", "2023-03-15T10:21:00Z"),
        ("cronjob('p', '0 * * * *')", "2023-03-15T11:00:00Z"),
        ("cronjob('p', '0 * * * *') and any(v('x') > 1)", "2023-03-15T11:00:00Z"),
        ("any(v('x') > 1) and cronjob('p', '0 * * * *')", "2023-03-15T11:00:00Z"),
        ("cronjob('p', '*/10 * * * *') or time('second') > 5", "2023-03-15T10:21:00Z"),
        ("not cronjob('p', '0 * * * *')", "2023-03-15T11:00:00Z"),
        ("False and time('second') > 5", None),
        ("time('second') > 5 if cronjob('p', '0 * * * *') else False", "2023-03-15T11:00:00Z"),
        ("after('q', since=120)", "2023-03-15T10:22:00.000001Z"),
        ("after('q', since=10)", None),
        ("after('never', since=10)", None),
    ],
)
def test_when_a_verdict_can_change_next(text: str, expected: str | None) -> None:
    """Nothing arrives; only what decides counts, so a rule whose slot is closed sleeps until the next one."""
    facts = Known()
    facts.runs["q"] = NOW - 30 * S
    bound = bind(text, facts)
    measure(facts, "x", 1, 2, 3)
    at = bound.next_change(NOW)
    if expected is None:
        assert at is None
    else:
        assert at is not None
        assert abs(at - ns(expected)) <= 1000


def test_a_window_wakes_its_rules_when_its_content_changes() -> None:
    """The oldest value leaves, and one from the future comes in."""
    facts = Known()
    bound = bind("any(v('x', since='-10s') > 1)", facts)
    assert bound.next_change(NOW) is None
    facts.windows.append(Measurement("x", NOW - 4 * S, 5.0), NOW)
    facts.windows.append(Measurement("x", NOW + 2 * S, 5.0), NOW)
    assert bound.next_change(NOW) == NOW + 2 * S + 1
    assert bound.evaluate(NOW + 6 * S) is TRUE
    assert bound.next_change(NOW + 3 * S) == NOW + 6 * S + 1
    assert bound.evaluate(NOW + 13 * S).word == "unknown"


def test_clauses_show_values_and_cover() -> None:
    """`explain` says what each clause is, from which values, and how much of a window has been seen."""
    facts = Known(history=False)
    start = NOW - 3 * MINUTE_NS
    bound = bind("avg(v('t', since='-1h')) > 30 and any(v('none') > 1) and not cronjob('p', '0 * * * *')", facts, start)
    measure(facts, "t", 31, 32)
    average, missing, cron = bound.clauses(NOW)
    assert (average.text, average.verdict) == ("avg(v('t', since='-1h')) > 30", TRUE)
    assert average.detail == "31.5 > 30; t covers 3m of 1h"
    assert missing.verdict.word == "unknown"
    assert cron.verdict is TRUE
    assert str(missing).startswith("any(v('none') > 1) is unknown: no data for none in the last 1m")
    assert str(average) in bound.explain(NOW)


def test_the_binding_to_the_last_facts_is_kept() -> None:
    """`Condition.evaluate` binds once for the same facts and lets the windows of other facts go."""
    condition = compile_condition("any(v('x') > 1)")
    first, second = Known(), Known()
    condition.evaluate(first, NOW)
    measure(first, "x", 5)
    assert condition.evaluate(first, NOW) is TRUE
    assert condition.evaluate(second, NOW).word == "unknown"
    assert first.windows.names() == frozenset()
    assert second.windows.names() == {"x"}


def test_release_lets_the_windows_go() -> None:
    """A removed goal leaves nothing behind."""
    facts = Known()
    first, second = bind("any(v('x') > 1)", facts), bind("any(v('x') > 2)", facts)
    first.release()
    assert facts.windows.names() == {"x"}
    second.release()
    assert facts.windows.names() == frozenset()


def test_a_clock_that_is_set_back_gives_the_earlier_answer() -> None:
    """What is kept for speed holds for its own stretch of time only."""
    facts = Known()
    bound = bind("time('hour') >= 10 and cronjob('p', '*/10 * * * *') and any(v('x', since='-10s') > 1)", facts)
    measure(facts, "x", 5)
    earlier = ns("2023-03-15T09:20:30Z")
    assert bound.evaluate(NOW) is TRUE
    assert bound.evaluate(earlier) is FALSE
    assert bound.evaluate(NOW + 20 * MINUTE_NS).word == "unknown"
    assert bound.evaluate(NOW) is TRUE
