"""Waiting in tests: for a condition, with a deadline, never for a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout_s: float = 10.0, *, what: str = "") -> T:
    """Return the first true value of `condition`; fail when none came within `timeout_s`."""
    end_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end_s, f"waited {timeout_s} s in vain for {what or condition}; last: {value!r}"
        pause.wait(0.01)
