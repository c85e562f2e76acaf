"""What is wrong now: the troubles that the log has told and nothing has cleared.

`Alarms` stands between the parts of the agent and the log. A line about a known trouble gets the remedy as `hint` when
it has none, and stays on the list of open alarms until a line that clears it comes. So `status`, the page and the log
name the same cause and the same remedy, and no part has to report twice.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any, Final

from edgesched.core.model import NS_PER_S
from edgesched.node.remedies import CLEARING, Trouble, cause_of, trouble_of
from edgesched.ports import Clock, Notice

MOST_OPEN: Final = 100
SUBJECTS: Final = ("what", "file", "lease", "thread", "source")
"""Keys that tell alarms of one event apart."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A trouble that is open. Times are wall-clock ns; `count`: how often its line has come."""

    event: str
    level: str
    trouble: Trouble
    subject: str
    cause: str
    remedy: str
    since_ns: int
    last_ns: int
    count: int = 1


class Alarms:
    """Keeps the open alarms; `notice` is the log for everybody who writes to it. Callable from any thread."""

    def __init__(self, notice: Notice, clock: Clock) -> None:
        self._notice = notice
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], Alarm] = {}

    def notice(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Log one line, see the class."""
        trouble = trouble_of(event, fields)
        if trouble is not None:
            if not fields.get("hint"):
                fields["hint"] = trouble.remedy
            if not trouble.of_plugin:
                self._raise(event, level, trouble, fields)
        elif event in CLEARING:
            self._clear(event, _subject(fields))
        self._notice(event, level=level, **fields)

    def open(self) -> list[Alarm]:
        """Return the open alarms, oldest first."""
        now_ns = self._clock.now().ts_ns
        with self._lock:
            for key, alarm in list(self._open.items()):
                if now_ns - alarm.last_ns > alarm.trouble.lasts_s * NS_PER_S:
                    del self._open[key]
            return list(self._open.values())

    def _raise(self, event: str, level: str, trouble: Trouble, fields: dict[str, Any]) -> None:
        now_ns = self._clock.now().ts_ns
        subject = _subject(fields)
        with self._lock:
            known = self._open.get((event, subject))
            if known is not None:
                changes: dict[str, Any] = {"trouble": trouble, "cause": cause_of(fields), "remedy": fields["hint"]}
                self._open[event, subject] = replace(known, last_ns=now_ns, count=known.count + 1, **changes)
            elif len(self._open) < MOST_OPEN:
                told = (event, level, trouble, subject, cause_of(fields), str(fields["hint"]))
                self._open[event, subject] = Alarm(*told, now_ns, now_ns)

    def _clear(self, event: str, subject: str) -> None:
        with self._lock:
            for key, alarm in list(self._open.items()):
                if event in alarm.trouble.cleared_by and alarm.subject in ("", subject):
                    del self._open[key]


def _subject(fields: dict[str, Any]) -> str:
    return next((str(fields[key]) for key in SUBJECTS if fields.get(key)), "")
