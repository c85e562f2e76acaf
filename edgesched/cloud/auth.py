"""Who is asking: tokens of our own, or an auth server in the reference's format.

Policy. A known token costs a dictionary look-up; what the table or the server said is believed for a short time, so a
revoked token stops within seconds. Failed tokens are counted per address: after `FAILURES` in a minute, unknown tokens
from there are refused unseen until the minute is over; known ones go on. When the auth server is away, an identity that
it vouched for in the last ten minutes is still good, anybody else is told to come back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import aiohttp
from aiohttp import web

from edgesched.cloud.answers import ApiError
from edgesched.cloud.store import Store
from edgesched.cloud.tokens import Identity, find_token, hash_token
from edgesched.errors import CloudUnavailableError

OWN_TRUST_S: Final = 5.0
SERVER_TRUST_S: Final = 60.0
SERVER_OUTAGE_TRUST_S: Final = 600.0
FAILURES: Final = 20
WINDOW_S: Final = 60.0
CACHED: Final = 20_000
AUTH_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)


@dataclass(slots=True)
class _Known:
    """An identity, and until when it is believed (`time.monotonic` seconds)."""

    identity: Identity
    fresh_until_s: float
    good_until_s: float


class Authenticator:
    """Finds the identity behind a request.

    `server_url`: address of an auth server, empty for none; `server_token`: our own token there, for permissions.
    `forwarded`: a proxy of ours stands before us, so the last `X-Forwarded-For` is the client's address.
    """

    def __init__(self, store: Store, *, server_url: str = "", server_token: str = "", forwarded: bool = False) -> None:
        self._store = store
        self._server_url = server_url.rstrip("/")
        self._server_token = server_token
        self._forwarded = forwarded
        self._known: dict[bytes, _Known] = {}
        self._failures: dict[str, tuple[float, int]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close connections to the auth server."""
        if self._session is not None:
            await self._session.close()

    async def require(self, request: web.Request) -> Identity:
        """Return who asks. Raises ApiError 401 without a good token, 429 after too many bad ones, 503 on an outage."""
        identity = await self.identify(request)
        if identity is None:
            raise ApiError(401, "No token found", hint="send the header `Authorization: Sage TOKEN`")
        return identity

    async def require_user(self, request: web.Request) -> Identity:
        """Return the user who asks; a node's token is refused with 403."""
        identity = await self.require(request)
        if identity.kind != "user":
            raise ApiError(403, "a node token cannot do this", hint="use a user's token")
        return identity

    async def identify(self, request: web.Request) -> Identity | None:
        """Return who asks, None without an Authorization header. Raises as `require` for a bad token."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme != "Sage" or not token:
            raise ApiError(401, "Token is not a Sage token", hint="send the header `Authorization: Sage TOKEN`")
        key = hash_token(token)
        known = self._known.get(key)
        now_s = time.monotonic()
        if known is not None and now_s < known.fresh_until_s:
            return known.identity
        address = self._address(request)
        if known is None:
            self._check_rate(address, now_s)
        return await self._look_up(key, token, known, address)

    async def _look_up(self, key: bytes, token: str, known: _Known | None, address: str) -> Identity:
        now_s = time.monotonic()
        identity = await self._store.read(lambda connection: find_token(connection, key))
        trust_s = good_s = OWN_TRUST_S
        if identity is None and self._server_url:
            trust_s, good_s = SERVER_TRUST_S, SERVER_OUTAGE_TRUST_S
            try:
                identity = await self._ask_server(token)
            except CloudUnavailableError:
                if known is None or now_s >= known.good_until_s:
                    raise
                return known.identity
        if identity is None:
            self._known.pop(key, None)
            self._count_failure(address, now_s)
            raise ApiError(401, "Authentication failed: unknown token", hint="check SES_USER_TOKEN")
        if len(self._known) >= CACHED:
            self._known.clear()
        self._known[key] = _Known(identity, now_s + trust_s, now_s + good_s)
        return identity

    async def _ask_server(self, token: str) -> Identity | None:
        """Ask the auth server whose token it is and where its user may schedule; None when it does not know it."""
        status, profile = await self._get("/users/~self", token)
        if status != 200:
            return None
        if not isinstance(profile, dict) or not isinstance(name := profile.get("username"), str) or not name:
            raise CloudUnavailableError("the auth server gave no user name")
        status, access = await self._get(f"/users/{quote(name, safe='')}/access", self._server_token)
        if status in {401, 403}:
            raise CloudUnavailableError("the auth server refuses the cloud's own token", hint="check AUTH_TOKEN")
        nodes = frozenset(
            str(entry["vsn"]).lower()
            for entry in (access if isinstance(access, list) else [])
            if isinstance(entry, dict) and "vsn" in entry and _may_schedule(entry.get("access"))
        )
        return Identity("user", name, nodes, profile.get("is_superuser") is True)

    async def _get(self, path: str, token: str) -> tuple[int, object]:
        """Return status and document of an answer that says yes or no; raises CloudUnavailableError for any other."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=AUTH_TIMEOUT)
        headers = {"Authorization": f"Sage {token}", "Accept": "application/json"}
        try:
            async with self._session.get(self._server_url + path, headers=headers, allow_redirects=False) as response:
                if response.status in {401, 403, 404}:
                    return response.status, None
                if response.status != 200:
                    raise CloudUnavailableError(f"the auth server answered {response.status}", retry_after_s=10)
                return 200, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise CloudUnavailableError("the auth server does not answer", retry_after_s=10) from error

    def _address(self, request: web.Request) -> str:
        if self._forwarded and (hops := request.headers.get("X-Forwarded-For")):
            return hops.rsplit(",", 1)[-1].strip()
        return request.remote or ""

    def _check_rate(self, address: str, now_s: float) -> None:
        since_s, count = self._failures.get(address, (now_s, 0))
        if now_s - since_s < WINDOW_S and count >= FAILURES:
            left_s = round(WINDOW_S - (now_s - since_s)) + 1
            raise ApiError(429, "too many failed tokens from this address", retry_after_s=left_s)

    def _count_failure(self, address: str, now_s: float) -> None:
        since_s, count = self._failures.get(address, (now_s, 0))
        if now_s - since_s >= WINDOW_S:
            since_s, count = now_s, 0
        if len(self._failures) >= CACHED:
            self._failures.clear()
        self._failures[address] = (since_s, count + 1)


def _may_schedule(access: object) -> bool:
    return isinstance(access, list) and "schedule" in access
