"""Threads with names, heartbeats and an end.

Every thread of the agent is one `Source.run(stop, beat)`. A `run` that raises is a defect: it is logged and run again
after a growing pause. Liveness is the age of the last heartbeat, never what a library says about its connection: a
client whose thread has died still says `connected`.

Threads stop in phases: `intake` first (nothing new comes in), then `engine` (what came in is decided), then `outlet`
(what was decided is carried out), then `last` (what all of it rested on is let go). Phases together have `DRAIN_S`; a
thread that does not end within it is left behind, named in the log, and ends with the process, because all threads are
daemons.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from edgesched.errors import InvariantError
from edgesched.node.backoff import backoff_s
from edgesched.ports import Notice

DRAIN_S: Final = 5.0
RESTART_FIRST_S: Final = 0.5
RESTART_LONGEST_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""A thread that ran this long before it failed starts again with the shortest pause."""

Phase = Literal["intake", "engine", "outlet", "last"]
PHASES: Final[tuple[Phase, ...]] = ("intake", "engine", "outlet", "last")

Run = Callable[[threading.Event, Callable[[], None]], None]


@dataclass(slots=True)
class _Member:
    name: str
    run: Run
    phase: Phase
    limit_s: float
    beaten_s: float
    nudge: Callable[[], None] | None = None
    restarts: int = 0
    thread: threading.Thread | None = field(default=None)


class Supervisor:
    """Runs named threads, restarts those that fail, and stops all of them in order."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._members: list[_Member] = []
        self._stops: dict[Phase, threading.Event] = {phase: threading.Event() for phase in PHASES}
        self._broken = threading.Event()
        self._started = False

    def add(
        self,
        name: str,
        run: Run,
        *,
        phase: Phase = "intake",
        limit_s: float = 30.0,
        nudge: Callable[[], None] | None = None,
        at_once: bool = False,
    ) -> None:
        """Register a thread.

        `limit_s`: the age of its heartbeat at which it counts as stuck. `nudge`: wakes it so that it looks at `stop`.
        `at_once`: start it now and not with the others.
        """
        member = _Member(name, run, phase, limit_s, time.monotonic(), nudge)
        self._members.append(member)
        if self._started or at_once:
            self._start(member)

    def start(self) -> None:
        """Start all registered threads, outlets first so that nothing is decided before it can be carried out."""
        self._started = True
        for phase in reversed(PHASES):
            for member in self._members:
                if member.phase == phase and member.thread is None:
                    self._start(member)

    def stop(self, drain_s: float = DRAIN_S) -> bool:
        """Stop phase by phase and wait for the threads, at most `drain_s` in all; return whether all ended."""
        end_s = time.monotonic() + drain_s
        for phase in PHASES:
            self._stops[phase].set()
            members = [member for member in self._members if member.phase == phase]
            for member in members:
                if member.nudge is not None:
                    member.nudge()
            for member in members:
                if member.thread is not None:
                    member.thread.join(max(0.0, end_s - time.monotonic()))
        left = [member.name for member in self._members if member.thread is not None and member.thread.is_alive()]
        if left:
            self._notice("agent.left_behind", level="warning", threads=", ".join(left), after_s=drain_s)
        return not left

    def ages(self) -> dict[str, tuple[float, float]]:
        """Return for each thread the age of its last heartbeat and the age at which it counts as stuck, in seconds."""
        now_s = time.monotonic()
        return {member.name: (now_s - member.beaten_s, member.limit_s) for member in self._members}

    def stuck(self) -> list[str]:
        """Name the threads whose heartbeat is too old."""
        return [name for name, (age_s, limit_s) in self.ages().items() if age_s > limit_s]

    def restarts(self) -> dict[str, int]:
        """Return how often each thread was run again after a failure."""
        return {member.name: member.restarts for member in self._members}

    @property
    def broken(self) -> threading.Event:
        """Set when a thread found the state to contradict itself: the process must end."""
        return self._broken

    def _start(self, member: _Member) -> None:
        member.beaten_s = time.monotonic()
        member.thread = threading.Thread(target=self._serve, args=(member,), name=member.name, daemon=True)
        member.thread.start()

    def _serve(self, member: _Member) -> None:
        stop = self._stops[member.phase]

        def beat() -> None:
            member.beaten_s = time.monotonic()

        failures = 0
        while not stop.is_set():
            started_s = time.monotonic()
            beat()
            try:
                member.run(stop, beat)
            except InvariantError:
                self._broken.set()
                return
            except Exception as error:  # noqa: BLE001 - guard: one failing thread must not take the node down
                reason = f"{type(error).__name__}: {error}"
            else:
                if stop.is_set():
                    return
                reason = "it ended by itself"
            failures = 1 if time.monotonic() - started_s > HEALTHY_S else failures + 1
            member.restarts += 1
            pause_s = backoff_s(failures, first_s=RESTART_FIRST_S, longest_s=RESTART_LONGEST_S)
            self._notice(
                "thread.restarting", level="error", thread=member.name, error=reason, retry_in_s=round(pause_s, 1)
            )
            stop.wait(pause_s)
