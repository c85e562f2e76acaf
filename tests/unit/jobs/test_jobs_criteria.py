"""Success criteria in every spelling that real jobs use."""

import pytest

from edgesched.core.jobs import NotEnforced, Runs, Until, UntilTrue, WallClock, parse_criterion
from edgesched.core.model import DAY_NS, HOUR_NS, MINUTE_NS, NS_PER_S


@pytest.mark.parametrize(
    ("text", "length_ns"),
    [
        ("WallClock(1d)", DAY_NS),
        ("WallClock('1day')", DAY_NS),
        ('WallClock("30day")', 30 * DAY_NS),
        ("Walltime(1day)", DAY_NS),
        ("wallclock( 2 days )", 2 * DAY_NS),
        ("24h", 24 * HOUR_NS),
        ("'7d'", 7 * DAY_NS),
        ("'7day'", 7 * DAY_NS),
        ("30 minutes", 30 * MINUTE_NS),
        ("WallClock(1d12h)", 36 * HOUR_NS),
        ("WallClock(1.5h)", 90 * MINUTE_NS),
        ("WallClock(2w)", 14 * DAY_NS),
        ("WallClock(90s)", 90 * NS_PER_S),
    ],
)
def test_lengths_of_time(text: str, length_ns: int) -> None:
    """Each spelling of a length ends the job after that length."""
    assert parse_criterion(text) == WallClock(length_ns)


@pytest.mark.parametrize("text", ["Runs(bird-song, 100)", "Runs('bird-song', 100)", 'runs("bird-song", n=100)'])
def test_runs(text: str) -> None:
    """A number of completed runs of a plugin, quoted or not."""
    assert parse_criterion(text) == Runs("bird-song", 100)


@pytest.mark.parametrize(
    ("text", "ts_s"),
    [
        ("Until(2026-12-01)", 1796083200),
        ("Until('2026-12-01T12:00:00Z')", 1796083200 + 43200),
        ("Until(2026-12-01 12:00)", 1796083200 + 43200),
        ("Until(2026-12-01T12:00:00+02:00)", 1796083200 + 36000),
    ],
)
def test_until_a_time(text: str, ts_s: int) -> None:
    """A date is its first moment, a time without a zone is UTC."""
    assert parse_criterion(text) == Until(ts_s * NS_PER_S)


def test_until_a_condition_keeps_where_it_begins() -> None:
    """The offset places errors of the condition in the criterion."""
    text = "Until( avg(v('env.temperature')) > 40 )"
    criterion = parse_criterion(text)
    assert criterion == UntilTrue("avg(v('env.temperature')) > 40", 7)
    assert text[7:].startswith("avg")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Repeat(3)", "Repeat() is no success criterion"),
        ("env.system.time.year > 2021", "is no success criterion"),
        ("WallClock(5)", "5 has no unit"),
        ("WallClock(0d)", "no length of time"),
        ("WallClock(3 fortnights)", "no length of time"),
        ("WallClock(999999999w)", "no length of time"),
        ("Runs(100)", "a plugin's name and a number"),
        ("Runs(p, 0)", "a plugin's name and a number"),
        ("Until(2026-13-45)", "no date"),
        ("Until()", "a date or a condition"),
        ("", "empty"),
        ("x" * 5000, "5,000 characters"),
    ],
)
def test_what_cannot_be_enforced_says_why(text: str, words: str) -> None:
    """An unknown criterion never ends a job and has a reason to show."""
    criterion = parse_criterion(text)
    assert isinstance(criterion, NotEnforced)
    assert words in criterion.reason
