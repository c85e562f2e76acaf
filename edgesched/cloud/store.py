"""One database, one writer, group commits.

Policy. Every change is a *unit of work*: a function of a connection that reads what it needs, decides, writes, and
returns or raises. One thread runs the units, all that wait in one transaction, each behind a savepoint, so a unit that
raises undoes only itself. The caller hears of it after the commit. Because one thread does all writing, a unit sees a
state that nobody changes under it, and 200 answers cost one synchronous write to the disk instead of 200.

`applied` runs on the event loop, in commit order, before the caller continues: what is kept in memory (goals in force,
streams) follows the database in its order even when the caller's connection has gone.

SQLite runs in WAL with `synchronous=FULL`: what was answered survives a power cut. Its own transaction handling is
switched off, `BEGIN IMMEDIATE` is ours. PostgreSQL works the same way: an advisory lock stands for SQLite's one writer
(the token command writes beside a running cloud), and a connection is tried before it is used, so a database that was
away is found again.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from edgesched.cloud import schema
from edgesched.errors import ConfigError, TransientError

T = TypeVar("T")
Work = Callable[[Connection], T]

BATCH: Final = 200
WAITING: Final = 10_000
READ_ONLY: Final = {"edgesched_read_only": True}
POSTGRESQL: Final = "postgresql+psycopg://"
CONNECT_TIMEOUT_S: Final = 5
WRITER_LOCK: Final = 0x65646765  # any number that is ours within a database


class StoreUnavailableError(TransientError):
    """The database does not work: disk full, file locked, server away."""

    code = "store.unavailable"


class Store:
    """The database. Open and use it on one event loop; `read` and `write` are coroutines."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**READ_ONLY)
        self._loop = loop
        self._readers = ThreadPoolExecutor(2, "store-read")
        self._units: queue.Queue[_Unit | None] = queue.Queue(WAITING)
        self._writer = threading.Thread(target=self._write_loop, name="store-write", daemon=True)
        self._writer.start()

    async def read(self, work: Work[T]) -> T:
        """Run a unit that only reads. Raises what the unit raises, StoreUnavailableError when the database fails."""
        return await self._loop.run_in_executor(self._readers, self._read, work)

    def write(self, work: Work[T], applied: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Run a unit in a transaction; the result comes after the commit.

        `applied` is called with the result on the event loop, in commit order. Raises as `read`; a full queue of units
        counts as unavailable.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        try:
            self._units.put_nowait(_Unit(work, applied, future))
        except queue.Full:
            future.set_exception(StoreUnavailableError("too many changes are waiting", retry_after_s=1))
        return future

    async def close(self) -> None:
        """Finish what waits, then close the database."""
        self._units.put(None)
        await self._loop.run_in_executor(None, self._writer.join)
        self._readers.shutdown()
        self._engine.dispose()

    def _read(self, work: Work[T]) -> T:
        try:
            with self._reading.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def _write_loop(self) -> None:
        while (unit := self._units.get()) is not None:
            batch = [unit]
            last = False
            while len(batch) < BATCH:
                try:
                    more = self._units.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                batch.append(more)
            self._write(batch)
            self._loop.call_soon_threadsafe(_deliver, batch)
            if last:
                return

    def _write(self, batch: list[_Unit]) -> None:
        try:
            with self._engine.begin() as connection:
                for unit in batch:
                    _run_unit(connection, unit)
        except SQLAlchemyError as error:
            for unit in batch:
                unit.fail(_unavailable(error))


class _Unit:
    """A unit of work that waits for the writer, and its outcome."""

    __slots__ = ("applied", "error", "future", "result", "work")

    def __init__(self, work: Work[Any], applied: Callable[[Any], None] | None, future: asyncio.Future[Any]) -> None:
        self.work = work
        self.applied = applied
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Keep the first reason why this unit did not happen."""
        if self.error is None:
            self.error = error


def _run_unit(connection: Connection, unit: _Unit) -> None:
    connection.exec_driver_sql("SAVEPOINT unit")
    try:
        unit.result = unit.work(connection)
    except sa.exc.OperationalError:
        raise  # the database itself: the whole transaction is lost
    except Exception as error:  # noqa: BLE001 - the caller gets it, whatever it is
        unit.error = _unavailable(error) if isinstance(error, SQLAlchemyError) else error
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT unit")
    connection.exec_driver_sql("RELEASE SAVEPOINT unit")


def _deliver(batch: list[_Unit]) -> None:
    for unit in batch:
        if unit.error is None and unit.applied is not None:
            unit.applied(unit.result)
        if unit.future.done():  # the caller went away
            continue
        if unit.error is None:
            unit.future.set_result(unit.result)
        else:
            unit.future.set_exception(unit.error)


def _unavailable(error: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(f"the database failed: {str(error.__cause__ or error)[:256]}", retry_after_s=5)


def database_url(data_dir: Path, url: str = "") -> str:
    """Return the SQLAlchemy address: `url` when given, else the SQLite file in `data_dir`.

    PostgreSQL's own form of an address names no driver; ours is added.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme in {"postgres", "postgresql"}:
        return f"{POSTGRESQL}{rest}"
    return url or f"sqlite:///{data_dir / 'cloud.db'}"


def open_engine(data_dir: Path, url: str = "") -> Engine:
    """Open the database and bring its tables up. Raises ConfigError when that is impossible or it is a newer one."""
    try:
        if not url:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = _engine(database_url(data_dir, url))
        with engine.begin() as connection:
            schema.metadata.create_all(connection)
            _check_version(connection)
    except ImportError as error:
        hint = "pip install 'edgesched[postgresql]'" if "psycopg" in str(error) else "install the database's driver"
        raise ConfigError(f"cannot open the database: {error}", hint=hint) from error
    except (OSError, SQLAlchemyError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:256]
        hint = "check EDGESCHED_DATABASE_URL" if url else "check --data-dir"
        raise ConfigError(f"cannot open the database: {reason}", hint=hint) from error
    return engine


def _engine(address: str) -> Engine:
    if sa.make_url(address).get_backend_name() == "postgresql":
        engine = sa.create_engine(address, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_TIMEOUT_S})
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    engine = sa.create_engine(address)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if _only_reads(connection) else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    if not _only_reads(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")


def _only_reads(connection: Connection) -> bool:
    return READ_ONLY.items() <= connection.get_execution_options().items()


def _check_version(connection: Connection) -> None:
    found = connection.scalar(sa.select(schema.about.c.value).where(schema.about.c.key == "schema"))
    if found is None:
        connection.execute(schema.about.insert().values(key="schema", value=str(schema.VERSION)))
    elif int(found) != schema.VERSION:
        message = f"the database has schema {found}, this program knows {schema.VERSION}"
        raise ConfigError(message, hint="use the program that wrote it or a fresh --data-dir")
