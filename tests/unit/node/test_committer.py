"""Between engine and store: durable before acted on, and what happens while the disk does not take it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesched.adapters.sqlite import StateFile
from edgesched.core.model import Measurement, Message
from edgesched.core.plan.effects import Effect, LaunchPod, SetState
from edgesched.core.plan.events import Measured
from edgesched.core.plan.records import Record, Recorder
from edgesched.errors import BrokerUnavailableError
from edgesched.node.committer import TELL_S, Committer
from edgesched.node.storedoutbox import Sender, StoredOutbox
from tests.unit.node.fakes import ManualClock, Notices
from tests.unit.plan.driver import Driver, goal
from tests.waiting import wait_until

CRON = "schedule(p): cronjob('p', '* * * * *')"


class SlowFile(StateFile):
    """A state file whose commits wait while `held` is clear."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.held = threading.Event()
        self.held.set()
        self.commits = 0

    def commit(self, *arguments: Any, **more: Any) -> None:
        assert self.held.wait(20)
        super().commit(*arguments, **more)
        self.commits += 1


class Reader:
    """An `EventPublisher` that keeps the ids it is sent, after `delay_s`; away while `away` is set."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.away = False
        self.delay_s = 0.0

    def publish(self, messages: list[Message]) -> None:
        if self.away:
            raise BrokerUnavailableError("away")
        threading.Event().wait(self.delay_s)
        self.ids += [message.message_id for message in messages]


class Shell:
    """A node with a store, an outbox and their threads."""

    def __init__(self, folder: Path, *, patience_s: float = 10.0, limit: int = 50_000) -> None:
        self.notices = Notices()
        self.clock = ManualClock()
        self.path = folder / "state.db"
        self.store = SlowFile(self.path, notice=self.notices, now_ns=lambda: self.clock.now().ts_ns)
        self.store.open()
        self.reader = Reader()
        self.committer = Committer(self.store, Recorder(), notice=self.notices, patience_s=patience_s)
        self.outbox = StoredOutbox(
            self.store,
            self.committer,
            self.reader,
            sender=Sender("W023", "s"),
            clock=self.clock,
            notice=self.notices,
            limit=limit,
            is_synchronised=lambda: False,
        )
        self.committer.tend = self.outbox.tend
        self.committer.send_now = self.outbox.send_now
        self.node = Driver()
        self.stop = threading.Event()
        self.threads = [
            threading.Thread(target=each.run, args=(self.stop, lambda: None)) for each in (self.committer, self.outbox)
        ]
        for thread in self.threads:
            thread.start()

    def take(self, effects: list[Effect], *, quiet: bool = False) -> list[Effect]:
        """Commit and dispatch as the engine does."""
        done = self.committer.commit(self.node.state, effects, quiet)
        for effect in done:
            if isinstance(effect, Message):
                self.outbox.put(effect)
        return done

    def close(self) -> None:
        self.stop.set()
        for each in (self.committer, self.outbox):
            each.nudge()
        for thread in self.threads:
            thread.join(15)
            assert not thread.is_alive()
        self.committer.flush()
        self.store.close()

    def stored(self) -> dict[tuple[str, str], Any]:
        """What another process would read."""
        again = StateFile(self.copy(), notice=Notices(), now_ns=lambda: 0)
        again.open()
        records = {record[:2]: record.value for record in again.records()}
        again.close()
        return records

    def copy(self) -> Path:
        """Copy the files as they are on the disk, where nobody holds them."""
        folder = Path(tempfile.mkdtemp(dir=self.path.parent))
        for path in self.path.parent.glob(f"{self.path.name}*"):
            shutil.copy(path, folder)
        return folder / self.path.name

    def fill_disk(self, pages: int | None = None) -> None:
        """Let the file grow no more; None: as far as it likes."""
        connection = self.store._db
        assert connection is not None
        if pages is None:
            pages = 1_000_000
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def pages(self) -> int:
        connection = self.store._db
        assert connection is not None
        return int(connection.execute("PRAGMA page_count").fetchone()[0])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A node with a store."""
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def numbers(ids: list[str]) -> list[int]:
    """The numbers of message ids, in the order of their first appearance."""
    return [int(each.rpartition("-")[2]) for each in dict.fromkeys(ids) if "lost" not in each]


