"""The private paths under `/_sim/`: faults and mishaps for tests that run in another process.

`POST /_sim/faults/NAME` calls the method of `Faults` with the JSON body as its arguments; `POST /_sim/NAME` calls the
method of `SimCluster`. Answers are `{"ok": true, "result": ...}` or 400 with a Status.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from edgesched.simcluster import status
from edgesched.simcluster.http_types import Reply, Request, json_reply

if TYPE_CHECKING:
    from edgesched.simcluster.cluster import SimCluster

_FAULTS: Final = frozenset(
    {"clear", "throttle", "fail", "delay", "lose_request", "lose_reply", "stall", "resume", "hang_watches"}
)
_MISHAPS: Final = frozenset(
    {"compact", "drop_watches", "go_down", "kill_pod", "evict_pod", "lose_node", "return_node", "counts"}
)


def control(cluster: SimCluster, request: Request) -> Reply:
    """Carry out one request."""
    parts = request.path.strip("/").split("/")[1:]
    try:
        if len(parts) == 2 and parts[0] == "faults" and parts[1] in _FAULTS:
            method = getattr(cluster.faults, parts[1])
        elif len(parts) == 1 and parts[0] in _MISHAPS:
            method = getattr(cluster, parts[0])
        else:
            raise status.no_such_resource()
        arguments = request.json() if request.body else {}
        return json_reply(200, {"ok": True, "result": _call(method, arguments)})
    except status.ApiError as error:
        return json_reply(error.status, error.body())


def _call(method: Any, arguments: Any) -> Any:
    try:
        bound = inspect.signature(method).bind(**arguments)
    except TypeError as error:
        raise status.bad_request(f"{method.__name__}: {error}") from error
    return method(*bound.args, **bound.kwargs)
