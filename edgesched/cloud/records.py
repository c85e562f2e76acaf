"""What nodes say, kept for the data query: series (a name with its full meta) and their records.

Each record has a key, a hash of node, message id, name and time: a batch that is sent again adds nothing. The id alone
would not do, because a node that lost its state starts its ids anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from edgesched.cloud import schema
from edgesched.core.messages import MAX_META, MAX_META_TEXT, MAX_TS_NS, is_name

PLUGIN_EVENTS: Final = "sys.scheduler.status.plugin."
MAX_ID: Final = 256
LARGEST_VALUE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as a node sent it. `value`: any JSON value; `meta` includes the node's `vsn`."""

    key: bytes
    name: str
    ts_ns: int
    value: Any
    meta: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that is none: its index in the batch, and why."""

    index: int
    reason: str


def read_message(item: Any, vsn: str, index: int) -> Heard | Refused | None:
    """Read one message of a batch; None for one that must not leave its node (scope `node`)."""
    if not isinstance(item, Mapping):
        return Refused(index, "a message is an object")
    name, ts_ns, meta = item.get("name"), item.get("ts"), item.get("meta")
    message_id = item.get("id", "")
    if not isinstance(name, str) or not is_name(name):
        return Refused(index, "name is not a measurement name")
    if type(ts_ns) is not int or not 0 <= ts_ns <= MAX_TS_NS:
        return Refused(index, "ts is not an integer of nanoseconds")
    if not isinstance(message_id, str) or len(message_id) > MAX_ID:
        return Refused(index, f"id is not a text of at most {MAX_ID} characters")
    if "val" not in item or item.get("enc"):
        return Refused(index, "val is missing or binary")
    if item.get("scope") == "node":
        return None
    if not is_meta(meta):
        return Refused(index, "meta is not an object of texts")
    full = {**(meta or {}), "vsn": vsn}
    text = json.dumps(item["val"])
    if len(text) > LARGEST_VALUE_BYTES:
        return Refused(index, f"val is larger than {LARGEST_VALUE_BYTES} bytes")
    content = "" if message_id else text + json.dumps(full, sort_keys=True)
    key = _hash(vsn.lower(), message_id, name, str(ts_ns), content)
    return Heard(key, name, ts_ns, _without_private(name, item["val"]), full)


def _without_private(name: str, value: Any) -> Any:
    """Return a scheduler event's value without the arguments of the plugin: the data query is open to everybody."""
    if not name.startswith(PLUGIN_EVENTS) or not isinstance(value, str) or "plugin_args" not in value:
        return value
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return value
    if not isinstance(fields, dict):
        return value
    fields.pop("plugin_args", None)
    return json.dumps(fields, separators=(",", ":"), sort_keys=True)


def is_meta(meta: Any) -> bool:
    """Say whether a value can be a message's meta: nothing, or an object of texts of bounded size."""
    if meta is None:
        return True
    return (
        isinstance(meta, Mapping)
        and len(meta) <= MAX_META
        and all(isinstance(text, str) and len(text) <= MAX_META_TEXT for pair in meta.items() for text in pair)
    )


def write(connection: Connection, messages: Sequence[Heard]) -> list[Heard]:
    """Store the messages that are new and return them, in order."""
    fresh = {message.key: message for message in messages}
    for key in connection.scalars(sa.select(schema.records.c.key).where(schema.records.c.key.in_(list(fresh)))):
        fresh.pop(key)
    if not fresh:
        return []
    series = _series_ids(connection, fresh.values())
    rows = [
        {
            "key": message.key,
            "series_id": series[_series_key(message)],
            "ts_ns": message.ts_ns,
            "value": json.dumps(message.value),
        }
        for message in fresh.values()
    ]
    connection.execute(schema.records.insert(), rows)
    return list(fresh.values())


def _series_ids(connection: Connection, messages: Iterable[Heard]) -> dict[bytes, int]:
    """Return the ids of the series of these messages by key; make those that are not there."""
    table = schema.series
    wanted = {_series_key(message): message for message in messages}
    found = connection.execute(sa.select(table.c.key, table.c.id).where(table.c.key.in_(list(wanted))))
    ids: dict[bytes, int] = {row.key: row.id for row in found}
    for key, message in wanted.items():
        if key not in ids:
            meta = json.dumps(dict(message.meta), sort_keys=True)
            values = {"key": key, "name": message.name, "vsn": message.meta["vsn"], "meta": meta}
            inserted = connection.execute(table.insert().values(values)).inserted_primary_key
            assert inserted is not None
            ids[key] = int(inserted[0])
    return ids


def prune(connection: Connection, before_ns: int, most: int = 20_000) -> int:
    """Delete up to `most` of the oldest records before a time, and series without records; return the number."""
    table = schema.records
    old = sa.select(table.c.id).where(table.c.ts_ns < before_ns).order_by(table.c.ts_ns).limit(most)
    gone = connection.execute(table.delete().where(table.c.id.in_(old))).rowcount
    if gone:
        used = sa.exists().where(table.c.series_id == schema.series.c.id)
        connection.execute(schema.series.delete().where(~used))
    return gone


def _series_key(message: Heard) -> bytes:
    return _hash(message.name, json.dumps(dict(message.meta), sort_keys=True))


def _hash(*parts: str) -> bytes:
    text = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=16).digest()
