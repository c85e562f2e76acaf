"""The story of a plugin in plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from edgesched.core.model import NS_PER_S
from edgesched.core.plan.state import StoryLine
from edgesched.core.rules import duration_text

Fields = Mapping[str, Any]


def sentence(line: StoryLine) -> str:
    """Return what a line of a story says."""
    write = _WRITERS.get(line.what)
    if write is not None:
        return write(line.fields)
    details = ", ".join(f"{key} {value}" for key, value in line.fields.items())
    return f"{line.what}: {details}" if details else line.what


def moment_text(ts_ns: int, now_ns: int) -> str:
    """Return a time for people: time of day, with the date when it is another day's (UTC)."""
    moment = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC)
    same_day = moment.date() == datetime.fromtimestamp(now_ns // NS_PER_S, UTC).date()
    return moment.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")


def span_text(ns: int) -> str:
    """Return a duration for people, whole seconds: `3 min`, `2 h`, as conditions write it."""
    return duration_text(max(NS_PER_S, ns - ns % NS_PER_S))


def _queued(fields: Fields) -> str:
    text = "decided to run"
    if fields.get("slot"):
        text += f" for the slot {fields['slot']}"
    cause = str(fields.get("reason", "")).removeprefix("triggered by ")
    if cause:
        text += f", because this was true: {cause}"
    return text + (f" [{fields['values']}]" if fields.get("values") else "")


def _complete(fields: Fields) -> str:
    text = "completed"
    if fields.get("ran_s") is not None:
        text += f" after {fields['ran_s']} s"
    return text + (f": {fields['reason']}" if fields.get("reason") else "")


def _failed(fields: Fields) -> str:
    text = f"failed: {fields.get('reason', 'no reason known')}"
    if fields.get("return_code") is not None:
        text += f", exit code {fields['return_code']}"
    if fields.get("message"):
        text += f", {fields['message']}"
    if fields.get("error_log"):
        text += f"; its last words: {' / '.join(str(fields['error_log']).splitlines())}"
    return text


def _paused(fields: Fields) -> str:
    for_s = fields.get("for_s")
    how_long = "until it is resumed" if for_s is None else f"for {span_text(round(float(for_s) * NS_PER_S))}"
    return f"paused by the operator {how_long}" + (", its run ended" if fields.get("end") else "")


_WRITERS: Final[dict[str, Callable[[Fields], str]]] = {
    "plugin.queued": _queued,
    "plugin.selected": lambda _: "the policy let it go to the cluster",
    "plugin.waiting": lambda fields: f"waits: {fields.get('reason', '')}",
    "plugin.scheduled": lambda _: "its pod was created",
    "plugin.initializing": lambda _: "its pod is on the node, the container is being prepared",
    "plugin.running": lambda _: "its container runs",
    "plugin.complete": _complete,
    "plugin.failed": _failed,
    "plugin.missed": lambda fields: f"gave up waiting: {fields.get('reason', '')}",
    "plugin.refused": lambda fields: f"refused: {fields.get('reason', '')}",
    "plugin.event": lambda fields: f"Kubernetes says {fields.get('reason', '')}: {fields.get('message', '')}",
    "slot.held": lambda fields: f"the slot {fields.get('slot')} is open but held: {fields.get('gate')}",
    "slot.missed": lambda fields: f"missed the slot {fields.get('slot')}: {fields.get('reason')}",
    "node.paused": _paused,
    "node.resumed": lambda fields: f"no longer paused: {fields.get('reason', '')}",
}
