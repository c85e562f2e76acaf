"""One way to talk to the Kubernetes API: JSON in, JSON out, our errors, a time-out on every wait.

The official client reads kubeconfigs, signs requests and makes the pool of connections. Its models stay unused, because
they cost 20 MiB and ten times the time of plain dicts, and refuse objects of other releases; so do its calls, because a
request through its pool takes a fifth less of the processor, and a full minute is made of them. It is imported when the
first connection is made, so that commands that need no cluster do not pay for it.

Of failures only two kinds leave this module. `KubeUnavailableError`: no answer, 408, 429, 5xx, or an answer that is no
JSON; the request may or may not have been carried out. `KubeRefusedError`: the server understood and said no.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import urllib3

from edgesched.errors import ConfigError, KubeRefusedError, KubeUnavailableError

Json = dict[str, Any]
Query = Mapping[str, str | int]
Timeout = tuple[float, float]
"""Seconds to connect and seconds to wait for the next bytes."""

TIMEOUT_S: Final[Timeout] = (3.0, 5.0)
CONNECTIONS: Final = 12
PROOF_S: Final = 10.0
MESSAGE_CHARS: Final = 256
READ_BYTES: Final = 65_536
LONGEST_LINE: Final = 16 * 2**20
USER_AGENT: Final = "edgesched"

_UNAVAILABLE: Final = frozenset({408, 429})


@dataclass(frozen=True, slots=True)
class KubeTarget:
    """Which cluster: a plain `server` URL, else the pod's own, else that of a kubeconfig (empty: the default one)."""

    server: str = ""
    in_cluster: bool = False
    kubeconfig: str = ""
    context: str = ""


class _Configuration(Protocol):
    """What is used of `kubernetes.client.Configuration`."""

    host: str

    def auth_settings(self) -> dict[str, dict[str, str | None]]: ...


class _Rest(Protocol):
    """What is used of `kubernetes.client.rest.RESTClientObject`."""

    pool_manager: urllib3.PoolManager


class _Client(Protocol):
    """What is used of `kubernetes.client.ApiClient`."""

    configuration: _Configuration

    @property
    def rest_client(self) -> _Rest: ...

    def close(self) -> None: ...


class KubeApi:
    """A connection pool to one API server. Methods are callable from several threads and raise as the module says."""

    def __init__(self, client: _Client, timeout_s: Timeout = TIMEOUT_S) -> None:
        self._client = client
        self._configuration = client.configuration
        self._timeout_s = timeout_s
        self._proof = ("", 0.0)
        self.host = client.configuration.host.rstrip("/")
        self._way: tuple[urllib3.PoolManager | urllib3.HTTPConnectionPool, str] | None = None

    @classmethod
    def connect(cls, target: KubeTarget, timeout_s: Timeout = TIMEOUT_S) -> KubeApi:
        """Read the target's configuration; no request is made.

        Raises: ConfigError for a kubeconfig or service account that is missing or wrong.
        """
        from kubernetes.client.api_client import ApiClient
        from kubernetes.client.configuration import Configuration

        configuration = Configuration()
        if target.server:
            configuration.host = target.server
        else:
            _load(configuration, target)
        configuration.connection_pool_maxsize = CONNECTIONS
        return cls(ApiClient(configuration), timeout_s)

    def get(self, path: str, query: Query | None = None) -> Json:
        """Read an object or a list."""
        return self._json("GET", path, query)

    def create(self, path: str, body: Json, query: Query | None = None) -> Json:
        """Create an object in the collection `path`."""
        return self._json("POST", path, query, body)

    def replace(self, path: str, body: Json) -> Json:
        """Replace the object `path`; a `resourceVersion` in the body makes a changed object a 409 `Conflict`."""
        return self._json("PUT", path, body=body)

    def delete(self, path: str, body: Json) -> Json:
        """Delete the object `path`; `body` are DeleteOptions."""
        return self._json("DELETE", path, body=body)

    def text(self, path: str, query: Query | None = None) -> str:
        """Read a text, such as a log."""
        return self._whole("GET", path, query).decode(errors="replace")

    def watch(self, path: str, query: Query, silence_s: float) -> WatchStream:
        """Open a stream of JSON lines; a peer that is silent for `silence_s` counts as away."""
        try:
            response = self._send("GET", path, query, None, (self._timeout_s[0], silence_s))
        except _transport_errors() as error:
            raise _away(error) from error
        if not 200 <= response.status < 300:
            raise _failure(response.status, response.headers, _body(response))
        return WatchStream(response)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _json(self, method: str, path: str, query: Query | None = None, body: Json | None = None) -> Json:
        content = self._whole(method, path, query, body)
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise KubeUnavailableError(f"{method} {path}: the answer is no JSON") from error
        if not isinstance(answer, dict):
            raise KubeUnavailableError(f"{method} {path}: the answer is no JSON object")
        return answer

    def _whole(self, method: str, path: str, query: Query | None = None, body: Json | None = None) -> bytes:
        try:
            response = self._send(method, path, query, body, self._timeout_s)
            content = _body(response)
        except _transport_errors() as error:
            raise _away(error) from error
        if not 200 <= response.status < 300:
            raise _failure(response.status, response.headers, content)
        return content

    def _send(
        self, method: str, path: str, query: Query | None, body: Json | None, timeout: Timeout
    ) -> urllib3.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if authorization := self._authorization():
            headers["Authorization"] = authorization
        place = f"{path}?{urlencode(query)}" if query else path
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        patience = urllib3.Timeout(connect=timeout[0], read=timeout[1])
        if self._way is None:
            self._way = self._way_in()
        opener, base = self._way
        # redirects and repeats are decided by the callers, with a pause
        response: Any = opener.urlopen(
            method, base + place, body=content, headers=headers, timeout=patience, retries=False, redirect=False,
            preload_content=False,
        )  # fmt: skip
        return response  # type: ignore[no-any-return]

    def _way_in(self) -> tuple[urllib3.PoolManager | urllib3.HTTPConnectionPool, str]:
        """Return what opens requests, and what stands before a path there.

        The server's own pool, because the manager looks for it anew at every request; what a proxy needs to see of a
        request is the manager's business.
        """
        manager = self._client.rest_client.pool_manager
        if manager.proxy is not None:
            return manager, self.host
        return manager.connection_from_url(self.host), urllib3.util.parse_url(self.host).path or ""

    def _authorization(self) -> str:
        """Return what proves who we are, empty when nothing does.

        The client renews tokens that run out when it is asked for them; asking it costs a quarter of a request, so it
        is asked again only after a while.
        """
        now_s = time.monotonic()
        value, until_s = self._proof
        if now_s >= until_s:
            token = self._configuration.auth_settings().get("BearerToken")
            value = (token["value"] if token is not None else None) or ""
            self._proof = (value, now_s + PROOF_S)
        return value


