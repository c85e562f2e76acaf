"""The tables on databases other than SQLite."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from edgesched.cloud import schema


def test_postgresql_takes_the_tables() -> None:
    """Keys count by themselves, times hold nanoseconds, hashes are bytes."""
    dialect = postgresql.dialect()
    ddl = {table.name: str(CreateTable(table).compile(dialect=dialect)) for table in schema.metadata.sorted_tables}
    assert "id BIGSERIAL" in ddl["jobs"]
    assert "ts_ns BIGINT" in ddl["records"]
    assert "key BYTEA" in ddl["records"]
    assert "SERIAL" not in ddl["job_nodes"]
    for table in schema.metadata.sorted_tables:
        for index in table.indexes:
            assert "CREATE" in str(CreateIndex(index).compile(dialect=dialect))
