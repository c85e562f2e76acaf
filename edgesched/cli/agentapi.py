"""Asking a running agent over its HTTP API."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from edgesched.cli.lastwords import read_last_words
from edgesched.errors import EdgeSchedError, InputError

DEFAULT_URL: Final = "http://127.0.0.1:8080"
TIMEOUT_S: Final = 5.0


class NoAgentError(EdgeSchedError):
    """Nobody listens at the agent's address."""

    code = "agent.none"


def add_url_flag(parser: ArgumentParser) -> None:
    """Add `--url` and `--json`."""
    parser.add_argument("--url", default=DEFAULT_URL, help=f"address of the agent (default {DEFAULT_URL})")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def ask(url: str, path: str, **query: str) -> Any:
    """Return the JSON that the agent answers. A token for it is taken from `EDGESCHED_HTTP_TOKEN`.

    Raises EdgeSchedError when there is no agent, or with the reason that it gives.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url} is not an address", hint=f"such as {DEFAULT_URL}")
    given = {name: value for name, value in query.items() if value}
    address = f"{url.rstrip('/')}{path}" + (f"?{urlencode(given)}" if given else "")
    request = Request(address)  # noqa: S310 - the scheme was checked
    token = os.environ.get("EDGESCHED_HTTP_TOKEN", "")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return json.load(response)
    except HTTPError as error:
        raise EdgeSchedError(_reason(error)) from error
    except URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        hint = "is it running? systemctl status edgesched; kubectl get pods -A -l app=edgesched; see --url"
        raise NoAgentError(f"no agent answers at {url}: {reason}", hint=hint) from error
    except (OSError, HTTPException, ValueError) as error:
        raise EdgeSchedError(f"no usable answer from {url}: {error}") from error


def why_it_is_down(error: EdgeSchedError) -> EdgeSchedError:
    """Add to an error what the agent that is not there said when it last refused to start."""
    if not isinstance(error, NoAgentError):
        return error
    found = read_last_words()
    if found is None:
        return error
    return EdgeSchedError(
        f"{error.message}; when it last tried to start it said: {found}", hint="mend that and start it"
    )


def _reason(error: HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the agent answered {error.code} {error.reason}"
