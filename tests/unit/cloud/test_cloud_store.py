"""The database: group commits, undone units, order, and what runs beside requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from edgesched.cloud import jobs, records, schema
from edgesched.cloud.app import open_parts, sweep
from edgesched.cloud.config import CloudConfig
from edgesched.cloud.jobs import Submission
from edgesched.cloud.parts import Parts
from edgesched.cloud.records import Heard
from edgesched.cloud.store import Store, StoreUnavailableError, open_engine
from edgesched.core.model import DAY_NS, Instant, Job, Plugin, PluginSpec
from edgesched.errors import ConfigError

NOW_NS = 1_790_000_000_000_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.ts_ns = NOW_NS

    def now(self) -> Instant:
        """The time."""
        return Instant(self.ts_ns, self.ts_ns)


def with_store(folder: Path, use: Callable[[Store], Awaitable[None]]) -> None:
    """Run a coroutine with a fresh database."""

    async def run() -> None:
        store = Store(open_engine(folder), asyncio.get_running_loop())
        try:
            await use(store)
        finally:
            await store.close()

    asyncio.run(run())


def put(key: str) -> Callable[[Connection], str]:
    """A unit that writes a row."""

    def unit(connection: Connection) -> str:
        connection.execute(schema.about.insert().values(key=key, value="x"))
        return key

    return unit


def keys(connection: Connection) -> set[str]:
    """The rows that `put` wrote."""
    return set(connection.scalars(sa.select(schema.about.c.key))) - {"schema"}


def test_a_unit_that_raises_undoes_only_itself(tmp_path: Path) -> None:
    """Its neighbours in the same transaction are committed."""

    def bad(connection: Connection) -> str:
        put("half")(connection)
        raise ValueError("no")

    async def use(store: Store) -> None:
        outcomes = await asyncio.gather(
            store.write(put("a")),
            store.write(bad),
            store.write(put("a")),
            store.write(put("b")),
            return_exceptions=True,
        )
        assert outcomes[0] == "a"
        assert isinstance(outcomes[1], ValueError)
        assert isinstance(outcomes[2], StoreUnavailableError)
        assert outcomes[3] == "b"
        assert await store.read(keys) == {"a", "b"}

    with_store(tmp_path, use)


def test_memory_follows_in_the_order_of_commits_also_for_callers_that_left(tmp_path: Path) -> None:
    """`applied` runs for each committed unit, whether or not somebody still waits for it."""
    seen: list[str] = []

    async def use(store: Store) -> None:
        waiting = [store.write(put(f"k{number}"), seen.append) for number in range(50)]
        for gone in waiting[::2]:
            gone.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await store.write(put("last"))
        assert seen == [f"k{number}" for number in range(50)]
        assert len(await store.read(keys)) == 51

    with_store(tmp_path, use)


def test_a_broken_database_is_unavailable_and_heals(tmp_path: Path) -> None:
    """A failure of the database itself loses the whole batch, says so to all, and ends with its cause."""

    def broken(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT * FROM no_such_table")

    async def use(store: Store) -> None:
        outcomes = await asyncio.gather(store.write(put("a")), store.write(broken), return_exceptions=True)
        assert isinstance(outcomes[1], StoreUnavailableError)
        with pytest.raises(StoreUnavailableError, match="no such table"):
            await store.read(broken)
        await store.write(put("b"))
        assert "b" in await store.read(keys)

    with_store(tmp_path, use)


def test_what_waits_is_written_before_the_end(tmp_path: Path) -> None:
    """Closing loses nothing."""

    async def use(store: Store) -> None:
        for number in range(300):
            store.write(put(f"k{number}"))

    with_store(tmp_path, use)
    engine = open_engine(tmp_path)
    with engine.connect() as connection:
        assert len(keys(connection)) == 300
    engine.dispose()


def test_a_newer_or_foreign_database_is_refused(tmp_path: Path) -> None:
    """One line that says what to do."""
    engine = open_engine(tmp_path)
    with engine.begin() as connection:
        connection.execute(schema.about.update().values(value="99"))
    engine.dispose()
    with pytest.raises(ConfigError, match="schema 99"):
        open_engine(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "cloud.db").write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="cannot open the database"):
        open_engine(tmp_path / "other")


def with_parts(folder: Path, clock: Clock, use: Callable[[Parts], Awaitable[None]]) -> None:
    """Run a coroutine with the parts of a cloud."""

    async def run() -> None:
        parts = await open_parts(CloudConfig(data_dir=folder, keep_days=2), clock)
        try:
            await use(parts)
        finally:
            await parts.store.close()

    asyncio.run(run())


def test_a_job_ends_a_day_after_its_wall_clock(tmp_path: Path) -> None:
    """Nodes that never report do not keep it for ever; the goal leaves the nodes."""
    clock = Clock()
    job = Job("j", (Plugin("p", PluginSpec("i:1")),), ("A",), success_criteria=("WallClock(1h)", "WallClock(2h)"))

    async def use(parts: Parts) -> None:
        job_id = await parts.store.write(lambda connection: jobs.create(connection, "u", job, "{}", NOW_NS))
        submission = Submission(job, ("A",), "g")
        goal = await parts.store.write(lambda connection: jobs.submit(connection, job_id, 1, submission, NOW_NS))
        parts.in_force(job_id, goal)

        async def state() -> str:
            record = await parts.store.read(lambda connection: jobs.load(connection, job_id))
            return record.standing.state.value

        clock.ts_ns = NOW_NS + 3 * DAY_NS
        await sweep(parts)
        assert await state() == "Submitted"
        record = await parts.store.read(lambda connection: jobs.load(connection, job_id))
        await parts.store.write(lambda connection: jobs.start(connection, record, clock.ts_ns))
        started_ns = clock.ts_ns
        clock.ts_ns = started_ns + DAY_NS + 3_599 * 10**9
        await sweep(parts)
        assert await state() == "Running"
        clock.ts_ns = started_ns + DAY_NS + 3_600 * 10**9
        await sweep(parts)
        assert await state() == "Completed"
        assert parts.board.goals("A") == []

    with_parts(tmp_path, clock, use)


def test_old_records_go_with_their_series(tmp_path: Path) -> None:
    """What is older than the days to keep is deleted; the rest stays."""
    clock = Clock()

    def heard(number: int, ts_ns: int) -> Heard:
        return Heard(bytes([number]), f"s{number}", ts_ns, 1, {"vsn": "A"})

    async def use(parts: Parts) -> None:
        batch = [heard(1, NOW_NS - 3 * DAY_NS), heard(2, NOW_NS - DAY_NS)]
        await parts.store.write(lambda connection: records.write(connection, batch))
        await sweep(parts)

        def left(connection: Connection) -> list[Any]:
            return [row.name for row in connection.execute(sa.select(schema.series))]

        assert await parts.store.read(left) == ["s2"]

    with_parts(tmp_path, clock, use)
