"""Scheduler events to the log: for an agent without a broker, and for people who watch one.

The log event is the wire name's tail (`plugin.scheduled` for `sys.scheduler.status.plugin.scheduled`), the fields of
the event are its keys. Nothing can fail, so nothing is ever sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgesched.core.model import Message
from edgesched.ports import Notice

_PREFIX = "sys.scheduler.status."


class LogPublisher:
    """An `EventPublisher` that writes one log line a message."""

    def __init__(self, notice: Notice, *, level: str = "info") -> None:
        self._notice = notice
        self._level = level

    def publish(self, messages: list[Message]) -> None:
        """Log the messages in order."""
        for message in messages:
            value = message.value
            fields = {f"{key}": text for key, text in value.items()} if isinstance(value, Mapping) else {"value": value}
            self._notice(
                "event.published",
                level=self._level,
                name=message.name.removeprefix(_PREFIX),
                scope=message.scope,
                **{key: text for key, text in fields.items() if key not in {"level", "name", "scope"}},
            )
