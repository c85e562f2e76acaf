"""Container logs over the API: `tailLines`, `limitBytes`, `timestamps`, `follow`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from edgesched.simcluster import status
from edgesched.simcluster.http_types import Reply, Request, Stream, text_reply
from edgesched.simcluster.resources import NODES
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Store

_FOLLOW_TICK_S: Final = 0.2


class LogLine(NamedTuple):
    """One line; `at` is its time as the kubelet writes it."""

    at: str
    text: str


class LogSource(Protocol):
    """Where the lines are."""

    def lines(self, uid: str, container: str) -> Sequence[LogLine] | None:
        """Lines of a container up to now, None when it never started."""
        ...

    def has_ended(self, uid: str, container: str) -> bool:
        """No line will follow."""
        ...


class NoLogs:
    """A cluster without a kubelet."""

    def lines(self, uid: str, container: str) -> Sequence[LogLine] | None:  # noqa: ARG002 - the protocol's names
        """Never any."""
        return None

    def has_ended(self, uid: str, container: str) -> bool:  # noqa: ARG002 - the protocol's names
        """Nothing will come."""
        return True


def answer(store: Store, source: LogSource, request: Request, pod: Object, closing: threading.Event) -> Reply | Stream:
    """The log of one container. Raises ApiError 400 or 404."""
    container = _container(request, pod)
    node = pod["spec"].get("nodeName", "")
    if not node:
        return Reply(204, b"", "text/plain")
    if store.find(NODES, "", node) is None:
        raise status.not_found("pods", node)
    uid = pod["metadata"]["uid"]
    lines = source.lines(uid, container)
    if lines is None:
        word = "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"
        why = f'container "{container}" in pod "{pod["metadata"]["name"]}" is waiting to start: {word}'
        raise status.bad_request(why)
    if request.flag("follow"):
        return Stream(_follow(source, request, uid, container, closing), "text/plain", is_watch=False)
    return text_reply(200, _cut(request, "".join(_shown(request, line) for line in _tail(request, lines))))


def _container(request: Request, pod: Object) -> str:
    spec, name = pod["spec"], request.query.get("container", "")
    names = [container["name"] for container in spec["containers"]]
    inits = [container["name"] for container in spec.get("initContainers") or []]
    if name:
        if name not in names + inits:
            raise status.bad_request(f"container {name} is not valid for pod {pod['metadata']['name']}")
        return name
    if len(names) > 1:
        listed = f"choose one of: [{' '.join(names)}]"
        if inits:
            listed += f" or one of the init containers: [{' '.join(inits)}]"
        why = f"a container name must be specified for pod {pod['metadata']['name']}, {listed}"
        raise status.bad_request(why)
    return str(names[0])


def _tail(request: Request, lines: Sequence[LogLine]) -> Sequence[LogLine]:
    count = request.number("tailLines")
    if count is None or count < 0:
        return lines
    return lines[-count:] if count else ()


def _shown(request: Request, line: LogLine) -> str:
    return f"{line.at} {line.text}\n" if request.flag("timestamps") else f"{line.text}\n"


def _cut(request: Request, text: str) -> str:
    limit = request.number("limitBytes")
    return text if limit is None else text.encode()[:limit].decode("utf-8", "ignore")


def _follow(source: LogSource, request: Request, uid: str, container: str, closing: threading.Event) -> Iterator[bytes]:
    lines = source.lines(uid, container) or ()
    sent = len(lines)
    yield "".join(_shown(request, line) for line in _tail(request, lines)).encode()
    while not closing.is_set():
        ended = source.has_ended(uid, container)
        lines = source.lines(uid, container) or ()
        yield "".join(_shown(request, line) for line in lines[sent:]).encode()
        sent = len(lines)
        if ended:
            return
        closing.wait(_FOLLOW_TICK_S)
