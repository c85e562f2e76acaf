"""The sensor player: publishes recorded measurements as if they were measured now.

Every measurement goes out at its own distance from the first, divided by `speed`, with the time at which it goes out:
timestamps move to now and keep their spacing. At the end it starts over, one spacing later, until it is stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgesched.adapters.backoff import wait
from edgesched.core.messages import read_measurements
from edgesched.core.model import NS_PER_S, Measurement, Message
from edgesched.errors import BrokerUnavailableError, ConfigError, InputError
from edgesched.ports import Clock, EventPublisher, Notice

_LATE_S = 5.0


class Player:
    """Plays `recording` through `publisher`; a `Source` without events, so a supervisor can run it as one."""

    def __init__(
        self,
        recording: Sequence[Measurement],
        publisher: EventPublisher,
        clock: Clock,
        notice: Notice,
        *,
        speed: float = 1.0,
        loop: bool = True,
    ) -> None:
        if not recording:
            raise ConfigError("the recording is empty")
        if speed <= 0:
            raise ConfigError(f"speed {speed:g} is not above 0")
        self._recording = sorted(recording, key=lambda measurement: measurement.ts_ns)
        self._publisher = publisher
        self._clock = clock
        self._notice = notice
        self._speed = speed
        self._loop = loop
        self.published = 0
        self.lost = 0

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Play until `stop` is set, or once through when not looping."""
        length_ns = self._length_ns()
        lap_ns = 0
        start_ns = self._clock.now().ts_ns
        while not stop.is_set():
            for measurement in self._recording:
                offset_ns = lap_ns + measurement.ts_ns - self._recording[0].ts_ns
                due_ns = start_ns + int(offset_ns / self._speed)
                wait((due_ns - self._clock.now().ts_ns) / NS_PER_S, stop, beat)
                if stop.is_set():
                    return
                now_ns = self._clock.now().ts_ns
                if abs(now_ns - due_ns) > _LATE_S * NS_PER_S:  # the clock stepped or the machine slept: go on from here
                    start_ns += now_ns - due_ns
                    due_ns = now_ns
                self._play(replace(measurement, ts_ns=due_ns))
            if not self._loop:
                return
            lap_ns += length_ns

    def _length_ns(self) -> int:
        """Length of a lap: the recording's span and one mean spacing of its times."""
        times = sorted({measurement.ts_ns for measurement in self._recording})
        span_ns = times[-1] - times[0]
        return span_ns + (span_ns // (len(times) - 1) if len(times) > 1 else NS_PER_S)

    def _play(self, measurement: Measurement) -> None:
        message = Message(measurement.name, measurement.ts_ns, measurement.value, measurement.meta)
        try:
            self._publisher.publish([message])
            self.published += 1
        except BrokerUnavailableError as error:
            self.lost += 1
            if self.lost == 1:
                self._notice("player.lost", level="warning", reason=error.message, hint="a sensor does not wait either")


def load_recording(path: Path) -> list[Measurement]:
    """Read recorded measurements (NDJSON). Raises: InputError: with the file's name, and the line of a bad one."""
    try:
        with path.open(encoding="utf-8") as lines:
            return list(read_measurements(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    except InputError as error:
        raise InputError(f"{path}:{error.line}: {error.message}", hint=error.hint, line=error.line) from error
