"""Pods created, deleted and read. Every request may be repeated: the name of a pod is that of its run.

A create that meets a pod of the same name with the label of the same run is that pod: an earlier answer was lost, or
the agent was killed before it could note it. A pod of somebody else under that name is a refusal, `AlreadyExists`, and
the planner chooses another name. Nothing is ever deleted to make room.

An API server that starts forbids for a second or so what its roles allow, because it has not read them yet. So a
request that is forbidden counts as unavailable at first; what stays forbidden for 30 s is a refusal with its remedy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from edgesched.adapters.kube.api import KubeApi
from edgesched.adapters.kube.remedies import remedy_of
from edgesched.core.model import PodOrder, PodView
from edgesched.core.plan.effects import DeletePod, FetchLog, LaunchPod
from edgesched.core.pods import NodeView, PodSettings, pod_manifest, view_node, view_pod
from edgesched.errors import InputError, KubeRefusedError, KubeUnavailableError

Json = dict[str, Any]
Answer = TypeVar("Answer")

FORBIDDEN_S: Final = 30.0
FORGET_S: Final = 60.0
LOG_BYTES: Final = 1024
# the server counts its limit from the first of the last lines, so more is read than is kept
LOG_READ_BYTES: Final = 32_768


class KubePods:
    """The `PodRunner` of a cluster. Methods are callable from several threads."""

    def __init__(self, api: KubeApi, settings: PodSettings, *, forbidden_s: float = FORBIDDEN_S) -> None:
        self._api = api
        self._settings = settings
        self._patience_s = forbidden_s
        # when the present row of forbidden requests began, and its last one
        self._forbidden_s: tuple[float, float] | None = None
        self._path = f"/api/v1/namespaces/{settings.namespace}/pods"

    def launch(self, effect: LaunchPod) -> PodView:
        """Create the pod of a run, or return the existing one of the same run.

        Raises: KubeRefusedError for good, `AlreadyExists` when the name is another's; KubeUnavailableError.
        """
        order = effect.order
        try:
            manifest = pod_manifest(order, self._settings)
        except InputError as error:
            raise KubeRefusedError(f"{error.path}: {error.message}", hint=error.hint, reason="Invalid") from error
        try:
            return view_pod(self._request(lambda: self._api.create(self._path, manifest)))
        except KubeRefusedError as error:
            if error.status == 409 and error.reason == "AlreadyExists":
                return self._existing(order, error)
            raise _with_remedy(error) from error

    def delete(self, effect: DeletePod) -> None:
        """Delete a pod with grace; a missing pod, or another uid under that name, counts as done."""
        options: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": effect.grace_s,
            "propagationPolicy": "Background",
        }
        if effect.uid:
            options["preconditions"] = {"uid": effect.uid}
        try:
            self._request(lambda: self._api.delete(f"{self._path}/{effect.pod_name}", options))
        except KubeRefusedError as error:
            if error.status != 404 and not (error.status == 409 and effect.uid):
                raise

    def log(self, effect: FetchLog) -> tuple[str, ...]:
        """Read the last lines of a container's log, at most 1,024 bytes; empty when there is no log."""
        query: dict[str, str | int] = {
            "container": effect.container,
            "tailLines": effect.lines,
            "limitBytes": LOG_READ_BYTES,
        }
        try:
            text = self._request(lambda: self._api.text(f"{self._path}/{effect.pod_name}/log", query))
        except KubeRefusedError as error:
            # 404: the pod is gone; 400: its container has not started
            if error.status in {400, 404}:
                return ()
            raise
        return _last_lines(text, effect.lines)

    def nodes(self) -> tuple[NodeView, ...]:
        """Read the nodes of the cluster with what they can hold."""
        items = self._api.get("/api/v1/nodes").get("items")
        return tuple(view_node(item) for item in items or [] if isinstance(item, dict))

    def _existing(self, order: PodOrder, refusal: KubeRefusedError) -> PodView:
        try:
            view = view_pod(self._request(lambda: self._api.get(f"{self._path}/{order.pod_name}")))
        except KubeRefusedError as error:
            if error.status == 404:
                raise KubeUnavailableError(f"pod {order.pod_name} went away while it was looked at") from error
            raise
        if view.run_id != order.run_id:
            owner = f"run {view.run_id}" if view.run_id else "another scheduler"
            raise KubeRefusedError(
                f"pod {order.pod_name} exists and belongs to {owner}", status=409, reason="AlreadyExists"
            ) from refusal
        return view

    def _request(self, call: Callable[[], Answer]) -> Answer:
        """Make a request; see the module for one that is forbidden."""
        try:
            answer = call()
        except KubeRefusedError as error:
            if not _forbidden(error):
                self._forbidden_s = None
                raise
            now_s = time.monotonic()
            first_s, last_s = self._forbidden_s or (now_s, now_s)
            if now_s - last_s > FORGET_S:
                first_s = now_s
            self._forbidden_s = (first_s, now_s)
            if now_s - first_s >= self._patience_s:
                raise
            raise KubeUnavailableError(f"Kubernetes answers {error.status}: {error.message}") from error
        self._forbidden_s = None
        return answer


def _forbidden(error: KubeRefusedError) -> bool:
    """Say whether the request was refused for who we are; admission answers 403 too, for what is asked."""
    return error.status == 401 or (error.status == 403 and 'User "' in error.message)


def _with_remedy(error: KubeRefusedError) -> KubeRefusedError:
    return KubeRefusedError(error.message, hint=remedy_of(error.message), status=error.status, reason=error.reason)


def _last_lines(text: str, lines: int) -> tuple[str, ...]:
    tail = text.rstrip("\n").encode()[-LOG_BYTES:].decode(errors="ignore")
    return tuple(tail.splitlines()[-lines:]) if tail and lines > 0 else ()
