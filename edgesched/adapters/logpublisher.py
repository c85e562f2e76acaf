"""Scheduler events to the log: for an agent without a broker, and for people who watch one.

`name` is the wire name's tail (`plugin.scheduled` for `sys.scheduler.status.plugin.scheduled`), the fields of the event
follow as keys. Nothing can fail, so nothing is ever sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgesched.core.model import Message
from edgesched.ports import Notice

_PREFIX: Final = "sys.scheduler.status."
_OURS: Final = frozenset({"event", "level", "name", "scope"})


class LogPublisher:
    """An `EventPublisher` that writes one log line a message."""

    def __init__(self, notice: Notice, *, level: str = "info") -> None:
        self._notice = notice
        self._level = level

    def publish(self, messages: list[Message]) -> None:
        """Log the messages in order."""
        for message in messages:
            fields = message.value if isinstance(message.value, Mapping) else {"value": message.value}
            self._notice(
                "event.published",
                level=self._level,
                name=message.name.removeprefix(_PREFIX),
                scope=message.scope,
                **{str(key): value for key, value in fields.items() if key not in _OURS},
            )