def test_what_is_acted_on_is_on_disk(shell: Shell) -> None:
    """When `commit` returns, another process finds the claimed slot and the run."""
    effects = shell.take(shell.node.start(goal(CRON)))
    assert any(isinstance(effect, LaunchPod) for effect in effects)
    kinds = {kind for kind, _ in shell.stored()}
    assert {"node", "goal", "job", "plugin", "rule", "run", "slot"} <= kinds
    assert shell.store.commits >= 1


def test_measurements_alone_write_nothing(shell: Shell) -> None:
    """Ten thousand values that change no decision cost no write."""
    shell.take(shell.node.start(goal("publish(env.hot): any(v('env.t') > 30)")))
    wait_until(lambda: not shell.outbox.waiting)
    shell.committer.flush()
    before = shell.store.commits
    for number in range(10_000):
        shell.node.at += 0.01
        shell.take(shell.node.measure("env.t", number % 30), quiet=True)
    assert shell.store.commits == before
    shell.take(shell.node.measure("env.t", 31), quiet=True)
    assert shell.store.commits > before


def test_the_fall_of_an_edge_is_written(shell: Shell) -> None:
    """Without it a restart would take the next rise for no edge."""
    shell.take(shell.node.start(goal("publish(env.hot): last(v('env.t')) > 30")))
    for at, value, known in ((1.0, 31, True), (2.0, 10, False)):
        shell.node.at = at
        shell.take(shell.node.measure("env.t", value), quiet=True)
        (rule,) = (value for (kind, _), value in shell.stored().items() if kind == "rule")
        assert rule["known"] is known


def test_the_beginning_and_the_end_of_a_hold_are_written(shell: Shell) -> None:
    """Without it a restart would begin it anew, or take it for unbroken."""
    shell.take(shell.node.start(goal("schedule(p, hold=20m): last(v('env.t')) > 30")))
    for at, value, since in ((1.0, 31, True), (2.0, 32, True), (3.0, 10, False)):
        shell.node.at = at
        shell.take(shell.node.measure("env.t", value), quiet=True)
        (rule,) = (value for (kind, _), value in shell.stored().items() if kind == "rule")
        assert (rule["true_since"] is not None) is since


def test_messages_are_sent_in_order_and_leave_the_store(shell: Shell) -> None:
    """Every event arrives once and in order; afterwards the table is empty."""
    shell.take(shell.node.start(goal(CRON)))
    for minute in range(1, 6):
        run = next(reversed(shell.node.orders))
        shell.take(shell.node.created(run))
        shell.take(shell.node.ends(run))
        shell.take(shell.node.advance(minute * 60.0))
    wait_until(lambda: not shell.outbox.waiting)
    wait_until(lambda: numbers(shell.reader.ids) == list(range(1, len(shell.reader.ids) + 1)))
    shell.committer.flush()
    assert shell.store.waiting()[0] == 0


def test_a_full_disk_stops_nothing_and_loses_nothing(shell: Shell) -> None:
    """While the disk is full runs are launched and events sent; when it has room everything is written at once."""
    node = shell.node
    shell.take(node.start(goal(CRON, "schedule(q): True")))
    wait_until(lambda: not shell.outbox.waiting)
    shell.fill_disk(shell.pages())
    for minute in range(1, 40):
        for run in list(node.orders):
            if run in node.state.runs and node.state.runs[run].is_active:
                shell.take(node.created(run))
                shell.take(node.ends(run))
        effects = shell.take(node.advance(minute * 60.0))
        assert any(isinstance(effect, LaunchPod) for effect in effects)
    assert not shell.committer.available
    assert shell.notices.named("state.unavailable")[0]["error"].startswith("the state in ")
    claimed = sum(len(times) for times in node.state.ledger.claimed.values())
    wait_until(lambda: not shell.outbox.waiting)
    sent = numbers(shell.reader.ids)
    assert sent == list(range(1, len(sent) + 1))
    shell.fill_disk()
    wait_until(lambda: shell.committer.available, 60)
    assert len(shell.notices.named("state.back")) == 1
    stored = shell.stored()
    assert sum(kind == "slot" for kind, _ in stored) == claimed
    assert stored["node", "node"]["run_counter"] == node.state.run_counter


