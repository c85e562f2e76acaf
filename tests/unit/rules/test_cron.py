"""Fire times: croniter's patterns, and the days on which clocks are changed."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from edgesched.core.rules import next_fire
from edgesched.core.rules.cron import CronError, Trigger, fires_every_second, slot_key
from tests.unit.rules.facts import S, ns


def fires(expr: str, tz: str, start: str, end: str) -> list[str]:
    """Local fire times in [start, end), with their offset; each is also the latest at its own time."""
    trigger, at, found = Trigger(expr, tz), ns(start) - 1, []
    while (fire := trigger.next_after(at)) is not None and fire < ns(end):
        assert Trigger(expr, tz).latest(fire) == fire
        assert Trigger(expr, tz).latest(fire + S // 2) == fire
        assert Trigger(expr, tz).latest(fire - 1) != fire
        found.append(datetime.fromtimestamp(fire // S, ZoneInfo(tz or "UTC")).strftime("%d %H:%M%z"))
        at = fire
    return found


CHICAGO_SPRING = ("America/Chicago", "2023-03-12T06:45:00Z", "2023-03-12T10:15:00Z")
CHICAGO_AUTUMN = ("America/Chicago", "2023-11-05T05:45:00Z", "2023-11-05T08:15:00Z")
RIGA_SPRING = ("Europe/Riga", "2023-03-25T23:45:00Z", "2023-03-26T02:15:00Z")
RIGA_AUTUMN = ("Europe/Riga", "2023-10-28T22:45:00Z", "2023-10-29T02:15:00Z")


@pytest.mark.parametrize(
    ("expr", "span", "expected"),
    [
        # 02:00-03:00 is left out
        ("30 2 * * *", CHICAGO_SPRING, ["12 03:00-0500"]),
        ("0,15,30 2 * * *", CHICAGO_SPRING, ["12 03:00-0500"]),
        ("*/30 2 * * *", CHICAGO_SPRING, ["12 03:00-0500"]),
        ("0 3 * * *", CHICAGO_SPRING, ["12 03:00-0500"]),
        ("30 2,3 * * *", CHICAGO_SPRING, ["12 03:00-0500", "12 03:30-0500"]),
        ("30 * * * *", CHICAGO_SPRING, ["12 01:30-0600", "12 03:30-0500", "12 04:30-0500"]),
        ("0 * * * *", CHICAGO_SPRING, ["12 01:00-0600", "12 03:00-0500", "12 04:00-0500", "12 05:00-0500"]),
        ("0 */2 * * *", CHICAGO_SPRING, ["12 03:00-0500", "12 04:00-0500"]),
        ("30 2 13 * *", CHICAGO_SPRING, []),
        # 01:00-02:00 comes twice
        ("30 1 * * *", CHICAGO_AUTUMN, ["05 01:30-0500"]),
        ("0,30 1 * * *", CHICAGO_AUTUMN, ["05 01:00-0500", "05 01:30-0500"]),
        ("*/30 1 * * *", CHICAGO_AUTUMN, ["05 01:00-0500", "05 01:30-0500", "05 01:00-0600", "05 01:30-0600"]),
        ("30 * * * *", CHICAGO_AUTUMN, ["05 01:30-0500", "05 01:30-0600"]),
        ("@hourly", CHICAGO_AUTUMN, ["05 01:00-0500", "05 01:00-0600", "05 02:00-0600"]),
        ("0 1,2 * * *", CHICAGO_AUTUMN, ["05 01:00-0500", "05 02:00-0600"]),
        # 03:00-04:00 is left out, then comes twice
        ("30 3 * * *", RIGA_SPRING, ["26 04:00+0300"]),
        ("30 * * * *", RIGA_SPRING, ["26 02:30+0200", "26 04:30+0300"]),
        ("30 3 * * *", RIGA_AUTUMN, ["29 03:30+0300"]),
        ("30 * * * *", RIGA_AUTUMN, ["29 02:30+0300", "29 03:30+0300", "29 03:30+0200"]),
        ("0 0 * * *", ("", "2023-03-26T00:00:00Z", "2023-03-28T00:00:00Z"), ["26 00:00+0000", "27 00:00+0000"]),
    ],
)
def test_days_on_which_clocks_are_changed(expr: str, span: tuple[str, str, str], expected: list[str]) -> None:
    """A left-out time fires once, at the jump; a fixed time that comes twice fires once, the others in each hour."""
    assert fires(expr, *span) == expected


def test_a_year_of_daily_fires_has_one_a_day() -> None:
    """No day is lost and none is doubled, whatever the clock does."""
    for tz in ("America/Chicago", "Europe/Riga", "Australia/Lord_Howe"):
        for expr in ("30 2 * * *", "30 1 * * *", "15 2,14 * * *"):
            trigger, at, count = Trigger(expr, tz), ns("2023-01-01T12:00:00Z"), 0
            while (fire := trigger.next_after(at)) is not None and fire <= ns("2024-01-01T12:00:00Z"):
                at, count = fire, count + 1
            assert count == 365 * (2 if "," in expr else 1), (tz, expr)


@pytest.mark.parametrize(
    ("expr", "now", "latest", "following"),
    [
        ("*/5 * * * *", "2023-03-15T10:20:00Z", "2023-03-15T10:20:00Z", "2023-03-15T10:25:00Z"),
        ("* * * * * */15", "2023-03-15T10:20:31Z", "2023-03-15T10:20:30Z", "2023-03-15T10:20:45Z"),
        ("0 0 29 2 *", "2023-03-15T10:20:00Z", "2020-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("0 0 L * *", "2024-02-28T10:20:00Z", "2024-01-31T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("0 0 * * L5", "2023-03-15T10:20:00Z", "2023-02-24T00:00:00Z", "2023-03-31T00:00:00Z"),
        ("0 0 13 * 5", "2023-01-10T00:00:01Z", "2023-01-06T00:00:00Z", "2023-01-13T00:00:00Z"),
        ("0 22-2 * * *", "2023-03-15T10:20:00Z", "2023-03-15T02:00:00Z", "2023-03-15T22:00:00Z"),
        ("@weekly", "2023-03-15T10:20:00Z", "2023-03-12T00:00:00Z", "2023-03-19T00:00:00Z"),
    ],
)
def test_latest_and_next(expr: str, now: str, latest: str, following: str) -> None:
    """A slot begins at its time, inclusive; the next one comes after it."""
    trigger = Trigger(expr)
    assert trigger.latest(ns(now)) == ns(latest)
    assert trigger.next_after(ns(now)) == ns(following)
    assert trigger.next_after(ns(now)) == next_fire(expr, ns(now))


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    """A clock may be set back, and one trigger serves many rules."""
    shared = Trigger("*/7 3-5 * * *", "America/Chicago")
    times = [ns("2023-11-05T00:00:00Z") + n * 1117 * S for n in (5, 3, 9, 9, 2, 40, 7, 0, 6, 80, 30)]
    for at in times:
        fresh = Trigger("*/7 3-5 * * *", "America/Chicago")
        assert (shared.latest(at), shared.next_after(at)) == (fresh.latest(at), fresh.next_after(at))


def test_slot_keys_do_not_depend_on_blanks() -> None:
    """An edit that only moves blanks must not open a used slot again."""
    assert slot_key(" */5  * * * *", "") == "*/5 * * * *"
    assert slot_key("0 6 * * *", "Europe/Riga") == "0 6 * * * tz=Europe/Riga"
    key = slot_key("0 6 * * *", "Europe/Riga")
    assert next_fire(key, ns("2023-03-15T00:00:00Z")) == ns("2023-03-15T04:00:00Z")
    assert next_fire("@reboot", 0) is None


@pytest.mark.parametrize("expr", ["* * * * * *", "*/2 * * * * *", "* * * * * */5"])
def test_patterns_of_seconds_are_noticed(expr: str) -> None:
    """Six asterisks are nearly always one too many."""
    assert fires_every_second(expr)
    assert not fires_every_second("* * * * *")
    assert not fires_every_second("* * * * * 0")


@pytest.mark.parametrize("expr", ["", "*", "a b c d e", "60 * * * *", "* * * * 8", "1,,2 * * * *", "* * * * 5#6"])
def test_what_is_no_pattern_is_refused(expr: str) -> None:
    """The message says what is wrong, in one line."""
    with pytest.raises(CronError) as caught:
        Trigger(expr)
    assert caught.value.message
    assert "\n" not in caught.value.message
