"""What exists: plugins that may be scheduled, nodes with their computers and sensors.

Each list comes from a file (YAML or JSON) or from the public endpoints of the reference (`/api/apps` of the edge code
repository, `/manifests/` of the node registry). A list that is not configured is *open*: then everything is accepted
and nothing is known about it. A configured one is strict.

Policy. Lists are fetched at start and every few minutes; while an endpoint is away the last known list stays in use,
also over a restart (`DATA_DIR/catalogue/*.json`). A plugin that the list lacks is asked for by itself once, and a "no"
is remembered for a minute. The registry's host counts: `evil.example/x/theone/imagesampler:0.3.0` is not
`theone/imagesampler:0.3.0` of our registry, as the reference believes. Images that match an expression of the
whitelist need no entry, but go through all other checks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import yaml

from edgesched.errors import CloudUnavailableError, ConfigError

log = logging.getLogger("edgesched.cloud.catalogue")

FETCH_TIMEOUT: Final = aiohttp.ClientTimeout(total=20)
LARGEST_LIST: Final = 64 * 1024 * 1024
NO_TRUST_S: Final = 60.0
ARCHITECTURES: Final = ("arm64", "amd64", "armv7")
_IMAGE = re.compile(r"(?P<host>[^/]+)/(?P<path>.+/)?(?P<space>[^/]+)/(?P<name>[^/:]+):(?P<version>[^/:@]+)")


@dataclass(frozen=True, slots=True)
class PluginManifest:
    """A plugin of the registry. `id`: `NAMESPACE/NAME:VERSION`; `architectures`: `arm64`, `amd64`, ..."""

    id: str
    architectures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeManifest:
    """A node. `architectures`: one entry a computer; `sensors`: names and labels as jobs write them."""

    vsn: str
    name: str = ""
    tags: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    labels: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Found:
    manifest: PluginManifest | None
    good_until_s: float


@dataclass(frozen=True, slots=True)
class CatalogueSettings:
    """Where the lists come from: a path or an `http(s)://` address each, empty for an open list.

    `registry`: host of images that the plugin list speaks of. `whitelist`: expressions, one of which must match
    somewhere in the image.
    """

    plugins: str = ""
    nodes: str = ""
    registry: str = "registry.sagecontinuum.org"
    whitelist: tuple[str, ...] = ()
    cache_dir: Path | None = None


@dataclass(slots=True)
class Catalogue:
    """The lists in use. Loops and look-ups run on the event loop; tests build one with what they need."""

    settings: CatalogueSettings
    plugins: dict[str, PluginManifest] = field(default_factory=dict)
    nodes: dict[str, NodeManifest] = field(default_factory=dict)
    _asked: dict[str, _Found] = field(default_factory=dict)
    _whitelist: tuple[re.Pattern[str], ...] = ()
    _session: aiohttp.ClientSession | None = None

    def __post_init__(self) -> None:
        patterns = []
        for text in self.settings.whitelist:
            try:
                patterns.append(re.compile(text))
            except re.error as error:
                raise ConfigError(f"whitelist: {text!r} is no regular expression: {error}") from error
        self._whitelist = tuple(patterns)

    @property
    def plugins_open(self) -> bool:
        """Whether every image is accepted."""
        return not self.settings.plugins

    @property
    def nodes_open(self) -> bool:
        """Whether every node name is accepted."""
        return not self.settings.nodes

    def node(self, vsn: str) -> NodeManifest | None:
        """Return a node's manifest; names compare without case."""
        return self.nodes.get(vsn.lower())

    def nodes_with_tags(self, tags: tuple[str, ...]) -> list[str]:
        """Return the VSNs of the nodes that have all tags, in the list's order; none without tags."""
        return [node.vsn for node in self.nodes.values() if tags and set(tags) <= set(node.tags)]

    def is_whitelisted(self, image: str) -> bool:
        """Say whether an expression of the whitelist matches somewhere in the image."""
        return any(pattern.search(image) for pattern in self._whitelist)

    async def plugin(self, image: str) -> PluginManifest | None:
        """Return the manifest of an image of our registry, None when there is none or it cannot be had."""
        plugin_id = self._plugin_id(image)
        if plugin_id is None:
            return None
        known = self.plugins.get(plugin_id)
        if known is not None or not _is_address(self.settings.plugins):
            return known
        asked = self._asked.get(plugin_id)
        if asked is None or asked.good_until_s < time.monotonic():
            asked = _Found(await self._ask_for(plugin_id), time.monotonic() + NO_TRUST_S)
            if len(self._asked) > 10_000:
                self._asked.clear()
            self._asked[plugin_id] = asked
        if asked.manifest is not None:
            self.plugins[plugin_id] = asked.manifest
        return asked.manifest

    def _plugin_id(self, image: str) -> str | None:
        match = _IMAGE.fullmatch(image)
        if match is None or match["host"] != self.settings.registry or match["path"]:
            return None
        return f"{match['space']}/{match['name']}:{match['version']}"

    async def _ask_for(self, plugin_id: str) -> PluginManifest | None:
        name, version = plugin_id.rsplit(":", 1)
        try:
            found = await self._fetch(f"{self.settings.plugins.rstrip('/')}/api/apps/{quote(name)}/{quote(version)}")
        except CloudUnavailableError:
            return None
        return read_plugin(found)

    async def load(self) -> None:
        """Load both lists; a list that cannot be fetched comes from the cache. Raises ConfigError for a bad file."""
        await self._load_one("plugins", self.settings.plugins, "/api/apps")
        await self._load_one("nodes", self.settings.nodes, "/manifests/")

    async def _load_one(self, kind: str, source: str, path: str) -> None:
        if not source:
            return
        if not _is_address(source):
            self._take(kind, read_list_file(Path(source)))
            return
        try:
            document = await self._fetch(source.rstrip("/") + path)
        except CloudUnavailableError as error:
            log.warning("catalogue.unavailable list=%s reason=%s", kind, error.message)
            loaded = bool(self.plugins if kind == "plugins" else self.nodes)
            cached = None if loaded else self._read_cache(kind)
            if cached is not None:
                self._take(kind, cached)
            return
        self._take(kind, document)
        self._write_cache(kind, document)

    def _take(self, kind: str, document: Any) -> None:
        entries = document.get("data", []) if isinstance(document, Mapping) else document
        if not isinstance(entries, list):
            raise ConfigError(f"the list of {kind} is no list")
        if kind == "plugins":
            plugins = (read_plugin(entry) for entry in entries)
            self.plugins = {plugin.id: plugin for plugin in plugins if plugin is not None}
        else:
            nodes = (read_node(entry) for entry in entries)
            self.nodes = {node.vsn.lower(): node for node in nodes if node is not None}
        log.info("catalogue.loaded list=%s entries=%d", kind, len(entries))

    async def refresh_forever(self, every_s: float) -> None:
        """Load the lists again and again, as long as the task lives."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.load()
            except ConfigError as error:
                log.warning("catalogue.refused reason=%s", error.message)

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    async def _fetch(self, url: str) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=FETCH_TIMEOUT)
        try:
            async with self._session.get(url, headers={"Accept": "application/json"}) as response:
                if response.status != 200:
                    raise CloudUnavailableError(f"{url} answered {response.status}")
                body = await response.content.read(LARGEST_LIST)
                return json.loads(body)
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            raise CloudUnavailableError(f"cannot fetch {url}: {str(error)[:200]}") from error

    def _read_cache(self, kind: str) -> Any:
        path = self._cache_path(kind)
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path is not None else None
        except (OSError, ValueError):
            return None

    def _write_cache(self, kind: str, document: Any) -> None:
        path = self._cache_path(kind)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(document), encoding="utf-8")
            fresh.replace(path)
        except OSError as error:
            log.warning("catalogue.not-cached list=%s reason=%s", kind, error)

    def _cache_path(self, kind: str) -> Path | None:
        folder = self.settings.cache_dir
        return None if folder is None else folder / f"{kind}.json"


def read_list_file(path: Path) -> Any:
    """Read a list of manifests from YAML or JSON. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"cannot read {path}: {str(error)[:200]}") from error


