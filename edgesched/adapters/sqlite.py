"""The state on disk: one SQLite file, one transaction a batch.

`commit` is durable when it returns (WAL, synchronous=FULL: one fdatasync). The file and its directory are for their
owner only. A file that is no database, or a damaged one, is set aside as `state.db.corrupt-<time>` and the agent starts
from its goals and the cluster; a file of a newer schema is left alone and refused.

Messages wait in the table `outbox` until they are confirmed. It is bounded by number and age: when it is full, the
oldest messages of low value go first (`plugin.event` and the like, then values, then the rest), and what went is
counted, so that the gap itself can be reported.

A file that fails for good (input/output error, damage found while running) is closed and opened again at the next use;
one that cannot be written at the start can often still be read, which is enough to know the goals.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from edgesched.core.model import NS_PER_S, Message
from edgesched.core.plan.records import Record
from edgesched.errors import StoreNewerError, StoreUnavailableError
from edgesched.ports import Notice

SCHEMA: Final = 2
READ_PATIENCE_S: Final = 1.0
OUTBOX_LIMIT: Final = 50_000
OUTBOX_AGE_S: Final = 14 * 86_400
_PASSING: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
"""Errors that leave the connection as it was."""
LOW_VALUE: Final = ("sys.scheduler.status.plugin.event", "sys.scheduler.status.plugin.initializing")

_ALL_RECORDS: Final = "SELECT kind, key, value FROM records"
_DROP_LEAST: Final = """
    DELETE FROM outbox WHERE seq IN (
        SELECT seq FROM outbox
        ORDER BY CASE WHEN name IN (?, ?) THEN 0 WHEN as_text THEN 2 ELSE 1 END, seq LIMIT ?)
    """

_MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key))
        WITHOUT ROWID;
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        scope TEXT NOT NULL, as_text INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE TABLE scoreboard (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    # an index and a counter cost two pages a commit; a repeat is dropped by the reader, and we count ourselves
    """
    CREATE TABLE queue (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL, name TEXT NOT NULL, ts_ns INTEGER NOT NULL,
        scope TEXT NOT NULL, as_text INTEGER NOT NULL, body TEXT NOT NULL);
    INSERT INTO queue SELECT seq, id, name, ts_ns, scope, as_text, body FROM outbox;
    DROP TABLE outbox;
    ALTER TABLE queue RENAME TO outbox;
    """,
)
"""Script number n brings schema n to schema n + 1; scripts are never changed, only added."""


class StateFile:
    """The state of one node in a file. Methods are callable from any thread; they take turns.

    `generation` counts the files: it changes when a damaged file was set aside and an empty one took its place.
    """

    def __init__(self, path: Path, *, notice: Notice, now_ns: Callable[[], int]) -> None:
        self._path = path
        self._notice = notice
        self._now_ns = now_ns
        self._turn = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._closed = True
        self._last_seq = 0
        self.generation = 0

    def open(self) -> None:
        """Open the file, make it or bring it up to date.

        Raises: StoreNewerError for a newer schema; StoreUnavailableError when the directory cannot be written.
        """
        with self._turn:
            self._closed = False
            self._open()

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._closed = True
            self._let_go()

    def records(self) -> list[Record]:
        """Read all records."""
        with self._reading() as db:
            rows = db.execute(_ALL_RECORDS).fetchall()
        return [Record(kind, key, json.loads(value)) for kind, key, value in rows]

    def last_records(self) -> list[Record]:
        """Read all records of a file that cannot be written, none when that fails too."""
        # One reader alone needs no shared memory beside the log, for which a full disk has no room; what lies on a
        # read-only file system cannot be locked, and need not be; after a clean end it has no log.
        for mode in ("mode=rw", "mode=ro&vfs=unix-none", "immutable=1"):
            with contextlib.suppress(sqlite3.Error, ValueError):
                db = sqlite3.connect(f"file:{quote(str(self._path))}?{mode}", uri=True)
                try:
                    db.execute("PRAGMA locking_mode = EXCLUSIVE")
                    rows = db.execute(_ALL_RECORDS).fetchall()
                finally:
                    db.close()
                return [Record(kind, key, json.loads(value)) for kind, key, value in rows]
        return []

    def set_aside(self, problem: str) -> None:
        """Put a file away whose content makes no sense and begin an empty one. Raises StoreUnavailableError."""
        with self._turn:
            self._let_go()
            try:
                self._set_aside(problem)
                self._open()
            except OSError as error:
                raise self._unavailable(error) from error

    def commit(
        self,
        records: Sequence[Record],
        messages: Sequence[Message] = (),
        scoreboard: Sequence[tuple[str, str | None]] = (),
        *,
        sent: int = 0,
    ) -> None:
        """Write records, messages to be sent and scoreboard values in one transaction; durable on return.

        A scoreboard value None is forgotten. `sent`: forget the messages up to this number, they are confirmed.
        Raises: StoreUnavailableError; nothing has been written then.
        """
        put = [(kind, _clean(key), _text(value)) for kind, key, value in records if value is not None]
        drop = [(kind, _clean(key)) for kind, key, value in records if value is None]
        rows = [(_clean(m.message_id), _clean(m.name), m.ts_ns, m.scope, m.as_text, _text(_body(m))) for m in messages]
        with self._writing() as db:
            # a number is not used again, also when all messages before it are gone
            numbered = [(seq, *row) for seq, row in enumerate(rows, self._last_seq + 1)]
            self._last_seq += len(rows)
            if put:
                db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", put)
            if drop:
                db.executemany("DELETE FROM records WHERE kind = ? AND key = ?", drop)
            if rows:
                db.executemany("INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?)", numbered)
            if scoreboard:
                values = [(_clean(key), _clean(value)) for key, value in scoreboard if value is not None]
                db.executemany("INSERT OR REPLACE INTO scoreboard VALUES (?, ?)", values)
                gone = [(_clean(key),) for key, value in scoreboard if value is None]
                db.executemany("DELETE FROM scoreboard WHERE key = ?", gone)
            if sent:
                db.execute("DELETE FROM outbox WHERE seq <= ?", (sent,))

    def begin_anew(self) -> None:
        """Forget all records but the claimed slots. Raises StoreUnavailableError."""
        with self._writing() as db:
            db.execute("DELETE FROM records WHERE kind <> 'slot'")

    # -- outbox -----------------------------------------------------------------------------------------------------

    def unsent(self, limit: int, after: int = 0) -> list[tuple[int, Message]]:
        """Return the oldest messages that wait, with their numbers, all of them greater than `after`."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, id, name, ts_ns, scope, as_text, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        return [(row[0], _message(row[1:])) for row in rows]

    def waiting(self) -> tuple[int, int]:
        """Return how many messages wait, and the time (ns) of the oldest, 0 without one."""
        with self._reading() as db:
            count, oldest_ns = db.execute("SELECT count(*), min(ts_ns) FROM outbox").fetchone()
        return count, oldest_ns or 0

    def trim(self, limit: int = OUTBOX_LIMIT, age_s: int | None = OUTBOX_AGE_S) -> int:
        """Drop what is too much or too old; returns how many messages were lost by it. `age_s` None: of any age."""
        with self._writing() as db:
            lost = 0
            if age_s is not None:
                oldest_ns = self._now_ns() - age_s * NS_PER_S
                lost = db.execute("DELETE FROM outbox WHERE ts_ns < ?", (oldest_ns,)).rowcount
            over = db.execute("SELECT count(*) FROM outbox").fetchone()[0] - limit
            if over > 0:
                db.execute(_DROP_LEAST, (*LOW_VALUE, over))
                lost += over
        return lost

    def scoreboard(self) -> dict[str, str]:
        """Return the scoreboard values that were set."""
        with self._reading() as db:
            return dict(db.execute("SELECT key, value FROM scoreboard ORDER BY key").fetchall())

    # -- the file ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = self._connect()
        except sqlite3.OperationalError as error:
            raise self._unavailable(error) from error
        except sqlite3.DatabaseError as error:
            self._set_aside(str(error))
            self._db = self._connect()
        except OSError as error:
            raise self._unavailable(error) from error

    def _let_go(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _connect(self) -> sqlite3.Connection:
        # the umask is the process's, so the file is made before SQLite opens it
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
        db = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            # records are small and lie apart: small pages write a third of what the usual ones do
            db.execute("PRAGMA page_size = 512")
            # the directory is ours alone: the index of the log stays in memory, where no kernel writes it to the card
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            # the same pages are written again and again: the log takes 2 MB of them before they go to the file
            db.execute("PRAGMA wal_autocheckpoint = 4000")
            problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise sqlite3.DatabaseError(problem)
            self._migrate(db)
            newest = db.execute("SELECT max(seq) FROM outbox").fetchone()[0]
            self._last_seq = max(self._last_seq, newest or 0)
        except BaseException:
            db.close()
            raise
        return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise StoreNewerError(
                f"{self._path} was written by a newer version (schema {version}, this one knows {SCHEMA})",
                hint="install that version again, or move the file away to start anew",
            )
        for number in range(version, SCHEMA):
            db.executescript(f"BEGIN; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")

    def _set_aside(self, problem: str) -> None:
        aside = self._path.with_name(f"{self._path.name}.corrupt-{self._now_ns() // NS_PER_S}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self._path}{suffix}", f"{aside}{suffix}")
        self.generation += 1
        self._notice("state.corrupt", level="error", error=problem, kept_as=aside.name)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        # a disk that hangs keeps the writer for minutes; nobody else shall wait that long
        if not self._turn.acquire(timeout=READ_PATIENCE_S):
            raise self._unavailable(TimeoutError(f"a commit takes longer than {READ_PATIENCE_S:g} s"))
        try:
            yield self._opened()
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error
        finally:
            self._turn.release()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            try:
                db = self._opened()
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError, OverflowError) as error:
                raise self._failed(error) from error

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            if self._closed:
                raise sqlite3.ProgrammingError("the file is closed")
            self._open()
        assert self._db is not None
        return self._db

    def _failed(self, error: Exception) -> StoreUnavailableError:
        """After an error that may have spoiled the connection the next use opens the file anew."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF not in _PASSING:
            self._let_go()
        return self._unavailable(error)

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the state in {self._path.parent} cannot be used: {error}",
            hint="free some space, or make the directory writable for the agent; it goes on meanwhile",
        )


# made once: a full minute writes thousands of texts
_text: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode


def _clean(text: str) -> str:
    """Escape what no database stores: half a surrogate pair in a name that somebody made up."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _body(message: Message) -> dict[str, Any]:
    value = message.value
    return {"value": dict(value) if isinstance(value, Mapping) else value, "meta": dict(message.meta)}


def _message(row: tuple[Any, ...]) -> Message:
    message_id, name, ts_ns, scope, as_text, body = row
    fields = json.loads(body)
    return Message(name, ts_ns, fields["value"], fields["meta"], scope, message_id, bool(as_text))
