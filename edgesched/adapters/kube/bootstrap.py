"""What the namespace must hold before plugins can run: checked, mended where the agent may, else said with the remedy.

The edge stack keeps its services and two ConfigMaps in `default`; plugins run in `ses` and need forwards and copies of
them there. Nothing that is missing ends the agent: each missing piece is one warning, looked at again every 10 min,
and most plugins run without it. Last, the API server is asked whether it would take a pod (a dry run), which tells of a
missing service account, priority class or role in the server's own words.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from edgesched.adapters.kube.api import KubeApi
from edgesched.adapters.kube.remedies import remedy_of
from edgesched.core.model import Plugin, PluginSpec, PodOrder
from edgesched.core.pods import PodSettings, pod_manifest
from edgesched.errors import KubeRefusedError, KubeUnavailableError
from edgesched.ports import Notice

Json = dict[str, Any]

FORWARDED: Final = ("wes-rabbitmq", "wes-audio-server", "wes-scoreboard", "wes-app-meta-cache")
SOURCE_NAMESPACE: Final = "default"
AGAIN_S: Final = 600.0
RETRY_S: Final = 5.0
STEP_S: Final = 5.0

_MANIFESTS: Final = "kubectl apply -k deploy/kubernetes/rbac"


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that the namespace lacks: what, why it counts as missing, what to do."""

    what: str
    reason: str
    remedy: str


class KubeBootstrap:
    """Prepares the namespace until `stop`, and again every 10 min.

    Args:
        services: services of `default` to be forwarded; none on a cluster without the edge stack.
    """

    def __init__(
        self, api: KubeApi, settings: PodSettings, *, notice: Notice, services: tuple[str, ...] = FORWARDED
    ) -> None:
        self._api = api
        self._settings = settings
        self._notice = notice
        self._services = services
        self._missing: tuple[Missing, ...] = ()
        self.done = False

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What the last look found missing."""
        return self._missing

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Look, tell what changed, wait; an API that is away is tried again soon."""
        while not stop.is_set():
            beat()
            try:
                self.look()
                pause_s = AGAIN_S
            except KubeUnavailableError:
                pause_s = RETRY_S * random.uniform(0.5, 1.0)
            end_s = time.monotonic() + pause_s
            while (left_s := end_s - time.monotonic()) > 0 and not stop.wait(min(left_s, STEP_S)):
                beat()

    def look(self) -> None:
        """Prepare once and log what is newly missing or found.

        Raises: KubeUnavailableError.
        """
        missing = prepare(self._api, self._settings, self._services)
        for each in missing:
            if each not in self._missing:
                self._notice("kube.missing", level="warning", what=each.what, reason=each.reason, hint=each.remedy)
        still = {each.what for each in missing}
        for what in dict.fromkeys(each.what for each in self._missing if each.what not in still):
            self._notice("kube.found", what=what)
        self._missing = missing
        self.done = True


def prepare(api: KubeApi, settings: PodSettings, services: tuple[str, ...] = FORWARDED) -> tuple[Missing, ...]:
    """Make what the namespace lacks where we may; return what is still missing.

    Raises: KubeUnavailableError.
    """
    namespace = settings.namespace
    missing = _namespace(api, namespace)
    if missing:
        return (missing,)
    config_maps = dict.fromkeys(mount.config_map for mount in settings.config_mounts)
    found = [_forward(api, namespace, service) for service in services]
    found += [_copy(api, namespace, config_map) for config_map in config_maps]
    found.append(_dry_run(api, settings))
    return tuple(each for each in found if each is not None)


def _namespace(api: KubeApi, namespace: str) -> Missing | None:
    what = f"namespace {namespace}"
    try:
        api.get(f"/api/v1/namespaces/{namespace}")
    except KubeRefusedError as error:
        if error.status == 403:
            # without the right to look: the dry run of a pod will tell
            return None
        if error.status != 404:
            return Missing(what, _told(error), remedy_of(error.message) or _MANIFESTS)
    else:
        return None
    try:
        api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    except KubeRefusedError as error:
        if error.status != 409:
            return Missing(what, _told(error), f"kubectl create namespace {namespace}")
    return None


