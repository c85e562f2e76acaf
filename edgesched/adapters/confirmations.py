"""Waiting for a broker to confirm what was published, whichever protocol it speaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sized
from typing import Protocol

from edgesched.errors import BrokerUnavailableError


class Served(Protocol):
    """A connection that is driven from outside."""

    def serve(self, timeout_s: float) -> None:
        """Read and write for at most so long. Raises BrokerUnavailableError when the connection is lost."""
        ...


def await_confirmations(
    link: Served, waiting: Sized, failure: Callable[[], str], *, broker: str, timeout_s: float
) -> None:
    """Drive a connection until nothing is left in `waiting`, which its callbacks empty.

    `failure`: what the broker has said against a message, empty when nothing. `timeout_s` counts from the latest
    confirmation on. Raises BrokerUnavailableError.
    """
    count = len(waiting)
    deadline_s = time.monotonic() + timeout_s
    while left := len(waiting):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise BrokerUnavailableError(f"{broker} did not confirm {left} of {count} messages within {timeout_s:g} s")
        link.serve(left_s)
        if told := failure():
            raise BrokerUnavailableError(f"{broker} refused an event: {told}")
        if len(waiting) < left:
            deadline_s = time.monotonic() + timeout_s