def test_a_slow_disk_delays_one_batch_and_no_more(tmp_path: Path) -> None:
    """A commit that hangs is waited for once, then the node goes on; what was decided is written when it ends."""
    shell = Shell(tmp_path, patience_s=0.2)
    shell.take(shell.node.start(goal("schedule(q): True")))
    shell.store.held.clear()
    (run,) = shell.node.orders
    shell.take(shell.node.created(run))
    assert not shell.committer.available
    shell.take(shell.node.ends(run))
    shell.take(shell.node.advance(20.0))
    assert len(shell.node.orders) == 2
    assert len(shell.notices.named("state.unavailable")) == 1
    wait_until(lambda: not shell.outbox.waiting)
    shell.store.held.set()
    wait_until(lambda: shell.committer.available)
    shell.close()
    assert shell.stored()["node", "node"]["run_counter"] == 2
    sent = numbers(shell.reader.ids)
    assert sent == list(range(1, len(sent) + 1))


def test_what_cannot_be_written_is_told_before_it_is_acted_on(shell: Shell) -> None:
    """A kill right after `commit` loses no event, though none is on the disk: the slow broker has them all."""
    node = shell.node
    shell.take(node.start(goal(CRON)))
    wait_until(lambda: not shell.outbox.waiting)
    shell.fill_disk(shell.pages())
    shell.reader.delay_s = 0.1
    for minute in range(1, 40):
        for run in [run for run in node.orders if run in node.state.runs and node.state.runs[run].is_active]:
            shell.take(node.created(run))
            shell.take(node.ends(run))
        shell.take(node.advance(minute * 60.0))
        if not shell.committer.available:
            assert numbers(shell.reader.ids) == list(range(1, node.state.effect_counter + 1))
    assert not shell.committer.available
    # a broker that is away, too, is not waited for
    shell.reader.away = True
    (run,) = [run for run in node.orders if run in node.state.runs and node.state.runs[run].is_active]
    shell.take(node.created(run))
    wait_until(lambda: shell.outbox.failures)
    began_s = time.monotonic()
    shell.take(node.ends(run))
    assert time.monotonic() - began_s < TELL_S
    shell.reader.away = False
    shell.fill_disk()


def test_a_disk_that_hangs_keeps_no_event_back(tmp_path: Path) -> None:
    """A commit hangs in the middle of its transaction: events go out meanwhile, and in order."""
    shell = Shell(tmp_path, patience_s=0.2)
    shell.take(shell.node.start(goal(CRON)))
    wait_until(lambda: not shell.outbox.waiting)
    back = threading.Event()
    assert shell.store._db is not None
    shell.store._db.set_progress_handler(lambda: int(not back.wait(30)), 1)
    (run,) = shell.node.orders
    shell.take(shell.node.created(run))
    assert not shell.committer.available
    shell.take(shell.node.ends(run))
    wait_until(lambda: numbers(shell.reader.ids)[-1] == shell.node.state.effect_counter, 4)
    assert not shell.committer.available
    back.set()
    wait_until(lambda: shell.committer.available, 20)
    shell.close()
    assert numbers(shell.reader.ids) == list(range(1, shell.node.state.effect_counter + 1))


def test_a_confirmation_is_not_worth_a_write_of_its_own(shell: Shell) -> None:
    """It rides on the next commit, and is written at the stop."""
    shell.take(shell.node.start(goal(CRON)))
    wait_until(lambda: not shell.outbox.waiting)
    before = shell.store.commits
    shell.committer.nudge()
    wait_until(lambda: shell.committer._write(tidy=False) is None)
    assert shell.store.commits == before
    assert shell.store.waiting()[0] > 0
    (run,) = shell.node.orders
    shell.take(shell.node.created(run))
    assert shell.store.commits == before + 1
    wait_until(lambda: not shell.outbox.waiting)
    shell.committer.flush()
    assert shell.store.waiting()[0] == 0


