"""Requests of `sesctl`. Lenient where clouds differ, strict about what is a success.

The reference answers a refused removal with status 200 and an `error` key; here that is a refusal. Values are escaped
in queries, a path in the server's address is kept once, and a charset in the Content-Type does no harm.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final
from urllib.parse import urlencode

import urllib3

from edgesched.core.shown import shown
from edgesched.errors import CloudUnavailableError, InputError, RefusedError

TIMEOUT: Final = urllib3.Timeout(connect=10, read=60)
LARGEST_ANSWER: Final = 256 * 1024 * 1024


class SchedulerClient:
    """A cloud scheduler at `server`; `token` may be empty for what is public."""

    def __init__(self, server: str, token: str, *, debug: bool = False) -> None:
        server = server.strip().rstrip("/")
        if not server.startswith(("http://", "https://")):
            raise InputError(f"{server!r} is no address", hint="write http://HOST:PORT or https://HOST")
        self._server = server
        self._debug = debug
        self._headers = {"Accept": "application/json", "User-Agent": "sesctl"}
        if token:
            self._headers["Authorization"] = f"Sage {token}"
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Get a JSON object. Raises RefusedError, CloudUnavailableError."""
        return self._object(self._request("GET", path, query, None, "application/json"))

    def get_list(self, path: str) -> list[dict[str, Any]]:
        """Get a JSON list of objects. Raises as `get`."""
        document = self._request("GET", path, {}, None, "application/json")
        if not isinstance(document, list):
            raise self._no_scheduler()
        return [self._object(item) for item in document]

    def post(self, path: str, body: bytes, content_type: str, **query: str) -> dict[str, Any]:
        """Post a body, get a JSON object. Raises as `get`."""
        return self._object(self._request("POST", path, query, body, content_type))

    def _object(self, document: Any) -> dict[str, Any]:
        if not isinstance(document, dict):
            raise self._no_scheduler()
        return document

    def _no_scheduler(self) -> RefusedError:
        return RefusedError(f"{self._server} does not answer as a cloud scheduler", hint="check SES_HOST")

    def _request(self, method: str, path: str, query: dict[str, str], body: bytes | None, content_type: str) -> Any:
        url = f"{self._server}{path}" + (f"?{urlencode(sorted(query.items()))}" if query else "")
        headers = {**self._headers, "Content-Type": content_type}
        try:
            answer = self._pool.request(method, url, body=body, headers=headers, redirect=False, preload_content=False)
            content = answer.read(LARGEST_ANSWER)
        except urllib3.exceptions.NewConnectionError as error:
            message = f"cannot reach {self._server}: {_reason(error)}"
            raise CloudUnavailableError(message, hint="check SES_HOST") from error
        except urllib3.exceptions.TimeoutError as error:
            raise CloudUnavailableError(f"{self._server} does not answer in time") from error
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise CloudUnavailableError(
                f"cannot reach {self._server}: {_reason(error)}", hint="check SES_HOST"
            ) from error
        status = f"{answer.status} {answer.reason or ''}".strip()
        if self._debug:
            print(f"{method} {url} -> {status}", file=sys.stderr)
        if 300 <= answer.status < 400:
            raise RefusedError(
                f"{self._server} has moved to {answer.headers.get('Location', '?')}", hint="set SES_HOST"
            )
        document = _document(content)
        if answer.status != 200:
            raise RefusedError(f"{status}: {_error_text(document, content)}", status=answer.status)
        if isinstance(document, dict) and "error" in document:
            raise RefusedError(_error_text(document, content), status=answer.status)
        return document


def _document(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _error_text(document: Any, content: bytes) -> str:
    if isinstance(document, dict) and isinstance(document.get("error"), str):
        hint = document.get("hint")
        return str(document["error"]) + (f" ({hint})" if isinstance(hint, str) and hint else "")
    return shown(content[:300].decode("utf-8", "replace").strip()) or "no reason given"


def _reason(error: Exception) -> str:
    """Return the last part of urllib3's nested error text."""
    return str(error).rsplit(": ", 1)[-1].strip()[:200]
