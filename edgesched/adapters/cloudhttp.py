"""Addresses of a cloud scheduler, and what its answers say about when to come back."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit


def cloud_root(url: str) -> str:
    """Return the cloud's address without path of the API: what stands before `/api/v1`, no trailing slash."""
    parts = urlsplit(url)
    path = parts.path.split("/api/v1", 1)[0].rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def stream_url(url: str, vsn: str) -> str:
    """Return the stream's address for a cloud's or a stream's address; a query string is dropped."""
    plain = url.split("?", 1)[0].rstrip("/")
    return plain if "/goals/" in plain else f"{cloud_root(plain)}/api/v1/goals/{quote(vsn, safe='')}/stream"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, None when there is none or it is a date."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None
