"""What was measured: series, sliding windows and aggregates that are kept up to date per measurement."""

from .spec import FOR_EVER, Limits, NotNumericError, Value, WindowSpec
from .store import Appended, Counters, WindowStore
from .window import AGGREGATES, Tally, Window

__all__ = [
    "AGGREGATES",
    "FOR_EVER",
    "Appended",
    "Counters",
    "Limits",
    "NotNumericError",
    "Tally",
    "Value",
    "Window",
    "WindowSpec",
    "WindowStore",
]
