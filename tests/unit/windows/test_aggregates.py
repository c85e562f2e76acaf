"""The parts that windows are made of, at sizes that property tests do not reach."""

from __future__ import annotations

import math
import random
from fractions import Fraction

from edgesched.core.windows.aggregates import Extreme, Ranked
from edgesched.core.windows.sums import ExactSum, Moments


def test_a_sum_forgets_what_left() -> None:
    """After a thousand values of all sizes came and went, a tenth is a tenth."""
    random_ = random.Random(7)
    values = [random_.uniform(-1, 1) * 10.0 ** random_.randint(-300, 300) for _ in range(1000)]
    total = ExactSum()
    for x in (*values, 0.1):
        total.add(x)
    assert total.over(3) == float(sum(map(Fraction, (*values, 0.1))) / 3)
    random_.shuffle(values)
    for x in values:
        total.remove(x)
    assert total.over(1) == 0.1


def test_a_sum_beyond_floats_is_infinite_and_comes_back() -> None:
    """Overflow is a property of the answer, not of the state."""
    total = ExactSum()
    for _ in range(3):
        total.add(-1.7e308)
    assert total.over(1) == -math.inf
    assert total.over(3) == -1.7e308
    total.remove(-1.7e308)
    total.remove(-1.7e308)
    assert total.over(1) == -1.7e308


def test_stddev_has_no_cancellation() -> None:
    """A small spread around a large value is found exactly."""
    moments = Moments()
    for x in (1e15, 1e15 + 1, 1e15 + 2):
        moments.add(x)
    assert moments.stddev(3) == 1.0
    tiny, huge = Moments(), Moments()
    for sign in (1, -1):
        tiny.add(sign * 1e-200)
        huge.add(sign * 1e300)
    assert math.isclose(tiny.stddev(2), math.sqrt(2) * 1e-200)
    assert math.isclose(huge.stddev(2), math.sqrt(2) * 1e300)


def test_ranks_in_a_large_window() -> None:
    """Order is kept over chunks that are split and emptied."""
    random_ = random.Random(7)
    ranked, values = Ranked(), []
    for n in range(12_000):
        x = float(random_.randint(0, 500)) if n % 3 else random_.random()
        ranked.add(x)
        values.append(x)
        if n % 2 and n > 4000:
            ranked.remove(values.pop(random_.randrange(len(values))))
    values.sort()
    n = len(values)
    assert [ranked.at(rank) for rank in range(0, n, 97)] == values[::97]
    assert ranked.extreme(n, -1) == values[0]
    assert ranked.extreme(n, 1) == values[-1]
    for x in values:
        ranked.remove(x)
    ranked.add(3.0)
    assert ranked.median(1) == 3.0


def test_an_extreme_that_nobody_reads_stays_small() -> None:
    """Rising values all could be the minimum one day; those whose time is over go also when nobody asks."""
    extreme = Extreme(-1, since_ns=100)
    for ts in range(100_000):
        extreme.push(ts, float(ts))
    assert len(extreme._times) < 1000
    assert extreme.read(99_950) == 99_950.0
