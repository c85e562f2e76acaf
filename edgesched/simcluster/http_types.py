"""Requests and replies between the HTTP server and the API behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgesched.simcluster import status
from edgesched.simcluster.status import Object


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `headers` have names in lower case; `query` keeps the last value of a repeated key."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def is_watch(self) -> bool:
        """It asks for a stream of changes."""
        return self.method == "GET" and self.flag("watch")

    @property
    def media_type(self) -> str:
        """The body's type without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def flag(self, name: str) -> bool:
        """A boolean of the query."""
        return self.query.get(name, "").lower() in {"1", "true", "t"}

    def number(self, name: str) -> int | None:
        """An integer of the query. Raises ApiError 400."""
        text = self.query.get(name, "")
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error

    def json(self) -> Any:
        """The body as JSON. Raises ApiError 400 or 415."""
        if "protobuf" in self.media_type or "yaml" in self.media_type or self.media_type.startswith("text/"):
            raise status.unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: application/json"
            )
        try:
            return json.loads(self.body)
        except ValueError as error:
            shown = self.body[:256].decode("utf-8", "replace") or "<empty>"
            raise status.bad_request(
                "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse "
                f"error: {error} ({shown})"
            ) from error


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """A reply without an end yet: chunks as they come; an empty chunk only says that the stream is still alive."""

    chunks: Iterator[bytes]
    content_type: str = "application/json"
    is_watch: bool = True


def json_reply(code: int, obj: Object, headers: Mapping[str, str] | None = None) -> Reply:
    """An object as a reply."""
    return Reply(code, json.dumps(obj, separators=(",", ":")).encode(), headers=headers or {})


def text_reply(code: int, text: str) -> Reply:
    """Plain text as a reply."""
    return Reply(code, text.encode(), "text/plain; charset=utf-8")
