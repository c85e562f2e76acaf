"""A month of twenty jobs, played once without a stop, and a hundred times with one.

The node commits every batch to its state directory as the agent does. At each of the moments the process forks: the
child stops the agent, opens a copy of the directory, restores the node from it and plays the rest of the month, while
what it wants of the world (launches with all that pods are made of, deletions, messages, values, log lines) is
compared byte by byte with what the month without a stop wanted. Prints what it found; exit 1 on a difference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from edgesched.adapters.sqlite import StateFile
from edgesched.adapters.statedir import StateDir
from edgesched.core.model import PodOrder, ScienceGoal
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.events import Event
from edgesched.core.plan.records import Recorder
from edgesched.node.committer import Batch, Committer
from edgesched.node.durable import FILE, open_durable
from edgesched.node.snapshots import Snapshots
from tests.property.node_world import World
from tests.unit.node.fakes import ManualClock, Notices
from tests.unit.plan.driver import START_NS, goal, plugin

DAY_S = 86_400
TICK_S = 300
GPU = {"resource.gpu": "true"}
SETTINGS = PlanSettings(vsn="W023", policy="gpuaware")


def jobs() -> list[ScienceGoal]:
    """Twenty jobs of all kinds of rules."""
    made = []
    for number in range(20):
        names = (f"a{number}", f"b{number}")
        rules = {
            0: [f"schedule({names[0]}): cronjob('{names[0]}', '{number} * * * *')"],
            1: [f"schedule({names[0]}): cronjob('{names[0]}', '*/{number + 10} * * * *', tz='Europe/Berlin')"],
            2: [
                f"schedule({names[0]}, retries=2): cronjob('{names[0]}', '{number} */2 * * *')",
                f"schedule({names[1]}): after('{names[0]}', since='{names[1]}')",
            ],
            3: [
                f"schedule({names[0]}, cooldown=20m): any(v('env.x{number % 3}', since='-15m') > 8)",
                f"publish(env.event{number}, every=2h): avg(v('env.x{number % 3}', since='-1h')) > 5",
            ],
            4: [
                f"schedule({names[0]}, hold=20m, duration=5m): last(v('env.x{number % 3}', since='-1h')) > 4",
                f"set(mode{number}, value=busy): count(v('env.x{number % 3}', since='-30m')) > 4",
                f"schedule({names[1]}, misfire=latest): cronjob('{names[1]}', '0 {number} * * *')",
            ],
        }[number % 5]
        plugins = (plugin(names[0], **({"selector": GPU} if number % 2 else {})), plugin(names[1]))
        made.append(goal(*rules, job=str(number), plugins=plugins, name=f"job{number}"))
    return made


def run_s(order: PodOrder) -> float:
    """How long a run takes: it follows from its id alone."""
    return 5.0 + int(order.run_id[:4], 16) % 400


def exit_code(order: PodOrder) -> int:
    """One run in eight fails."""
    return int(order.run_id[5] in "01")


def as_text(records: list[Any]) -> list[str]:
    """Write records as lines; stories are told in `explain` alone."""
    return sorted(
        f"{kind} {key} {json.dumps(value, sort_keys=True)}" for kind, key, value in records if kind != "story"
    )


class Store(Committer):
    """The agent's committer, written out by `flush` instead of a thread: forks and threads do not go together."""

    def _hand_over(self, batch: Batch) -> None:
        self._pending.add(batch)


