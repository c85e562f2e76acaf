"""How the API speaks: JSON as the reference's clients expect it, one form of error, no traceback.

Kept because clients depend on it: Content-Type exactly `application/json`, status exactly 200 for success, an indent of
one space and a newline at the end, keys of message objects sorted, `{"error": text}` for every failure. Different on
purpose: failures have the status that says whose fault it is (401, 403, 404, 409, 413, 429, 503), not 400 for all.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any, Final

from aiohttp import web

from edgesched.core.messages import MAX_TS_NS
from edgesched.core.shown import shown
from edgesched.errors import EdgeSchedError, InputError, RefusedError, TransientError

log = logging.getLogger("edgesched.cloud")

OPEN_TO_PAGES: Final = {"Access-Control-Allow-Origin": "*"}
PREFLIGHT: Final = {
    **OPEN_TO_PAGES,
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Requested-With, Accept",
    "Access-Control-Max-Age": "600",
}
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiError(RefusedError):
    """A request is refused. `status`: HTTP status; `extra`: more keys of the error object."""

    def __init__(self, status: int, message: str, /, *, hint: str = "", **extra: Any) -> None:
        super().__init__(message, hint=hint, status=status)
        self.extra = extra


def json_text(document: Any, *, sort_keys: bool = False) -> str:
    """Write a document as the API does."""
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=sort_keys) + "\n"


def answer(document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with a document whose keys keep their order."""
    return _json(json_text(document), status, headers)


def message(fields: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with a message object: keys sorted."""
    return _json(json_text(fields, sort_keys=True), status, headers)


def _json(text: str, status: int, headers: Mapping[str, str] | None) -> web.Response:
    response = web.Response(body=text.encode("utf-8", "replace"), status=status, headers=OPEN_TO_PAGES)
    response.headers["Content-Type"] = "application/json"
    response.headers.update(headers or {})
    return response


def failure(error: EdgeSchedError) -> web.Response:
    """Answer with an error object."""
    status, headers = 400, {}
    fields: dict[str, Any] = {"error": error.message}
    if error.hint:
        fields["hint"] = error.hint
    if isinstance(error, RefusedError):
        status = error.status or 400
        fields.update(error.extra if isinstance(error, ApiError) else {})
    elif isinstance(error, TransientError):
        status = 503
    elif not isinstance(error, InputError):
        status = 500
    if status == 401:
        headers["WWW-Authenticate"] = "Sage"
    retry_after_s = getattr(error, "retry_after_s", None) or fields.pop("retry_after_s", None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(retry_after_s)))
    return message(fields, status=status, headers=headers)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into an answer; what is not foreseen is logged with its trace and answered as 500."""
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=PREFLIGHT)
    try:
        return await handler(request)
    except EdgeSchedError as error:
        return failure(error)
    except web.HTTPException as error:
        return _http_exception(request, error)
    except (ConnectionError, TimeoutError):
        raise
    except Exception:
        # guard: a defect of ours must not look like the caller's fault, nor tell of our insides
        log.exception("request failed: %s %s", request.method, shown(request.path))
        return failure(EdgeSchedError("internal error", hint="the log of the cloud scheduler has the details"))


def _http_exception(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    if error.status < 400:
        return error
    words = {404: "page not found", 405: "method not allowed", 413: "the body is too large"}
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    if not request.path.startswith("/api/"):
        text = f"{error.status} {words.get(error.status, error.reason)}\n"
        return web.Response(status=error.status, text=text, headers=headers)
    return message({"error": words.get(error.status, error.reason)}, status=error.status, headers=headers)


def time_text(ts_ns: int | None) -> str | None:
    """Write a time as RFC 3339, UTC, up to 9 decimals without trailing zeros; None stays None."""
    if ts_ns is None:
        return None
    return rfc3339(ts_ns, trim=True)


def rfc3339(ts_ns: int, *, trim: bool = False) -> str:
    """Write ns since the epoch as RFC 3339 with 9 decimals; `trim` drops trailing zeros and a bare point."""
    seconds, fraction = divmod(min(max(ts_ns, 0), MAX_TS_NS), 1_000_000_000)
    days, rest = divmod(seconds, 86_400)
    day = date.fromordinal(EPOCH_DAY + days)
    decimals = f"{fraction:09d}"
    if trim:
        decimals = decimals.rstrip("0")
    point = f".{decimals}" if decimals else ""
    return f"{day.isoformat()}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}{point}Z"
