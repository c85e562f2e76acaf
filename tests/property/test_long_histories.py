"""Weeks and months of virtual time: a restart changes nothing, and what could not be sent is sent later."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from edgesched.adapters.sqlite import StateFile
from edgesched.core.model import Message, PodOrder, ScienceGoal
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.effects import Effect, Publish
from edgesched.core.plan.records import Recorder
from edgesched.errors import BrokerUnavailableError
from edgesched.node.committer import Committer
from edgesched.node.storedoutbox import Sender, StoredOutbox
from tests.property.node_world import World
from tests.unit.node.fakes import ManualClock, Notices
from tests.unit.plan.driver import START_NS, goal, plugin
from tests.waiting import wait_until

DAY_S = 86_400
GPU = {"resource.gpu": "true"}


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


def history(days: int, cuts: int) -> tuple[list[tuple[int, str]], int]:
    """Run the jobs for some days and restart at random moments; returns what was told and the number of launches."""
    settings = PlanSettings(vsn="W023", policy="gpuaware")
    world = World(START_NS, settings, run_s=run_s, exit_code=exit_code, checked=False)
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


def as_text(records: list[Any]) -> list[str]:
    """Write records as lines; stories are told in `explain` alone."""
    return sorted(
        f"{kind} {key} {json.dumps(value, sort_keys=True)}" for kind, key, value in records if kind != "story"
    )


def test_three_days_with_and_without_restarts() -> None:
    """A short form of the test below."""
    straight, launches = history(3, 0)
    cut, _ = history(3, 20)
    assert launches > 500
    assert cut == straight


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thirty_days_with_and_without_a_hundred_restarts() -> None:
    """Twenty jobs, a hundred restarts: the same effects, byte for byte, ids included."""
    straight, launches = history(30, 0)
    cut, _ = history(30, 100)
    assert launches > 5000
    assert cut == straight


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

    def _commit(self, effects: list[Effect]) -> None:
        self.committer.commit(self.world.state, effects, False)
        for effect in effects:
            if isinstance(effect, Publish):
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
