"""Weeks and months of virtual time: a restart changes nothing, and what could not be sent is sent later."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgesched.adapters.sqlite import StateFile
from edgesched.core.model import Message
from edgesched.core.plan.effects import Effect
from edgesched.core.plan.events import Event
from edgesched.core.plan.records import Recorder
from edgesched.errors import BrokerUnavailableError
from edgesched.node.committer import Committer
from edgesched.node.storedoutbox import Sender, StoredOutbox
from tests.property.months import DAY_S, SETTINGS, as_text, exit_code, jobs, run_s
from tests.property.node_world import World
from tests.unit.node.fakes import ManualClock, Notices
from tests.unit.plan.driver import START_NS, goal
from tests.waiting import wait_until


def history(days: int, cuts: int) -> tuple[list[tuple[int, str]], int]:
    """Run the jobs for some days and restart at random moments; returns what was told and the number of launches."""
    world = World(START_NS, SETTINGS, run_s=run_s, exit_code=exit_code, checked=False)
    sensors = random.Random(7)
    moments = sorted(random.Random(8).uniform(0, days * DAY_S) for _ in range(cuts))
    world.boot(*jobs())
    world.save()
    for number in range(days * DAY_S // 300):
        at = (number + 1) * 300.0
        while moments and moments[0] < at:
            world.run_to(moments.pop(0))
            snapshot = json.loads(json.dumps(world.down()))
            before = as_text(Recorder().changes(world.state))
            told = len(world.told)
            world.restart(snapshot)
            # at the moment of the restart nothing new is said, and the state is what it was
            assert world.told[told:] == []
            assert as_text(Recorder().changes(world.state)) == before
        world.run_to(at)
        world.measure(f"env.x{number % 3}", round(sensors.uniform(0, 10), 2))
        world.save()
    assert not moments
    return world.told, len(world.launched)


def test_two_days_with_and_without_restarts() -> None:
    """Twenty restarts one after the other change nothing, either."""
    straight, launches = history(2, 0)
    cut, _ = history(2, 20)
    assert launches > 500
    assert cut == straight


def months(*words: str, timeout_s: float) -> None:
    """Play months in a process without threads, which may fork."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.property.months", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_a_day_stopped_and_restored_at_each_of_six_moments() -> None:
    """A short form of the test below."""
    months("--days", "1", "--cuts", "6", "--launches", "500", timeout_s=110)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_thirty_days_stopped_and_restored_at_each_of_a_hundred_moments() -> None:
    """Twenty jobs, a hundred histories with a stop each: the same effects, byte for byte, ids included."""
    months("--days", "30", "--cuts", "100", "--launches", "5000", timeout_s=7000)


class Reader:
    """The far end: away for a week."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.away = True

    def publish(self, messages: list[Message]) -> None:
        """Take messages."""
        if self.away:
            raise BrokerUnavailableError("the link is down")
        self.ids += [message.message_id for message in messages]


class CutOff:
    """A node with a store on disk whose events nobody takes."""

    def __init__(self, path: Path, reader: Reader) -> None:
        self.notices = Notices()
        self.store = StateFile(path, notice=self.notices, now_ns=lambda: self.world.now.ts_ns)
        self.store.open()
        self.reader = reader
        self.world = World(START_NS, run_s=run_s, exit_code=exit_code, checked=False)
        self._begin(Recorder())

    def _begin(self, recorder: Recorder) -> None:
        self.stop = threading.Event()
        self.committer = Committer(self.store, recorder, notice=self.notices, patience_s=30)
        self.outbox = StoredOutbox(
            self.store,
            self.committer,
            self.reader,
            sender=Sender("W023", "s"),
            clock=ManualClock(),
            notice=self.notices,
            is_synchronised=lambda: True,
        )
        self.threads = [
            threading.Thread(target=each.run, args=(self.stop, lambda: None)) for each in (self.committer, self.outbox)
        ]
        for thread in self.threads:
            thread.start()
        self.world.commit = self._commit

    def _commit(self, _event: Event, effects: list[Effect]) -> None:
        self.committer.commit(self.world.state, effects, False)
        for effect in effects:
            if isinstance(effect, Message):
                self.outbox.put(effect)

    def restart(self) -> None:
        """Kill the agent without a word and start it from its file."""
        self.end()
        self.world.up = False
        self.world.run_to(self.world.at + 30)
        records = self.store.records()
        self.world.rows = {record[:2]: json.dumps(record.value) for record in records}
        self._begin(Recorder(records))
        self.world.restart()

    def end(self) -> None:
        """End the threads."""
        self.stop.set()
        for each in (self.committer, self.outbox):
            each.nudge()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_week_without_a_link(tmp_path: Path) -> None:
    """Nobody hears the node for a week in which it is restarted every day; then everything arrives, in order, once."""
    reader = Reader()
    node = CutOff(tmp_path / "state.db", reader)
    names = [f"p{number}" for number in range(6)]
    node.world.boot(goal(*[f"schedule({name}): cronjob('{name}', '*/20 * * * *')" for name in names]))
    for day in range(1, 8):
        node.world.run_to(day * DAY_S)
        node.restart()
    launched = len(node.world.launched)
    assert launched > 6 * 7 * 60
    reader.away = False
    wait_until(lambda: not node.outbox.waiting, 120)
    node.end()
    numbers = [int(each.rpartition("-")[2]) for each in reader.ids]
    assert numbers == list(range(1, node.world.state.effect_counter + 1))
    assert node.notices.named("outbox.lost") == []
    node.store.close()
