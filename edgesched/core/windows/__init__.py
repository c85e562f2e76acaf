"""What was measured: series, sliding windows and aggregates that are kept up to date per measurement."""

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
