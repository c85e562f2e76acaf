"""The ledger is a set of fire times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgesched.core.model import DAY_NS
from edgesched.core.plan.ledger import Ledger, SlotKey

KEY = SlotKey("7", "p", "* * * * *")


@given(st.lists(st.integers(0, 300)), st.lists(st.integers(0, 300)))
def test_it_is_a_set(claims: list[int], questions: list[int]) -> None:
    """Whatever the order of claims, a time is claimed when it was claimed and only then."""
    ledger = Ledger()
    for time in claims:
        ledger.claim(KEY, time)
    assert [ledger.is_claimed(KEY, time) for time in questions] == [time in claims for time in questions]
    assert sorted(time for _, time in ledger.fresh) == sorted(set(claims))


def test_eight_days_are_kept() -> None:
    """A week's slots are known, those of a fortnight ago are gone."""
    ledger = Ledger()
    for minute in range(14 * 1440):
        ledger.claim(KEY, minute * 60 * 10**9)
    assert not ledger.is_claimed(KEY, 0)
    assert ledger.is_claimed(KEY, 7 * DAY_NS)
    assert len(ledger.claimed[KEY]) < 8.2 * 1440


def test_a_clock_that_comes_back_drops_what_is_far_ahead() -> None:
    """A year ahead was nonsense; an hour ahead may be right."""
    ledger = Ledger()
    for time in (DAY_NS, DAY_NS + 3600 * 10**9, 400 * DAY_NS):
        ledger.claim(KEY, time)
    assert ledger.forget_future(DAY_NS) == 1
    assert ledger.is_claimed(KEY, DAY_NS + 3600 * 10**9)
    assert not ledger.is_claimed(KEY, 400 * DAY_NS)


def test_series_of_removed_jobs_go_in_time() -> None:
    """A series not claimed for eight days is dropped; a reboot slot stays as long as its boot may."""
    ledger = Ledger()
    boot = SlotKey("7", "p", "@reboot")
    ledger.claim(KEY, DAY_NS)
    ledger.claim(boot, DAY_NS)
    ledger.forget_old(10 * DAY_NS)
    assert list(ledger.claimed) == [boot]
