"""Tokens: who may do what, as rows of a table. A token is shown once, when it is made; the table has its hash.

A user's token names the nodes that it may schedule on (`*`: all); a node's token is bound to one VSN and serves its
goal stream and its event sink. The hash is a plain SHA-256: a token has 160 random bits, so there is nothing to guess
that a slow hash would protect.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from edgesched.cloud import schema
from edgesched.errors import InputError

TOKEN_BYTES: Final = 20
LONGEST_SUBJECT: Final = 128


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks.

    `kind`: `user` or `node`; `subject`: user name or VSN; `nodes`: where a user may schedule, lower case.
    """

    kind: str
    subject: str
    nodes: frozenset[str] = frozenset()
    superuser: bool = False

    def may_schedule(self, vsn: str) -> bool:
        """Say whether the user's jobs may run on a node."""
        return self.kind == "user" and ("*" in self.nodes or vsn.lower() in self.nodes)

    def is_node(self, vsn: str) -> bool:
        """Say whether this is that node itself."""
        return self.kind == "node" and self.subject.lower() == vsn.lower()


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as listed: everything but the token."""

    id: int
    identity: Identity
    created_ns: int
    revoked_ns: int | None


def hash_token(token: str) -> bytes:
    """Return the hash under which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def create_token(connection: Connection, identity: Identity, now_ns: int) -> str:
    """Make a token and return it. Raises InputError when the subject is no name."""
    subject = identity.subject
    if not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable() or " " in subject:
        what = "VSN" if identity.kind == "node" else "user name"
        raise InputError(f"{subject[:40]!r} is no {what}", hint=f"at most {LONGEST_SUBJECT} characters without blanks")
    token = secrets.token_hex(TOKEN_BYTES)
    connection.execute(
        schema.tokens.insert().values(
            hash=hash_token(token),
            kind=identity.kind,
            subject=subject,
            nodes=json.dumps(sorted(identity.nodes)),
            superuser=identity.superuser,
            created_ns=now_ns,
        )
    )
    return token


def find_token(connection: Connection, token_hash: bytes) -> Identity | None:
    """Return whose token it is, None when it is unknown or revoked."""
    table = schema.tokens
    row = connection.execute(
        sa.select(table).where(table.c.hash == token_hash, table.c.revoked_ns.is_(None))
    ).one_or_none()
    return None if row is None else Identity(row.kind, row.subject, frozenset(json.loads(row.nodes)), row.superuser)


def list_tokens(connection: Connection) -> list[TokenRow]:
    """Return all tokens in the order of their making."""
    rows = connection.execute(sa.select(schema.tokens).order_by(schema.tokens.c.id))
    return [
        TokenRow(
            row.id,
            Identity(row.kind, row.subject, frozenset(json.loads(row.nodes)), row.superuser),
            row.created_ns,
            row.revoked_ns,
        )
        for row in rows
    ]


def revoke_token(connection: Connection, token_id: int, now_ns: int) -> bool:
    """Make a token useless; False when there is no such token. A running cloud notices within seconds."""
    table = schema.tokens
    changed = connection.execute(
        table.update().where(table.c.id == token_id, table.c.revoked_ns.is_(None)).values(revoked_ns=now_ns)
    )
    return changed.rowcount > 0