class WatchStream:
    """An open watch: one JSON object a line."""

    def __init__(self, response: urllib3.HTTPResponse) -> None:
        self._response = response
        self._interrupted = False

    def lines(self) -> Iterator[bytes]:
        """Yield lines as they arrive; end when the server ends the stream or after `interrupt`.

        Raises: KubeUnavailableError when the connection breaks or the peer is silent.
        """
        rest = b""
        try:
            while chunk := self._response.read1(READ_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
                if len(rest) > LONGEST_LINE:
                    raise KubeUnavailableError(f"the watch sent a line of more than {LONGEST_LINE} bytes")
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            if not self._interrupted:
                raise _away(error) from error
        if rest.strip() and not self._interrupted:
            raise KubeUnavailableError("the watch ended in the middle of a line")

    def interrupt(self) -> None:
        """Make `lines` end now. Callable from another thread."""
        self._interrupted = True
        try:
            self._response.shutdown()
        except (OSError, ValueError, RuntimeError):
            # the stream has ended by itself
            return

    def close(self) -> None:
        """Give the connection up; a watch that was read to its end has given it back to the pool already."""
        if not self._response.closed:
            self._response.close()


def _load(configuration: Any, target: KubeTarget) -> None:
    import yaml
    from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

    place = "the pod's service account" if target.in_cluster else target.kubeconfig or "~/.kube/config"
    try:
        if target.in_cluster:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_kube_config(  # type: ignore[no-untyped-call]
                config_file=target.kubeconfig or None,
                context=target.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(
            f"cannot reach Kubernetes through {place}: {told[:MESSAGE_CHARS]}",
            hint="set --kubeconfig FILE, or --in-cluster inside a pod with a service account",
        ) from error


def _transport_errors() -> tuple[type[Exception], ...]:
    from kubernetes.client.exceptions import OpenApiException
    from kubernetes.config import ConfigException

    # OpenApiException comes when a token cannot be renewed, ConfigException with a token file that is being replaced
    return (urllib3.exceptions.HTTPError, OSError, OpenApiException, ConfigException)


def _body(response: urllib3.HTTPResponse) -> bytes:
    try:
        return response.read()
    finally:
        response.release_conn()


def _away(error: Exception) -> KubeUnavailableError:
    return KubeUnavailableError(f"Kubernetes does not answer: {_told(error)[:MESSAGE_CHARS]}")


def _told(error: Exception) -> str:
    match error:
        case urllib3.exceptions.NewConnectionError():
            return "connection refused" if "refused" in str(error) else str(error).rpartition(": ")[2]
        case urllib3.exceptions.ConnectTimeoutError():
            return "no connection in time"
        case urllib3.exceptions.ReadTimeoutError() | TimeoutError():
            return "it is silent"
        case urllib3.exceptions.ProtocolError() | ConnectionError():
            return "the connection broke"
    reason = getattr(error, "reason", None)
    return " ".join(f"{reason if isinstance(reason, str) else error}".split()) or type(error).__name__


def _failure(status: int, headers: Mapping[str, str], content: bytes) -> KubeUnavailableError | KubeRefusedError:
    answer = _status_object(content)
    message = str(answer.get("message") or content.decode(errors="replace").strip() or "no message")[:MESSAGE_CHARS]
    if status >= 500 or status in _UNAVAILABLE:
        return KubeUnavailableError(
            f"Kubernetes answers {status}: {message}", retry_after_s=_retry_after(headers, answer)
        )
    return KubeRefusedError(message, status=status, reason=str(answer.get("reason") or "")[:63])


def _status_object(content: bytes) -> Json:
    try:
        answer = json.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _retry_after(headers: Mapping[str, str], answer: Json) -> float | None:
    details = answer.get("details")
    texts = [headers.get("Retry-After"), details.get("retryAfterSeconds") if isinstance(details, dict) else None]
    for text in texts:
        try:
            seconds = float(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if 0 <= seconds <= 3600:
            return seconds
    return None
