"""How long to wait before trying again: exponential with jitter.

Without jitter a thousand nodes that lost one cloud come back in the same second. What the peer asked for
(`Retry-After`) is a lower bound.
"""

from __future__ import annotations

import random


def backoff_s(failures: int, *, first_s: float, longest_s: float, asked_s: float | None = None) -> float:
    """Return the pause in seconds after `failures` (from 1) failures in a row: half fixed, half random."""
    whole_s = min(longest_s, first_s * 2.0 ** min(failures - 1, 30))
    pause_s = whole_s * random.uniform(0.5, 1.0)
    return pause_s if asked_s is None else max(pause_s, min(asked_s, 10 * longest_s))
