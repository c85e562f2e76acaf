"""The wall clock as it is: set by hand, set by radio, lost with the power.

Whether it may be believed is said at the start, or later by who knows (`ClockTrusted`), or after a patience. A step
shows as a difference between the two clocks. What was measured by the old time is looked at again; a run that now lies
in the future is moved by the step, because a run says that the slots before it are served, and a slot of the hour that
comes once more must not be served by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from edgesched.core.model import NS_PER_S
from edgesched.core.plan.announce import log
from edgesched.core.plan.events import Booted
from edgesched.core.plan.turn import Turn

CLOCK_STEP_NS: Final = 2 * NS_PER_S
"""A wall clock that moved by more than this against the boot clock was set, not disciplined."""


def booted(turn: Turn, event: Booted) -> None:
    """Take the word of the shell on the clock."""
    state = turn.state
    state.clock_trusted = event.clock_trusted
    if event.clock_trusted:
        _correct(turn, 0)
    else:
        log(turn, "clock.untrusted", {"wait_s": state.settings.clock_patience_s}, level="warning")
        state.wakeups.boot.set(("clock",), turn.boot_deadline(state.settings.clock_patience_s))


def trust(turn: Turn, reason: str) -> None:
    """Believe the clock from now on."""
    state = turn.state
    state.wakeups.boot.clear(("clock",))
    if not state.clock_trusted:
        state.clock_trusted = True
        log(turn, "clock.trusted", {"reason": reason}, level="warning")
        _correct(turn, 0)
        _wake_all(turn)


def watch(turn: Turn) -> None:
    """Notice a step of the wall clock: deadlines of the old time are worth nothing, every rule is looked at anew."""
    state, now = turn.state, turn.now
    before = state.now
    if before.ts_ns == 0:
        return
    step_ns = (now.ts_ns - before.ts_ns) - (now.boot_ns - before.boot_ns)
    if -CLOCK_STEP_NS <= step_ns <= CLOCK_STEP_NS:
        return
    log(turn, "clock.stepped", {"by_s": round(step_ns / NS_PER_S, 1)}, level="warning")
    if step_ns < 0 and state.clock_trusted:
        _correct(turn, step_ns)
    _wake_all(turn)


def _correct(turn: Turn, step_ns: int) -> None:
    """Drop claims that are far ahead of a clock that is believed, and bring back what has happened in the future."""
    state, now_ns = turn.state, turn.now.ts_ns
    dropped = state.ledger.forget_future(now_ns)
    if dropped:
        log(turn, "ledger.dropped", {"slots": dropped, "reason": "more than a day ahead"}, level="warning")
    for job in state.jobs.values():
        if job.first_seen.ts_ns > now_ns:
            job.first_seen = replace(job.first_seen, ts_ns=min(now_ns, job.first_seen.ts_ns + step_ns))
    for plugin in state.plugins.values():
        if plugin.last_completed_ns is not None and plugin.last_completed_ns > now_ns:
            plugin.last_completed_ns = min(now_ns, plugin.last_completed_ns + step_ns)
        if plugin.last_launch_ns is not None and plugin.last_launch_ns > now_ns:
            plugin.last_launch_ns = min(now_ns, plugin.last_launch_ns + step_ns)


def _wake_all(turn: Turn) -> None:
    for rule_id in turn.state.rules:
        turn.woken[rule_id] = None
