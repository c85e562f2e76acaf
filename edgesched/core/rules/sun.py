"""Sunrise and sunset at a site. The sun's height is that of the library astral (after NOAA, good to a minute or so).

The day is up while the centre of the sun is less than 0.833 degrees below the horizon, which is what almanacs call
sunrise and sunset. The moments are found where the height crosses that line, to the second, rather than asked of
astral by date: that also holds near the date line and the poles, where a date may have no sunrise, or two.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Final

from astral import Observer
from astral.sun import elevation

from edgesched.core.model import DAY_NS, MINUTE_NS, SECOND_NS, Site

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HORIZON_DEG: Final = -0.833
_STEP_NS: Final = 10 * MINUTE_NS
_LOOK_AHEAD_NS: Final = DAY_NS // 2
_LATEST_NS: Final = 250 * 365 * DAY_NS


class Sun:
    """The sun over one site. Repeated questions about one stretch of day or night cost a comparison each."""

    def __init__(self, site: Site) -> None:
        self._observer = Observer(site.latitude, site.longitude)
        self._light = (1, 0, False)
        self._events: tuple[int, int, list[tuple[int, bool]]] = (1, 0, [])

    def is_up(self, now_ns: int) -> bool:
        """Whether it is day."""
        start, end, up = self._light
        if not start <= now_ns < end:
            crossing = self._crossing(now_ns, now_ns + _LOOK_AHEAD_NS)
            up = self._up(now_ns)
            self._light = now_ns, now_ns + _LOOK_AHEAD_NS if crossing is None else crossing, up
        return up

    def next_turn(self, now_ns: int) -> int:
        """When `is_up` may change next: the next sunrise or sunset, within half a day."""
        self.is_up(now_ns)
        return self._light[1]

    def event(self, start_ns: int, end_ns: int, *, rise: bool) -> int | None:
        """The sunrise (or sunset) within [start, end), the first when there are two; None on a day without."""
        if self._events[:2] != (start_ns, end_ns):
            self._events = start_ns, end_ns, self._crossings(start_ns, end_ns)
        return next((at for at, up in self._events[2] if up == rise), None)

    def _crossings(self, start_ns: int, end_ns: int) -> list[tuple[int, bool]]:
        found: list[tuple[int, bool]] = []
        at = self._crossing(start_ns - SECOND_NS, end_ns - SECOND_NS)
        while at is not None:
            found.append((at, self._up(at)))
            at = self._crossing(at, end_ns - SECOND_NS)
        return found

    def _crossing(self, start_ns: int, end_ns: int) -> int | None:
        """The first whole second in (start, end] at which it is day if it was night, or the other way round."""
        up = self._up(start_ns)
        before = start_ns
        while before < end_ns:
            after = min(before + _STEP_NS, end_ns)
            if self._up(after) != up:
                low, high = before // SECOND_NS, -(-after // SECOND_NS)
                while high - low > 1:
                    middle = (low + high) // 2
                    if self._up(middle * SECOND_NS) == up:
                        low = middle
                    else:
                        high = middle
                return high * SECOND_NS
            before = after
        return None

    def _up(self, ts_ns: int) -> bool:
        moment = _EPOCH + timedelta(seconds=max(0, min(ts_ns, _LATEST_NS)) // SECOND_NS)
        return float(elevation(self._observer, moment, with_refraction=False)) > _HORIZON_DEG


@functools.lru_cache(maxsize=64)
def sun(site: Site) -> Sun:
    """The sun over a site, shared."""
    return Sun(site)
