"""The tables of the cloud scheduler, for SQLite and PostgreSQL alike.

Times are integer nanoseconds UTC. JSON is kept as text: no query looks into it, and text is the same everywhere. Keys
of idempotence are hashes, so that their length does not depend on what a node sends. Text has no length in the
database: the routes set the limits.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy import Text as AnyText
from sqlalchemy.types import TypeDecorator

VERSION = 1

metadata = MetaData()

# SQLite hands out row ids by itself only to INTEGER keys
RowId = BigInteger().with_variant(Integer(), "sqlite")


class _StorableText(TypeDecorator[str]):
    """Text that every database takes: PostgreSQL refuses NUL, drivers refuse half a surrogate pair."""

    impl = AnyText
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        del dialect
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


Text = _StorableText()

about = Table("about", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

jobs = Table(
    "jobs",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    # the text as uploaded, read again at submit so that errors have a line and a column
    Column("source", Text, nullable=False),
    # the job in the form of the API's answers
    Column("document", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("submitted_ns", BigInteger),
    Column("started_ns", BigInteger),
    Column("completed_ns", BigInteger),
    # seconds after the start at which the cloud ends the job by itself
    Column("limit_s", BigInteger),
    Column("goal_id", Text),
    Column("goal", Text),
    # counts edits
    Column("revision", Integer, nullable=False),
    Index("jobs_by_state", "state"),
    Index("jobs_by_owner", "owner"),
    # an id is never given twice, also after the last row went
    sqlite_autoincrement=True,
)

goal_ids = Table(
    "goal_ids",
    metadata,
    Column("goal_id", Text, primary_key=True),
    Column("job_id", RowId, ForeignKey("jobs.id"), nullable=False),
)

job_nodes = Table(
    "job_nodes",
    metadata,
    Column("job_id", RowId, ForeignKey("jobs.id"), nullable=False),
    Column("vsn", Text, nullable=False),
    Column("goal_id", Text, nullable=False),
    # waiting, received, completed
    Column("state", Text, nullable=False),
    Column("received_ns", BigInteger),
    Column("completed_ns", BigInteger),
    Column("note", Text, nullable=False, default=""),
    PrimaryKeyConstraint("job_id", "vsn"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("vsn", Text, nullable=False),
    Column("instance", Text, nullable=False),
    Column("job_id", RowId, ForeignKey("jobs.id"), nullable=False),
    Column("goal_id", Text, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("pod", Text, nullable=False, default=""),
    Column("queued_ns", BigInteger, nullable=False),
    Column("started_ns", BigInteger),
    Column("ended_ns", BigInteger),
    Column("exit_code", Integer),
    Column("log", Text, nullable=False, default=""),
    UniqueConstraint("vsn", "instance"),
    Index("runs_by_job", "job_id", "queued_ns"),
)

nodes = Table("nodes", metadata, Column("vsn", Text, primary_key=True), Column("heard_ns", BigInteger, nullable=False))

series = Table(
    "series",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("key", LargeBinary(16), nullable=False, unique=True),
    Column("name", Text, nullable=False, index=True),
    Column("vsn", Text, nullable=False),
    Column("meta", Text, nullable=False),
)

records = Table(
    "records",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("key", LargeBinary(16), nullable=False, unique=True),
    Column("series_id", RowId, ForeignKey("series.id"), nullable=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
    Index("records_by_series", "series_id", "ts_ns"),
    Index("records_by_time", "ts_ns"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    # user or node
    Column("kind", Text, nullable=False),
    # user name, or VSN of the node
    Column("subject", Text, nullable=False),
    Column("nodes", Text, nullable=False, default="[]"),
    Column("superuser", Boolean, nullable=False, default=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("revoked_ns", BigInteger),
    sqlite_autoincrement=True,
)