def _forward(api: KubeApi, namespace: str, service: str) -> Missing | None:
    """Make the service of `default` reachable under its short name in the namespace."""

    def wanted(source: Json) -> Json:
        keys = ("name", "port", "protocol", "targetPort")
        ports = [{key: port[key] for key in keys if key in port} for port in source.get("spec", {}).get("ports") or []]
        external = f"{service}.{SOURCE_NAMESPACE}.svc.cluster.local"
        return {"spec": {"type": "ExternalName", "externalName": external, "ports": ports}}

    def same(present: Json, new: Json) -> bool:
        old = present.get("spec", {})
        old_ports = [{key: port.get(key) for key in ("name", "port")} for port in old.get("ports") or []]
        new_ports = [{key: port.get(key) for key in ("name", "port")} for port in new["spec"]["ports"]]
        return old.get("externalName") == new["spec"]["externalName"] and old_ports == new_ports

    remedy = f"install the Waggle Edge Stack, or make service {service} in {SOURCE_NAMESPACE}"
    return _mirror(api, "Service", "services", service, namespace, wanted, same, remedy)


def _copy(api: KubeApi, namespace: str, config_map: str) -> Missing | None:
    """Copy the content of a ConfigMap of `default`."""

    def wanted(source: Json) -> Json:
        return {key: source[key] for key in ("data", "binaryData") if source.get(key)}

    def same(present: Json, new: Json) -> bool:
        return all((present.get(key) or {}) == (new.get(key) or {}) for key in ("data", "binaryData"))

    remedy = f"make ConfigMap {config_map} in {SOURCE_NAMESPACE}, or take it out of pods.config_mounts"
    return _mirror(api, "ConfigMap", "configmaps", config_map, namespace, wanted, same, remedy)


def _mirror(
    api: KubeApi,
    kind: str,
    plural: str,
    name: str,
    namespace: str,
    wanted: Callable[[Json], Json],
    same: Callable[[Json, Json], bool],
    remedy: str,
) -> Missing | None:
    target = f"/api/v1/namespaces/{namespace}/{plural}"
    what = f"{kind} {name} in {namespace}"
    try:
        source = _maybe(api, f"/api/v1/namespaces/{SOURCE_NAMESPACE}/{plural}/{name}")
        present = _maybe(api, f"{target}/{name}")
        if source is None:
            # somebody may have put it there by hand
            return None if present is not None else Missing(what, f"{SOURCE_NAMESPACE} has none either", remedy)
        new = wanted(source)
        if present is None:
            api.create(target, {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **new})
        elif not same(present, new):
            version = present["metadata"]["resourceVersion"]
            body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "resourceVersion": version}, **new}
            api.replace(f"{target}/{name}", body)
    except KubeRefusedError as error:
        if error.status == 409:
            # somebody else wrote it just now
            return None
        return Missing(what, _told(error), remedy_of(error.message) or _MANIFESTS)
    return None


def _maybe(api: KubeApi, path: str) -> Json | None:
    try:
        return api.get(path)
    except KubeRefusedError as error:
        if error.status == 404:
            return None
        raise


def _dry_run(api: KubeApi, settings: PodSettings) -> Missing | None:
    """Ask whether the API server would take a pod of ours; nothing is created."""
    plugin = Plugin("edgesched-dry-run", PluginSpec("localhost/edgesched/dry-run:1"))
    order = PodOrder("dry-run", "edgesched-dry-run", "edgesched-dry-run-000000", "", "", "dry-run", plugin)
    path = f"/api/v1/namespaces/{settings.namespace}/pods"
    try:
        api.create(path, pod_manifest(order, settings), {"dryRun": "All"})
    except KubeRefusedError as error:
        if error.status == 409:
            return None
        return Missing(
            f"permission for pods in {settings.namespace}", _told(error), remedy_of(error.message) or _MANIFESTS
        )
    return None


def _told(error: KubeRefusedError) -> str:
    return f"{error.status} {error.message}"
