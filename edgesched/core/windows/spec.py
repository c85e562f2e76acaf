"""What a rule asks of the past, and how much of the past is kept.

Times are ns UTC. A window is the half-open range [now - since_ns, now) of measurement time over all series of `name`
whose meta holds every pair of `meta`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from edgesched.core.model import MINUTE_NS

FOR_EVER: Final = -(1 << 62)
"""`observed_since_ns` of a store that is given a whole history (`eval`, `replay`)."""

Value = Any
"""A sample: float for numbers and booleans, else the JSON value as it came."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """A window as a rule writes it; equal specs share one `Window`.

    `kind`: `v` gives the samples, `rate` the summed non-negative derivatives in bins of `window_ns`, per `unit_ns`.
    `last`: only the newest sample of each series. `meta`: pairs sorted by key.
    """

    name: str
    since_ns: int
    meta: tuple[tuple[str, str], ...] = ()
    kind: Literal["v", "rate"] = "v"
    window_ns: int = 0
    unit_ns: int = 0
    last: bool = False

    def matches(self, meta: Mapping[str, str]) -> bool:
        """Say whether a series with this meta belongs to the window: every pair is there, as strings."""
        return all(meta.get(key) == value for key, value in self.meta)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much garbage a plugin may publish before the store forgets.

    `late_ns`: how much longer than the longest window samples are kept and accepted. `future_ns`: how far ahead of now
    a measurement may be. `gap_ns`: how long a restart may take without windows losing their cover.
    """

    series_per_name: int = 20_000
    series_total: int = 50_000
    samples_per_series: int = 200_000
    late_ns: int = MINUTE_NS
    future_ns: int = 5 * MINUTE_NS
    gap_ns: int = MINUTE_NS


class NotNumericError(TypeError):
    """A numeric aggregate was asked of a window that holds a string or another value that is no number."""
