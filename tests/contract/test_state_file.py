"""The state file: durable, private, forgiving of damage, strict about the future."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesched.adapters.sqlite import _MIGRATIONS, StateFile
from edgesched.core.model import NS_PER_S, Message
from edgesched.core.plan.records import Record
from edgesched.errors import StoreNewerError, StoreUnavailableError

NOW_NS = 1_700_000_000 * NS_PER_S


class Notices(list[tuple[str, dict[str, Any]]]):
    """Collects what the store says."""

    def __call__(self, event: str, **fields: Any) -> None:
        self.append((event, fields))


@pytest.fixture
def notices() -> Notices:
    """What the store said."""
    return Notices()


@pytest.fixture
def state(tmp_path: Path, notices: Notices) -> Iterator[StateFile]:
    """An open, empty state file."""
    opened = StateFile(tmp_path / "state" / "state.db", notice=notices, now_ns=lambda: NOW_NS)
    opened.open()
    yield opened
    opened.close()


def message(number: int, name: str = "sys.scheduler.status.plugin.failed", *, ts_ns: int = NOW_NS) -> Message:
    """Return a message to be sent."""
    return Message(name, ts_ns, {"number": number}, {"k": "v"}, "all", f"id-{number}", as_text=True)


def test_what_was_committed_is_read_back_by_the_next_process(tmp_path: Path, notices: Notices) -> None:
    """Records are replaced and dropped by key; messages keep their order and every field."""
    path = tmp_path / "state.db"
    first = StateFile(path, notice=notices, now_ns=lambda: NOW_NS)
    first.open()
    first.commit([Record("run", "a", {"x": 1}), Record("run", "b", {"x": 2})], [message(1), message(2)])
    first.commit([Record("run", "a", {"x": 3}), Record("run", "b", None)], [], [("mode", "busy")])
    first.close()
    second = StateFile(path, notice=notices, now_ns=lambda: NOW_NS)
    second.open()
    assert second.records() == [Record("run", "a", {"x": 3})]
    assert [each for _, each in second.unsent(10)] == [message(1), message(2)]
    assert second.scoreboard() == {"mode": "busy"}
    second.close()


def test_a_message_leaves_when_it_is_confirmed(state: StateFile) -> None:
    """Confirmation goes by number, oldest first; no number is used twice, also when nothing is left."""
    state.commit([], [message(1), message(2)])
    state.commit([], [message(3)])
    numbers = [number for number, _ in state.unsent(10)]
    assert len(numbers) == 3
    state.commit([], sent=numbers[1])
    assert [each.message_id for _, each in state.unsent(10)] == ["id-3"]
    assert state.waiting() == (1, NOW_NS)
    state.commit([], sent=numbers[2])
    state.close()
    state.open()
    state.commit([], [message(4)])
    assert [each.message_id for _, each in state.unsent(10, after=numbers[2])] == ["id-4"]


def test_a_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path, notices: Notices) -> None:
    """Records, messages in their order and values of an older version are still there."""
    path = tmp_path / "state.db"
    old = sqlite3.connect(path)
    old.executescript(f"{_MIGRATIONS[0]} PRAGMA user_version = 1;")
    old.execute("INSERT INTO records VALUES ('run', 'a', '{\"x\":1}')")
    old.executemany(
        "INSERT INTO outbox (seq, id, name, ts_ns, scope, as_text, body) VALUES (?, ?, 'n', 7, 'all', 1, ?)",
        [(number, f"id-{number}", '{"value":1,"meta":{}}') for number in (41, 42)],
    )
    old.execute("INSERT INTO scoreboard VALUES ('mode', 'busy')")
    old.commit()
    old.close()
    opened = StateFile(path, notice=notices, now_ns=lambda: NOW_NS)
    opened.open()
    opened.commit([], [message(43)])
    assert opened.records() == [Record("run", "a", {"x": 1})]
    assert [(number, each.message_id) for number, each in opened.unsent(10)] == [
        (41, "id-41"),
        (42, "id-42"),
        (43, "id-43"),
    ]
    assert opened.scoreboard() == {"mode": "busy"}
    opened.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 2
    db.close()
    assert notices == []


def test_a_full_outbox_loses_the_least_valuable_first(state: StateFile) -> None:
    """Kubernetes chatter goes before values, values before ends of runs; what is lost is counted."""
    state.commit(
        [],
        [
            message(1),
            message(2, "sys.scheduler.status.plugin.event"),
            Message("env.rain", NOW_NS, 1, {}, "all", "id-3"),
            message(4, "sys.scheduler.status.plugin.event"),
        ],
    )
    assert state.trim(limit=2) == 2
    assert [each.message_id for _, each in state.unsent(10)] == ["id-1", "id-3"]
    assert state.trim(limit=1) == 1
    assert [each.message_id for _, each in state.unsent(10)] == ["id-1"]


def test_messages_too_old_are_lost(state: StateFile) -> None:
    """A fortnight is the age limit of what a reader still wants."""
    state.commit([], [message(1, ts_ns=NOW_NS - 20 * 86_400 * NS_PER_S), message(2)])
    assert state.trim() == 1
    assert [each.message_id for _, each in state.unsent(10)] == ["id-2"]


def test_files_are_for_their_owner_only(state: StateFile, tmp_path: Path) -> None:
    """No file of the state can be read by others, whatever the umask is."""
    state.commit([Record("run", "a", {})])
    for path in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_damaged_file_is_set_aside_and_reported(tmp_path: Path, notices: Notices) -> None:
    """Garbage instead of a database: kept under another name, and the node starts anew."""
    path = tmp_path / "state.db"
    path.write_bytes(b"this is not a database" * 100)
    opened = StateFile(path, notice=notices, now_ns=lambda: NOW_NS)
    opened.open()
    assert opened.records() == []
    ((event, fields),) = notices
    assert (event, fields["kept_as"]) == ("state.corrupt", "state.db.corrupt-1700000000")
    assert (tmp_path / "state.db.corrupt-1700000000").read_bytes().startswith(b"this is not")
    opened.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path, notices: Notices) -> None:
    """A downgrade must not eat the state: one clear line, the file as it was."""
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    opened = StateFile(path, notice=notices, now_ns=lambda: NOW_NS)
    with pytest.raises(StoreNewerError, match=r"newer version \(schema 99, this one knows 2\)"):
        opened.open()
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone()[0] == 99


def test_a_directory_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path, notices: Notices) -> None:
    """The line says where, and what to do."""
    (tmp_path / "file").write_text("")
    opened = StateFile(tmp_path / "file" / "state.db", notice=notices, now_ns=lambda: NOW_NS)
    with pytest.raises(StoreUnavailableError, match=r"cannot be used.*make the directory writable"):
        opened.open()


def test_a_failed_commit_leaves_everything_as_it_was(state: StateFile) -> None:
    """One bad row, no row: a batch is all or nothing."""
    state.commit([Record("run", "a", {"x": 1})])
    bad = message(2, ts_ns=2**70)
    with pytest.raises(StoreUnavailableError):
        state.commit([Record("run", "a", {"x": 2})], [message(1), bad])
    assert state.records() == [Record("run", "a", {"x": 1})]
    assert state.unsent(10) == []


def test_a_commit_survives_a_kill_right_after_it(tmp_path: Path) -> None:
    """The process is killed the moment that commit returns; the next one reads the batch."""
    path = tmp_path / "state.db"
    program = (
        "import os, signal, sys; from pathlib import Path;"
        "from edgesched.adapters.sqlite import StateFile; from edgesched.core.plan.records import Record;"
        "s = StateFile(Path(sys.argv[1]), notice=print, now_ns=lambda: 0); s.open();"
        "s.commit([Record('slot', 'x', {})]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=30)
    assert done.returncode == -9
    again = StateFile(path, notice=print, now_ns=lambda: NOW_NS)
    again.open()
    assert again.records() == [Record("slot", "x", {})]
    again.close()


def test_a_full_disk_is_reported_and_heals(state: StateFile, tmp_path: Path) -> None:
    """While the file may not grow a commit fails whole; when it may again the same batch goes through."""
    connection = state._db
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    assert pages < 100
    connection.execute(f"PRAGMA max_page_count = {pages}")
    batch = [Record("run", f"r{number}", {"text": "x" * 1000}) for number in range(50)]
    with pytest.raises(StoreUnavailableError, match="full"):
        state.commit(batch)
    assert state.records() == []
    connection.execute("PRAGMA max_page_count = 1000000")
    state.commit(batch)
    assert len(state.records()) == 50


def test_it_costs_no_more_than_its_files(state: StateFile, tmp_path: Path) -> None:
    """Two thousand commits of one record do not let the write-ahead log grow without bound."""
    for number in range(2000):
        state.commit([Record("run", "a", {"n": number})])
    assert sum(os.path.getsize(path) for path in (tmp_path / "state").iterdir()) < 4 * 1024 * 1024
