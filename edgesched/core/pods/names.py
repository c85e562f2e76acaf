"""Names within Kubernetes' limits: pods, containers, label values and image references.

A pod's name carries a hash of the key of its run, so that a repeated create is the same create. Names of plugins may be
longer than Kubernetes allows or begin with a dash; they are cut and get a hash where they would lose their identity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from edgesched.errors import PluginError

MAX_NAME: Final = 63

_DNS_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_LABEL_VALUE: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?\Z")
_LABEL_KEY: Final = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?\Z"
)
_DOMAIN: Final = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?::[0-9]{1,5})?\Z")
_PATH_PART: Final = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*\Z")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_DIGEST: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}\Z")


def pod_name(plugin: str, key: str) -> str:
    """Name the pod of the run `key`: the plugin's name, cut, and 10 hex digits of its SHA-256; <= 63 characters."""
    return run_names(plugin, key).pod_name


def instance_name(plugin: str, key: str) -> str:
    """Name the run `key` for people and for the portal: the plugin's name and 6 letters or digits; <= 63 characters.

    The portal groups events by this name and takes what stands before the last dash as the plugin's name.
    """
    return run_names(plugin, key).instance


class RunNames(NamedTuple):
    """What a run is called: in labels, as a pod, and for people."""

    run_id: str
    pod_name: str
    instance: str


def run_names(plugin: str, key: str) -> RunNames:
    """Name the run `key` of a plugin; all three names come from one SHA-256 of the key."""
    digits = sha256(key.encode(errors="surrogatepass")).hexdigest()
    long, short = _stems(plugin)
    return RunNames(digits[:20], f"{short}-{digits[:10]}", f"{long}-{digits[10:16]}")


def container_name(plugin: str) -> str:
    """Name the plugin's container: the plugin's own name where Kubernetes allows it, else cut and with a hash."""
    if _DNS_LABEL.match(plugin):
        return plugin
    return f"{_stem(plugin, MAX_NAME - 11)}-{sha256(plugin.encode(errors='surrogatepass')).hexdigest()[:10]}"


def label_value(text: str) -> str:
    """Make a label value: the text itself where Kubernetes allows it, else cut and with a hash of the whole."""
    if _LABEL_VALUE.match(text):
        return text
    stem = re.sub(r"[^A-Za-z0-9_.-]", "-", text)[: MAX_NAME - 11].strip("-_.")
    digits = sha256(text.encode(errors="surrogatepass")).hexdigest()[:10]
    return f"{stem}-{digits}" if stem else digits


def is_label_value(text: str) -> bool:
    """Say whether Kubernetes takes the text as the value of a label."""
    return _LABEL_VALUE.match(text) is not None


def is_label_key(text: str) -> bool:
    """Say whether Kubernetes takes the text as the key of a label or the name of a resource."""
    return len(text) <= 253 + 1 + MAX_NAME and _LABEL_KEY.match(text) is not None


@lru_cache(maxsize=4096)
def _stems(plugin: str) -> tuple[str, str]:
    """What instance and pod are named after."""
    return _stem(plugin, MAX_NAME - 7), _stem(plugin, MAX_NAME - 11)


def _stem(plugin: str, length: int) -> str:
    return re.sub(r"[^a-z0-9-]", "-", plugin.lower())[:length].strip("-") or "plugin"


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image reference. `domain` is `docker.io` when the text has none; `tag` and `digest` may be empty."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """Domain and path, `docker.io/waggle/plugin-iio`."""
        return f"{self.domain}/{self.path}"


@lru_cache(maxsize=256)
def parse_image(text: str) -> ImageRef:
    """Take an image reference apart: `[host[:port]/]path[:tag][@digest]`.

    Raises: PluginError with path `pluginSpec.image`.
    """
    if not text:
        raise PluginError("the plugin names no image", hint="set image: NAME:VERSION", path="pluginSpec.image")
    if "://" in text:
        raise _bad_image(text, "leave out the scheme, as in registry.sagecontinuum.org/waggle/plugin:1.0.0")
    rest, at, digest = text.partition("@")
    folder, slash, last = rest.rpartition("/")
    base, colon, tag = last.partition(":")
    domain, path = _split_domain(folder + slash + base)
    if at and not _DIGEST.match(digest):
        raise _bad_image(text, "a digest looks like sha256:0123...ef")
    if colon and not _TAG.match(tag):
        raise _bad_image(text, "a tag has letters, digits and _ . - only, at most 128")
    if not _DOMAIN.match(domain):
        raise _bad_image(text, "the registry is a host name with an optional port")
    if len(path) > 255 or not all(_PATH_PART.match(part) for part in path.split("/")):
        raise _bad_image(text, "the name has lower-case letters, digits and . _ - / only")
    return ImageRef(domain.lower(), path, tag, digest)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "docker.io", name if slash else f"library/{name}"


def _bad_image(text: str, hint: str) -> PluginError:
    return PluginError(f"{text[:200]!r} is not an image reference", hint=hint, path="pluginSpec.image")