def test_a_file_that_is_damaged_while_running_is_begun_anew(shell: Shell) -> None:
    """The file on disk turns to garbage: it is set aside, and everything that is known is written into a new one."""
    node = shell.node
    shell.take(node.start(goal(CRON)))
    wait_until(lambda: not shell.outbox.waiting)
    shell.committer.flush()
    shell.store.close()
    shell.path.write_bytes(b"garbage" * 5000)
    shell.store._closed = False
    (run,) = node.orders
    shell.take(node.created(run))
    wait_until(lambda: shell.notices.named("state.corrupt"))
    shell.take(node.ends(run))
    wait_until(lambda: shell.committer.available, 30)
    stored = shell.stored()
    assert {"node", "goal", "job", "plugin", "rule", "run", "slot"} <= {kind for kind, _ in stored}


def test_a_lost_message_is_reported_by_a_message(tmp_path: Path) -> None:
    """When the outbox is full the least go, and an event behind the gap says how many."""
    shell = Shell(tmp_path, limit=20)
    shell.reader.away = True
    shell.take(shell.node.start(goal("publish(env.x, every=10s): True")))
    for number in range(1, 60):
        shell.take(shell.node.advance(number * 10.0))
    wait_until(lambda: shell.notices.named("outbox.lost"), 20)
    shell.reader.away = False
    wait_until(lambda: any("lost" in each for each in shell.reader.ids), 30)
    wait_until(lambda: not shell.outbox.waiting)
    shell.close()
    sent = numbers(shell.reader.ids)
    lost = sum(fields["count"] for fields in shell.notices.named("outbox.lost"))
    assert shell.outbox.dropped == lost
    assert len(sent) + lost == shell.node.state.effect_counter


def test_a_message_that_comes_while_the_outbox_settles_is_not_forgotten(shell: Shell) -> None:
    """The count may be wrong, the store is not: what is in it is sent."""
    shell.reader.away = True
    shell.take(shell.node.start(goal(CRON)))
    wait_until(lambda: shell.outbox.failures)
    shell.outbox._settle()
    assert shell.outbox.waiting
    shell.reader.away = False
    wait_until(lambda: not shell.outbox.waiting)
    assert numbers(shell.reader.ids) == list(range(1, shell.node.state.effect_counter + 1))


def test_scoreboard_values_wait_until_they_are_shown(shell: Shell) -> None:
    """A value is in the store until the board has it; an older confirmation does not drop a newer value."""
    first, second = SetState("1", "mode", "busy"), SetState("2", "mode", "idle")
    shell.take([first])
    assert shell.store.scoreboard() == {"mode": "busy"}
    shell.take([second])
    shell.committer.shown(second)
    shell.committer.flush()
    assert shell.store.scoreboard() == {}


def test_what_could_not_be_read_at_the_start_does_not_come_back(tmp_path: Path) -> None:
    """A node that began anew beside an unreadable file does not find its old goals at the next start."""
    store = StateFile(tmp_path / "state.db", notice=Notices(), now_ns=lambda: 0)
    store.open()
    store.commit([Record("goal", "files/old", {}), Record("slot", "x", {})])
    committer = Committer(store, Recorder(), notice=Notices(), anew=True)
    node = Driver()
    thread = threading.Thread(target=committer.run, args=(stop := threading.Event(), lambda: None))
    thread.start()
    committer.commit(node.state, node.start(goal(CRON)), False)
    stop.set()
    committer.nudge()
    thread.join(10)
    keys = {record[:2] for record in store.records()}
    store.close()
    assert ("slot", "x") in keys
    assert ("goal", "files/old") not in keys
    assert ("goal", "stream/7") in keys


def test_events_are_measured(shell: Shell) -> None:
    """A `Measured` that fires is acted on after a commit, as any other event."""
    shell.take(shell.node.start(goal("schedule(p): any(v('env.t') > 30)")))
    before = shell.store.commits
    event = Measured(Measurement("env.t", shell.node.now.ts_ns - 1, 31))
    shell.take(shell.node.send(event), quiet=True)
    assert shell.store.commits == before + 1
    connection = sqlite3.connect(shell.copy())
    assert connection.execute("SELECT count(*) FROM records WHERE kind = 'run'").fetchone()[0] == 1
    connection.close()
