"""What a job may ask of this node. Goals come over the network and are not trusted; creating a pod is root's work.

The defaults let through what the jobs of the field need (docs/admission.md has the table) and nothing beyond it. Every
refusal names the setting that would allow it, so that an operator can decide.

Patterns are those of a shell (`*`, `?`, `[..]`). An image pattern is compared with the repository in full
(`docker.io/waggle/plugin-iio`), and with the tag and digest when it has some itself. A host path pattern is compared
part by part, and `*` stands for one part only: what lies deeper in an allowed folder is not allowed, because a plugin
that may write to a folder may put a link there that leads out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from edgesched.core.model import Plugin, PluginSpec
from edgesched.core.pods.manifest import secret_of
from edgesched.core.pods.names import parse_image
from edgesched.core.pods.quantity import parse_quantity
from edgesched.core.pods.resources import resource_of
from edgesched.errors import PluginError

_WORD_RESOURCES: Final = frozenset({"cpu", "memory"})


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """Settings of node-side admission; each is a tuple of patterns unless said otherwise.

    `privileged`: images that may run privileged. `host_paths`: folders of the node that may be mounted.
    `images`: images that may run at all. `max_cpu`, `max_memory`: most that one plugin may request or be limited to,
    quantities, empty for no ceiling. `resources`: further resources that a plugin may ask for. `develop`: allow
    plugins without network policy. `nodes`: values of `node`. `selectors`: `KEY=VALUE` of node selectors.
    `secrets`: names of Kubernetes Secrets that environment values may come from, save `secrets_denied`.
    """

    privileged: tuple[str, ...] = ("registry.sagecontinuum.org/*", "waggle/*", "registry.gitlab.com/lbl-anp/*")
    host_paths: tuple[str, ...] = ("/opt/sage/*", "/var/lib/sage-*", "/home/waggle/data")
    images: tuple[str, ...] = ("*",)
    max_cpu: str = "16"
    max_memory: str = "32Gi"
    resources: tuple[str, ...] = ("nvidia.com/gpu", "qualcomm.com/qaic")
    develop: bool = False
    nodes: tuple[str, ...] = ("*",)
    selectors: tuple[str, ...] = (
        "zone=*",
        "resource.*=*",
        "kubernetes.io/hostname=*",
        "k3s.io/hostname=*",
        "kubernetes.io/arch=*",
    )
    secrets: tuple[str, ...] = ("*",)
    secrets_denied: tuple[str, ...] = ("*-token-*", "wes-*", "default-*")


def admit(plugin: Plugin, settings: AdmissionSettings) -> str | None:
    """Decide whether a plugin may run on this node.

    Returns: None when it may, else one line that says what is refused and by which setting.
    """
    spec = plugin.spec
    try:
        return (
            _refused_image(spec, settings)
            or _refused_develop(spec, settings)
            or _refused_volume(spec, settings)
            or _refused_resource(spec, settings)
            or _refused_placement(spec, settings)
            or _refused_secret(spec, settings)
        )
    except PluginError as error:
        return f"{error.path}: {error}"


def _refused_image(spec: PluginSpec, settings: AdmissionSettings) -> str | None:
    if not _image_matches(spec.image, settings.images):
        return _reason("images", f"image {spec.image}", settings.images)
    if spec.privileged and not _image_matches(spec.image, settings.privileged):
        return _reason("privileged", f"privileged image {spec.image}", settings.privileged)
    return None


def _refused_develop(spec: PluginSpec, settings: AdmissionSettings) -> str | None:
    if spec.develop and not settings.develop:
        return "admission.develop refuses develop: true (it takes the plugin out of the network policies)"
    return None


def _refused_volume(spec: PluginSpec, settings: AdmissionSettings) -> str | None:
    for path in spec.volume:
        if not any(_path_matches(path, pattern) for pattern in settings.host_paths):
            return _reason("host_paths", f"volume {path}", settings.host_paths)
    return None


def _refused_resource(spec: PluginSpec, settings: AdmissionSettings) -> str | None:
    for key, text in spec.resource.items():
        _, name = resource_of(key)
        ceiling = {"cpu": settings.max_cpu, "memory": settings.max_memory}.get(name, "")
        if name not in _WORD_RESOURCES and not _matches(name, settings.resources):
            return _reason("resources", f"resource {key}", settings.resources)
        try:
            if ceiling and parse_quantity(text) > parse_quantity(ceiling):
                return f"admission.max_{name} refuses {key} of {text} (at most {ceiling})"
        except ValueError as error:
            return f"pluginSpec.resource[{key}]: {error}"
    return None


def _refused_placement(spec: PluginSpec, settings: AdmissionSettings) -> str | None:
    if spec.node and not _matches(spec.node, settings.nodes):
        return _reason("nodes", f"node {spec.node}", settings.nodes)
    for key, value in spec.selector.items():
        if not _matches(f"{key}={value}", settings.selectors):
            return _reason("selectors", f"selector {key}={value}", settings.selectors)
    return None


def _refused_secret(spec: PluginSpec, settings: AdmissionSettings) -> str | None:
    for value in spec.env.values():
        secret = secret_of(value)
        if secret is None:
            continue
        if _matches(secret[0], settings.secrets_denied):
            return f"admission.secrets_denied refuses secret {secret[0]} (denied: {', '.join(settings.secrets_denied)})"
        if not _matches(secret[0], settings.secrets):
            return _reason("secrets", f"secret {secret[0]}", settings.secrets)
    return None


def _reason(setting: str, what: str, allowed: Iterable[str]) -> str:
    return f"admission.{setting} refuses {what[:200]} (allowed: {', '.join(allowed) or 'none'})"


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _image_matches(image: str, patterns: Iterable[str]) -> bool:
    ref = parse_image(image)
    tag = f":{ref.tag}" if ref.tag else ""
    digest = f"@{ref.digest}" if ref.digest else ""
    for pattern in patterns:
        last = pattern.rpartition("/")[2]
        text = ref.repository + (tag if ":" in last else "") + (digest if "@" in last else "")
        if fnmatchcase(text, _full_pattern(pattern)):
            return True
    return False


def _full_pattern(pattern: str) -> str:
    """Put the default registry before an image pattern that names none."""
    first, slash, _ = pattern.partition("/")
    if pattern == "*" or (slash and ("." in first or ":" in first or "*" in first or first == "localhost")):
        return pattern
    return f"docker.io/{pattern}" if slash else f"docker.io/library/{pattern}"


def _path_matches(path: str, pattern: str) -> bool:
    parts, wanted = _parts(path), _parts(pattern)
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts:
        raise PluginError(f"{path[:200]!r} is no absolute path without ..", path="pluginSpec.volume")
    return [part for part in parts if part not in {"", "."}]