class Month:
    """The node and its sensors. `ticks`: where in the record of the month each five minutes begin."""

    def __init__(self, folder: Path | None = None) -> None:
        self.world = World(START_NS, SETTINGS, run_s=run_s, exit_code=exit_code, checked=False, reports=True)
        self.folder = folder
        self.sensors = random.Random(7)
        self.launched = 0
        self.file: StateFile | None = None
        self.store: Store | None = None
        if folder is not None:
            folder.mkdir()
            self.file = StateFile(folder / FILE, notice=Notices(), now_ns=lambda: self.world.now.ts_ns)
            self.file.open()
            self.store = Store(self.file, Recorder(), notice=Notices())
            self.world.commit = self._commit

    def _commit(self, event: Event, effects: list[Any]) -> None:
        if self.store is not None:
            self.store.commit(self.world.state, effects, self.world.is_quiet(event))
            # the broker has confirmed everything
            self.store.sent(2**62)

    def play(
        self, days: int, moments: list[float], hear: Callable[[int, bytes], None], cut: Callable[[], bool]
    ) -> None:
        """Let days pass; `hear` is told what was wanted in each tick, `cut` is called at each of the moments.

        After a `cut` that returns True there are no more.
        """
        world = self.world
        world.boot(*jobs())
        left = list(moments)
        for number in range(days * DAY_S // TICK_S):
            at = float((number + 1) * TICK_S)
            while left and left[0] < at:
                world.run_to(left.pop(0))
                if cut():
                    left.clear()
            world.run_to(at)
            world.measure(f"env.x{number % 3}", round(self.sensors.uniform(0, 10), 2))
            if self.store is not None:
                self.store.flush()
            hear(number, "".join(f"{ts_ns} {text}\n" for ts_ns, text in world.told).encode())
            self.launched += len(world.launched)
            for heard in (world.told, world.launched, world.said):
                heard.clear()

    def fork(self, folder: Path, fork: Callable[[], bool]) -> bool:
        """Copy the state directory and fork; no database is open meanwhile. True in the child."""
        assert self.store is not None
        assert self.file is not None
        assert self.folder is not None
        self.store.flush()
        assert self.store.available
        self.file.close()
        shutil.copytree(self.folder, folder)
        if fork():
            self.store = None
            return True
        self.file.open()
        return False

    def reopen(self, folder: Path) -> None:
        """Stop, and go on from a copy of the state directory."""
        world = self.world
        before = as_text(Recorder().changes(world.state))
        notices = Notices()
        kept = StateDir(folder)
        clock = ManualClock()
        now = world.now
        clock.ts_ns, clock.boot_ns = now.ts_ns, now.boot_ns
        Snapshots(kept, None, interval_s=0, notice=notices).write_last(world.state, now)  # type: ignore[arg-type]
        kept.close()
        world.up = False
        durable = open_durable(folder, SETTINGS, clock=clock, boot_id=world.boot_id, notice=notices)
        assert not notices.named("windows.unreadable")
        assert not notices.named("state.corrupt")
        durable.store.close()
        durable.folder.close()
        told = len(world.told)
        world.start(durable.state, durable.owed)
        # at the moment of the restart nothing new is said but the line of the restart, and the state is what it was
        (line,) = [text for _, text in world.told[told:]]
        assert line.startswith("report Report(event='pods.adopted'"), line
        del world.told[told:]
        after = as_text(Recorder().changes(world.state))
        assert after == before, sorted(set(after) ^ set(before))


class Children:
    """The processes that play the rest, as many at a time as there are cores."""

    def __init__(self) -> None:
        self._running: dict[int, int] = {}
        self.failed: list[int] = []

    def fork(self, number: int) -> bool:
        """Return True in the child."""
        while len(self._running) >= (os.cpu_count() or 1):
            self._wait()
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            self._running[pid] = number
        return pid == 0

    def wait(self) -> None:
        """Wait for all."""
        while self._running:
            self._wait()

    def _wait(self) -> None:
        pid, status = os.wait()
        number = self._running.pop(pid)
        if os.waitstatus_to_exitcode(status):
            self.failed.append(number)


def differs(number: int, expected: bytes, actual: bytes) -> str:
    """Name the first difference in a tick."""
    lines = zip(expected.splitlines(), actual.splitlines(), strict=False)
    at = next((pair for pair in lines if pair[0] != pair[1]), (expected[-400:], actual[-400:]))
    return f"tick {number}:\n  expected {at[0]!r}\n  found    {at[1]!r}"


def record(days: int, path: Path) -> tuple[list[int], int]:
    """Play the month without a stop; returns where each tick begins in the record, and the number of launches."""
    begins = [0]
    with path.open("wb") as file:

        def hear(_: int, wanted: bytes) -> None:
            file.write(wanted)
            begins.append(begins[-1] + len(wanted))

        month = Month()
        month.play(days, [], hear, lambda: False)
    return begins, month.launched


def compare(days: int, moments: list[float], folder: Path) -> tuple[list[int], int, int]:
    """Play it with a stop at each moment; returns the stops after which something differed, bytes, and launches."""
    path = folder / "month"
    begins, launched = record(days, path)
    children = Children()
    month = Month(folder / "state")
    cuts = 0
    is_child = False
    file: BinaryIO = path.open("rb")

    def hear(number: int, wanted: bytes) -> None:
        file.seek(begins[number])
        expected = file.read(begins[number + 1] - begins[number])
        if wanted != expected:
            raise AssertionError(differs(number, expected, wanted))

    def cut() -> bool:
        nonlocal cuts, is_child, file
        cuts += 1
        copy = folder / f"cut{cuts}"
        is_child = month.fork(copy, lambda: children.fork(cuts))
        if is_child:
            file = path.open("rb")
            month.reopen(copy)
            shutil.rmtree(copy)
        return is_child

    try:
        month.play(days, moments, hear, cut)
    except BaseException:
        if not is_child:
            raise
        print(f"stop {cuts} at {moments[cuts - 1]:.3f} s:")
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        os._exit(1)
    if is_child:
        os._exit(0)
    children.wait()
    return children.failed, begins[-1], launched


def main(words: list[str] | None = None) -> int:
    """Play and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--launches", type=int, default=0, help="at least so many, or the test is worth nothing")
    options = parser.parse_args(words)
    chance = random.Random(options.seed)
    moments = sorted(chance.uniform(0, options.days * DAY_S) for _ in range(options.cuts))
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="months-") as folder:
        failed, size, launched = compare(options.days, moments, Path(folder))
    print(
        f"{options.days} days, {launched} launches, {size} bytes of effects; {options.cuts} histories each stopped and "
        f"restored once, {len(failed)} differ; {time.monotonic() - began_s:.0f} s"
    )
    return 1 if failed or launched < options.launches else 0


if __name__ == "__main__":
    sys.exit(main())