def read_plugin(entry: Any) -> PluginManifest | None:
    """Read a plugin manifest of the public format; None when it has no id."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str):
        return None
    source = entry.get("source")
    listed = source.get("architectures") if isinstance(source, Mapping) else None
    return PluginManifest(entry["id"], tuple(plain_architecture(name) for name in _texts(listed)))


def read_node(entry: Any) -> NodeManifest | None:
    """Read a node manifest of the public format; None when it has no VSN."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("vsn"), str):
        return None
    sensors = [sensor for sensor in entry.get("sensors") or [] if isinstance(sensor, Mapping)]
    names = tuple(str(sensor["name"]) for sensor in sensors if sensor.get("name"))
    labels = {label for sensor in sensors for label in _texts(sensor.get("labels"))}
    computes = [compute for compute in entry.get("computes") or [] if isinstance(compute, Mapping)]
    found = [architecture for compute in computes if (architecture := _architecture_of(compute))]
    name = str(entry.get("name") or "")
    return NodeManifest(entry["vsn"], name, tuple(_texts(entry.get("tags"))), tuple(found), names, frozenset(labels))


def plain_architecture(name: str) -> str:
    """Return `arm64`, `amd64` or `armv7` for the spellings of registries (`linux/arm/v7`)."""
    plain = name.removeprefix("linux/")
    return "armv7" if plain == "arm/v7" else plain


def _architecture_of(compute: Mapping[str, Any]) -> str:
    hardware = compute.get("hardware")
    capabilities = hardware.get("capabilities") if isinstance(hardware, Mapping) else None
    return next((name for name in _texts(capabilities) if name in ARCHITECTURES), "")


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _is_address(source: str) -> bool:
    return source.startswith(("http://", "https://"))
