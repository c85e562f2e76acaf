"""The local brake: a Unix socket in the state directory on which the agent's user and root may pause and resume.

Nothing over HTTP changes the agent; who may open this socket (mode 0600) may. One connection is one request and one
answer, a JSON object on a line each: `{"do": "pause", "job": "", "plugin": "", "for_s": null, "end": false}` or
`{"do": "resume", ...}`; the answer is `{"done": "..."}` or `{"error": "..."}`. It comes when the pause is on disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edgesched.core.model import Instant
from edgesched.core.plan.events import Event, Paused, Resumed
from edgesched.core.plan.pauses import covers
from edgesched.core.plan.state import NodeState, PauseKey
from edgesched.core.suggest import did_you_mean
from edgesched.errors import InputError
from edgesched.ports import Emit, Notice

SOCKET: Final = "control.sock"
REQUEST_LIMIT: Final = 4096
TIMEOUT_S: Final = 5.0
ACCEPT_S: Final = 1.0
LONGEST_PAUSE_S: Final = 366 * 86_400.0

Ask = Callable[[Callable[[NodeState, Instant], Any]], Any]


class ControlSocket:
    """A `Source` for the supervisor: serves requests one after the other.

    `emit` puts an event into the mailbox; `ask` reads the node state on the engine's thread, after what was put before.
    """

    def __init__(self, directory: Path, emit: Emit, ask: Ask, notice: Notice) -> None:
        self._path = directory / SOCKET
        self._emit = emit
        self._ask = ask
        self._notice = notice

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Serve until `stop` is set."""
        with self._listen() as listening:
            while not stop.is_set():
                beat()
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(TIMEOUT_S)
                    connection.sendall(json.dumps(self._answer(_read(connection))).encode() + b"\n")

    def _listen(self) -> socket.socket:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(self._path))
        os.chmod(self._path, 0o600)
        listening.listen(4)
        listening.settimeout(ACCEPT_S)
        return listening

    def _answer(self, line: bytes) -> dict[str, str]:
        try:
            event = _event(line)
            self._ask(lambda state, _now: _check(state, event))
            self._emit(event)
            return {"done": self._ask(lambda state, _now: _told(state, event))}
        except InputError as error:
            return {"error": str(error)}
        except TimeoutError:
            return {"error": "the engine is busy: try again"}


def _read(connection: socket.socket) -> bytes:
    read = b""
    while not read.endswith(b"\n") and len(read) <= REQUEST_LIMIT:
        part = connection.recv(REQUEST_LIMIT)
        if not part:
            break
        read += part
    return read


def _event(line: bytes) -> Paused | Resumed:
    try:
        asked = json.loads(line)
        do, job_id, plugin = str(asked["do"]), str(asked.get("job", "")), str(asked.get("plugin", ""))
        if do == "resume":
            return Resumed(job_id, plugin)
        for_s = asked.get("for_s")
        if do == "pause" and (for_s is None or 0 < float(for_s) <= LONGEST_PAUSE_S):
            return Paused(job_id, plugin, None if for_s is None else float(for_s), bool(asked.get("end")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError('expected {"do": "pause"|"resume", "job", "plugin", "for_s", "end"}') from error
    raise InputError(f"cannot {do} for that long" if do == "pause" else f"cannot {do}: pause or resume")


def _check(state: NodeState, event: Event) -> None:
    """Refuse what names nothing. Raises InputError with a did-you-mean."""
    assert isinstance(event, Paused | Resumed)
    key = PauseKey(event.job_id, event.plugin)
    if isinstance(event, Resumed):
        if key != PauseKey() and key not in state.pauses:
            paused = ", ".join(_named(each) for each in state.pauses) or "nothing"
            raise InputError(f"{_named(key)} is not paused", hint=f"paused: {paused}")
        return
    if event.job_id and event.job_id not in state.jobs:
        raise InputError(f"no job {event.job_id} on this node", hint=did_you_mean(event.job_id, state.jobs))
    names = {plugin.name for plugin in state.plugins}
    if event.plugin and not any(covers(key, plugin) for plugin in state.plugins):
        raise InputError(f"no plugin {event.plugin} on this node", hint=did_you_mean(event.plugin, names))


def _told(state: NodeState, event: Event) -> str:
    assert isinstance(event, Paused | Resumed)
    key = PauseKey(event.job_id, event.plugin)
    if isinstance(event, Resumed):
        left = ", ".join(_named(each) for each in state.pauses)
        return f"{_named(key)} may be launched again" + (f"; still paused: {left}" if left else "")
    held = sum(covers(key, plugin) for plugin in state.plugins)
    return f"{_named(key)} is paused: {held} plugin{'' if held == 1 else 's'} will not be launched"


def _named(key: PauseKey) -> str:
    if key == PauseKey():
        return "everything"
    parts = [f"plugin {key.plugin}"] if key.plugin else []
    return " of ".join([*parts, *([f"job {key.job_id}"] if key.job_id else [])])
