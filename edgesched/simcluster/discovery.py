"""Discovery: which groups, versions and resources there are, so that kubectl finds its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from edgesched.simcluster.http_types import Reply, Request, json_reply, text_reply
from edgesched.simcluster.resources import PODS, RESOURCES, SERVICES
from edgesched.simcluster.status import Object

GIT_VERSION: Final = "v1.20.2"

_VERSION: Final[Object] = {
    "major": "1",
    "minor": "20",
    "gitVersion": GIT_VERSION,
    "gitCommit": "",
    "gitTreeState": "embedded",
    "buildDate": "2021-01-13T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}


def discover(request: Request) -> Reply | None:
    """The reply to a request outside the resources, None when the path is not one of these."""
    path = request.path.rstrip("/")
    answer = _PAGES.get(path)
    return answer() if answer and request.method == "GET" else None


def _groups() -> list[str]:
    return sorted({resource.group for resource in RESOURCES if resource.group})


def _group(name: str) -> Object:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _group_list() -> Reply:
    groups = [_group(name) for name in _groups()]
    return json_reply(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})


def _core_versions() -> Reply:
    return json_reply(200, {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})


def _resource_list(group: str) -> Reply:
    entries: list[Object] = []
    for resource in RESOURCES:
        if resource.group != group:
            continue
        entry: Object = {
            "name": resource.plural,
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource in {PODS, SERVICES}:
            entry["categories"] = ["all"]
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        entries.append(entry)
        for name, verbs in sorted(resource.subresources.items()):
            kind = "Binding" if name == "binding" else resource.kind
            sub = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
            entries.append({**sub, "kind": kind, "verbs": list(verbs)})
    version = f"{group}/v1" if group else "v1"
    return json_reply(
        200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": entries}
    )


def _well() -> Reply:
    return text_reply(200, "ok")


def _pages() -> dict[str, Callable[[], Reply]]:
    pages: dict[str, Callable[[], Reply]] = {
        "/version": lambda: json_reply(200, _VERSION),
        "/api": _core_versions,
        "/apis": _group_list,
        "/api/v1": lambda: _resource_list(""),
        **dict.fromkeys(("/healthz", "/livez", "/readyz"), _well),
    }
    for group in _groups():
        pages[f"/apis/{group}"] = lambda group=group: json_reply(  # type: ignore[misc]
            200, {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        )
        pages[f"/apis/{group}/v1"] = lambda group=group: _resource_list(group)  # type: ignore[misc]
    return pages


_PAGES: Final[Mapping[str, Callable[[], Reply]]] = _pages()
