"""What was measured: series, sliding windows and aggregates that are kept up to date per measurement.

A *series* is a measurement name with its full meta. A *window* is [now - since, now) by measurement time over all
series of a name whose meta holds the filter's pairs, compared as strings. `WindowStore.require` makes the window of a
`WindowSpec`, shared by all who ask; `append` takes measurements in; a `Window` answers for any `now_ns`.

**What counts**

- Order of arrival does not matter. A measurement inside the longest window of its name, plus `Limits.late_ns`, is
  accepted however late; an older one is dropped and counted (`late`).
- A measurement at or after now is kept and counts when its time has come; one that is more than `Limits.future_ns`
  ahead is dropped and counted (`future`).
- Of equal (name, time, meta) the last value wins (`replaced`); the same value again changes nothing (`repeated`).
- Numbers and booleans count as floats, an integer beyond their range as infinite. Infinities and NaN are values: a NaN
  makes `sum mean min max median percentile stddev` NaN, so comparisons with them are false. Strings and other values
  are kept; asking for arithmetic over them is a TypeError, as in Python.
- Values come in time order, ties by the sorted meta of their series.
- A name or series that no window asks for is not kept.

**Bounds.** Samples are cut to what the longest window of the name can see. Beyond `series_per_name` the series of that
name that were updated longest ago go; beyond `series_total` those of the name with the most series; beyond
`samples_per_series` the oldest samples; always a sixteenth at a time. Evictions are counted, and each limit is
reported once a name by `take_evictions`.

**Exactness.** Sums are exact and rounded once when read, so answers depend on the samples and the time alone: a restart
or a replay gives the same bits. Snapshots hold samples, not sums. A clock that steps back by no more than `late_ns`
finds the windows that it left; after a larger step, samples that were cut are missing.

**Cost.** `append` is O(windows that the series belongs to); a name nobody asks for costs one look-up. A sample enters
and leaves each aggregate that somebody asked for once, in O(1) (`median`, `percentile`, `rate` extremes: O(log n)).
Reading is O(1) at any length of window. A sample takes 16 bytes.

**Cover.** A window knows since when all that it matches has been observed: since it was first required, or as long as
another window of the name with the same or a wider filter has kept it, or since before a restart of at most
`Limits.gap_ns`. Until it is `covered`, values count as they are but absence means nothing. A store made by
`with_history` has observed for ever.
"""

from .readings import AGGREGATES, Reading, Tally
from .spec import FOR_EVER, Limits, NotNumericError, Value, WindowSpec
from .store import Appended, Counters, Eviction, WindowStore
from .window import Window

__all__ = [
    "AGGREGATES",
    "FOR_EVER",
    "Appended",
    "Counters",
    "Eviction",
    "Limits",
    "NotNumericError",
    "Reading",
    "Tally",
    "Value",
    "Window",
    "WindowSpec",
    "WindowStore",
]
