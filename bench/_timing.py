"""Timing that stands noise: CPU time, contestants in turn, medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Contestant = Callable[[int], object]
"""Does its work so many times."""


def cpu_s_each(
    contestants: Mapping[str, tuple[Contestant, int]], rounds: int = 7, before: Contestant = abs
) -> dict[str, float]:
    """Median CPU seconds of one piece of work; `contestants`: name -> (work, times a round), run A B C A B C.

    `before` each of them is free.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (work, times) in contestants.items():
            before(times)
            start = time.process_time()
            work(times)
            taken[name].append((time.process_time() - start) / times)
    return {name: statistics.median(found) for name, found in taken.items()}


def median_ratio(
    a: Contestant, b: Contestant, times: int, rounds: int = 15, before: Contestant = abs
) -> tuple[float, float, float]:
    """Median CPU seconds of one `a`, of one `b`, and the median of the rounds' a / b. `before` each round is free."""
    as_, bs, ratios = [], [], []
    for _ in range(rounds):
        before(times)
        start = time.process_time()
        a(times)
        middle = time.process_time()
        b(times)
        end = time.process_time()
        as_.append((middle - start) / times)
        bs.append((end - middle) / times)
        ratios.append((middle - start) / (end - middle))
    return statistics.median(as_), statistics.median(bs), statistics.median(ratios)


def bare_loop_s() -> float:
    """Return the CPU seconds of a bare loop in this thread: beside a busy neighbour everything takes twice as long."""
    start_s = time.thread_time()
    sum(number * number for number in range(100_000))
    return time.thread_time() - start_s
