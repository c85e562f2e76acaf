"""Logs: one line a fact.

A line is an event name (dotted, constant) and keys. On a terminal it is aligned `key=value` text, otherwise one JSON
object, so that `journalctl` and `kubectl logs` can be filtered by machines. Libraries that use `logging` (paho,
kubernetes, urllib3) come out in the same form.

Three things never reach a log: a control character as it is (`\\xNN` instead), a value longer than 200 characters, and
a secret (keys that name one, passwords inside URLs, and the values registered as secret at start).

A line that repeats is told once and then counted: the first comes at once, the rest as `repeated=N` when a minute is
over. Two lines are the same when event and keys agree, apart from measurements of time and counts (`retry_in_s=1.4`).
Decisions (INFO) carry run ids and so never collapse.
"""

from __future__ import annotations

import functools
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from edgesched.core.shown import hide_passwords, shown

ROOT: Final = "edgesched"
REPEAT_WINDOW_S: Final = 60.0
REPEATS_KEPT: Final = 1000
FORMATS: Final = ("auto", "text", "json")
HIDDEN: Final = "***"

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SECRET_KEY = re.compile(r"passw|secret|token|credential|authorization|api_?key", re.IGNORECASE)
_BARE = re.compile(r"[^\s\"=]+")
_VARYING = re.compile(r"(^|_)(s|ms|us|ns|attempt|attempts|count|depth|dropped|status_age)$")

_logger = logging.getLogger(ROOT)


def notice(event: str, *, level: str = "info", **fields: Any) -> None:
    """Log one line: a dotted event name, then keys. Callable from any thread; the `Notice` of the ports."""
    number = _LEVELS.get(level, logging.INFO)
    if _logger.isEnabledFor(number):
        _logger.log(number, event, extra={"fields": fields})


def set_up(
    form: str = "auto",
    *,
    debug: bool = False,
    stream: TextIO | None = None,
    secrets: tuple[str, ...] = (),
    monotonic_s: Callable[[], float] | None = None,
) -> LogSink:
    """Send all logging to `stream` (stderr) in `form`: `text`, `json`, or `auto` (text on a terminal).

    `secrets`: values to be shown as `***` wherever they occur. `monotonic_s`: the clock of the repeat counts. Returns
    the sink: call its `flush_repeats` now and then, so that counts come out although nothing more is logged.
    """
    out = stream or sys.stderr
    as_text = form == "text" or (form == "auto" and out.isatty())
    sink = LogSink(out, _text_line if as_text else _json_line, secrets, monotonic_s)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(sink)
    root.setLevel(logging.WARNING)
    _logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(capture=True)
    # what no line of ours shows need not be found out for each (the logging HOWTO, "Optimization")
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return sink


class LogSink(logging.Handler):
    """Formats records into lines, hides secrets and counts repeats."""

    def __init__(
        self,
        stream: TextIO,
        line: Callable[[str, str, str, Mapping[str, object]], str],
        secrets: tuple[str, ...] = (),
        monotonic_s: Callable[[], float] | None = None,
    ) -> None:
        super().__init__()
        self._stream = stream
        self._line = line
        self._secrets = tuple(sorted((text for text in secrets if text), key=len, reverse=True))
        self._monotonic_s = monotonic_s
        self._repeats: dict[object, _Repeat] = {}
        self._table = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it when it repeats one of the last minute."""
        event, fields = _event_of(record)
        since = _when(record.created)
        now_s = self._now_s(record)
        key = (record.levelno, event, _identity(fields))
        with self._table:
            seen = self._repeats.get(key)
            if seen is not None and now_s - seen.started_s < REPEAT_WINDOW_S:
                seen.count += 1
                seen.last = (since, record.levelname.lower(), event, fields)
                return
            self._write_counts(now_s)
            if len(self._repeats) >= REPEATS_KEPT:
                self._repeats.pop(next(iter(self._repeats)))
            self._repeats[key] = _Repeat(now_s)
            self._write(since, record.levelname.lower(), event, fields)

    def flush_repeats(self, now_s: float | None = None) -> None:
        """Write the counts whose minute is over; all of them when `now_s` is None."""
        with self._table:
            self._write_counts(float("inf") if now_s is None else now_s)

    def _now_s(self, record: logging.LogRecord) -> float:
        return self._monotonic_s() if self._monotonic_s is not None else record.created

    def _write_counts(self, now_s: float) -> None:
        over = []
        for key, seen in self._repeats.items():
            if now_s - seen.started_s < REPEAT_WINDOW_S:
                break  # the table is in the order of time
            over.append(key)
        for key in over:
            seen = self._repeats.pop(key)
            if seen.last is not None:
                when, level, event, fields = seen.last
                self._write(when, level, event, {**fields, "repeated": seen.count})

    def _write(self, when: str, level: str, event: str, fields: Mapping[str, object]) -> None:
        line = self._line(when, level, event, {name: self._clean(name, value) for name, value in fields.items()})
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads the log any more: the node's work goes on

    def _clean(self, name: str, value: object) -> object:
        """Make a value fit for a log: hidden, cut, escaped; plain numbers and booleans stay as they are."""
        if _is_secret(name) and value not in (None, "", False, True):
            return HIDDEN
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping | list | tuple):
            value = json.dumps(value, default=str, ensure_ascii=False)
        text = hide_passwords(str(value))
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return shown(text)


class _Repeat:
    """A line told within the last minute, and how often it came again."""

    __slots__ = ("count", "last", "started_s")

    def __init__(self, started_s: float) -> None:
        self.started_s = started_s
        self.count = 0
        self.last: tuple[str, str, str, Mapping[str, object]] | None = None


def _event_of(record: logging.LogRecord) -> tuple[str, Mapping[str, object]]:
    """Return event name and keys; a record of a library becomes `log.LIBRARY` with its text."""
    fields = getattr(record, "fields", None)
    if record.name == ROOT and isinstance(fields, dict):
        return str(record.msg), fields
    told: dict[str, object] = {"message": record.getMessage()}
    if record.exc_info and record.exc_info[1] is not None:
        told["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
    return f"log.{record.name}", told


@functools.lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


@functools.lru_cache(maxsize=1024)
def _varies(key: str) -> bool:
    return _VARYING.search(key) is not None


def _identity(fields: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, str(value)) for name, value in fields.items() if not isinstance(value, float) and not _varies(name)
    )


def _when(created_s: float) -> str:
    return datetime.fromtimestamp(created_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text_line(when: str, level: str, event: str, fields: Mapping[str, object]) -> str:
    told = " ".join(f"{name}={_text_value(value)}" for name, value in fields.items())
    return f"{when} {level:<7} {shown(event):<28} {told}".rstrip()


def _text_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = "-" if value is None else str(value)
    if _BARE.fullmatch(text):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _json_line(when: str, level: str, event: str, fields: Mapping[str, object]) -> str:
    line: dict[str, object] = {"ts": when, "level": level, "event": shown(event)}
    for name, value in fields.items():
        line[name if name not in line else f"{name}_"] = value
    return json.dumps(line, ensure_ascii=False, default=str)
