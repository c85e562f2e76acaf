"""The event sink over HTTP: what a node without a message broker to the cloud reports through.

Policy. Messages go in order, in batches that the cloud's body limit allows. A batch is one commit on the other side,
and the cloud drops ids that it has seen, so a batch whose answer was lost is simply sent again. Every failure is
reported as unavailable, also a refused token: the outbox keeps the messages until an operator has mended it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

import urllib3

from edgesched.adapters.cloudhttp import cloud_root, retry_after_s
from edgesched.core.messages import encode_message
from edgesched.core.model import Message
from edgesched.errors import BrokerUnavailableError

BATCH_MESSAGES: Final = 500
BATCH_BYTES: Final = 512 * 1024
TIMEOUT: Final = urllib3.Timeout(connect=3, read=5)


class HttpSink:
    """`EventPublisher` that posts to `/api/v1/nodes/{vsn}/events` of the cloud scheduler at `url`.

    `url`: address of the cloud, such as `http://127.0.0.1:9770`; a goal stream's address serves as well, its path is
    cut off before `/api/v1`. `token`: the node's token, empty when the cloud listens on loopback only.
    """

    def __init__(self, url: str, vsn: str, *, token: str = "", ca_file: str = "") -> None:
        self._url = f"{cloud_root(url)}/api/v1/nodes/{quote(vsn, safe='')}/events"
        self._headers = {"Content-Type": "application/json", "User-Agent": "edgesched"}
        if token:
            self._headers["Authorization"] = f"Sage {token}"
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT, ca_certs=ca_file or None)

    def publish(self, messages: list[Message]) -> None:
        """Send all messages, in order. Raises BrokerUnavailableError; what was sent before may be sent again."""
        for body in _batches(messages):
            self._post(body)

    def _post(self, body: bytes) -> None:
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=self._headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise BrokerUnavailableError(f"cannot post events to {self._url}: {_short(error)}") from error
        if answer.status == 200:
            return
        text = answer.data[:256].decode("utf-8", "replace").strip()
        hint = "check the node token" if answer.status in {401, 403} else ""
        raise BrokerUnavailableError(
            f"{self._url} answered {answer.status}: {text}", hint=hint, retry_after_s=retry_after_s(answer.headers)
        )


def wire_message(message: Message) -> bytes:
    """Return the JSON text of a message: the Waggle wire keys, and the id and the scope that travel with it."""
    return encode_message(message, with_id=True)[:-1] + f',"scope":{json.dumps(message.scope)}}}'.encode()


def _batches(messages: list[Message]) -> Iterator[bytes]:
    parts: list[bytes] = []
    size = 0
    for message in messages:
        text = wire_message(message)
        if parts and (len(parts) == BATCH_MESSAGES or size + len(text) > BATCH_BYTES):
            yield _document(parts)
            parts, size = [], 0
        parts.append(text)
        size += len(text) + 1
    if parts:
        yield _document(parts)


def _document(parts: list[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def _short(error: Exception) -> str:
    return str(error)[:256]
