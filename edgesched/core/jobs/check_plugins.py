"""Faults of plugins: names, images, and all that becomes part of a pod.

The pod maker is the judge. Each field is given to it alone, in a plugin that is sound otherwise, so that one fault does
not hide the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from edgesched.core.findings import Finding, Severity
from edgesched.core.jobs.job import ParsedJob, Path
from edgesched.core.model import Plugin, PluginSpec, PodOrder
from edgesched.core.pods import PodSettings, parse_image, pod_manifest
from edgesched.errors import PluginError

LONGEST_NAME: Final = 63
LONGEST_REFERENCE_NAME: Final = 56
"""The reference puts a hyphen and 6 letters behind the name and the result into a label."""

PLACEHOLDER: Final = re.compile(r"\{\{[^{}]*\}\}|\$\{?[A-Za-z_]\w*\}?|<[^<>]*>")
"""What template engines, shells and documentation write where a value belongs."""

_NAME = re.compile(r"[a-z0-9-]+")
_BLANK_TO_FILL = re.compile(r"<[A-Z][A-Z0-9_]+>")
_SHIPPED_TAG = re.compile(r".*\d+\.\d+\.\d+.*|latest|test")
_SECRET_LIKE = re.compile(r"\s*\{+\s*secrets?\b.*", re.IGNORECASE)
_OURS: Final = frozenset(("HOST", "PULSE_SERVER", "ROS_IP", "ROS_MASTER_URI"))
_SOUND = PluginSpec("registry.sagecontinuum.org/waggle/sound:1.0.0")
_FIELD = re.compile(r"pluginSpec(?:\.(\w+)(?:\[(.*)\])?)?", re.DOTALL)


def check_plugins(parsed: ParsedJob) -> list[Finding]:
    """Check all plugins of a job."""
    findings: list[Finding] = []
    seen: dict[str, int] = {}
    wrong = {(finding.line, finding.column) for finding in parsed.findings}
    for index, plugin in enumerate(parsed.job.plugins):
        if parsed.place("plugins", index) in wrong:
            continue
        checker = _Plugin(parsed, index, plugin, wrong)
        checker.check_name(seen)
        checker.check_image()
        checker.check_pod()
        checker.check_values()
        findings += checker.findings
    return findings


class _Plugin:
    """The checks of one plugin."""

    def __init__(self, parsed: ParsedJob, index: int, plugin: Plugin, wrong: set[tuple[int, int]]) -> None:
        self.findings: list[Finding] = []
        self._parsed = parsed
        self._path: Path = ("plugins", index)
        self._plugin = plugin
        self._spec = plugin.spec
        self._wrong = wrong

    def check_name(self, seen: dict[str, int]) -> None:
        name, index = self._plugin.name, self._path[1]
        if not name:
            if not self._is_reported("name"):
                self._find("error", "plugin.name.missing", "the plugin has no name", ("name",), "write `- name: NAME`")
            return
        if name in seen:
            message = f"plugins[{seen[name]}] has the name {name} too"
            self._find("error", "plugin.name.duplicate", message, ("name",), "give each plugin a name of its own")
        seen.setdefault(name, int(index))
        if not _NAME.fullmatch(name):
            better = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
            hint = f"write {better}" if better else ""
            message = f"the plugin name {name[:80]!r} may only have lower-case letters, digits and hyphens"
            self._find("error", "plugin.name.form", message, ("name",), hint)
        elif name.startswith("-") or name.endswith("-"):
            message = f"the plugin name {name[:80]!r} begins or ends with a hyphen, which Kubernetes refuses"
            self._find("error", "plugin.name.form", message, ("name",), f"write {name.strip('-')}")
        if len(name) > LONGEST_NAME:
            message = f"the plugin name has {len(name)} characters, Kubernetes takes at most {LONGEST_NAME}"
            self._find("error", "plugin.name.long", message, ("name",), f"at most {LONGEST_REFERENCE_NAME} are safe")
        elif len(name) > LONGEST_REFERENCE_NAME:
            message = f"the plugin name has {len(name)} characters, nodes of the reference scheduler cannot start it"
            self._find("warning", "plugin.name.long", message, ("name",), f"use at most {LONGEST_REFERENCE_NAME}")

    def check_image(self) -> None:
        path: Path = ("pluginSpec", "image")
        image = self._spec.image
        if not image:
            if not self._is_reported("pluginSpec") and not self._is_reported(*path):
                hint = "write `pluginSpec:` and, indented under it, `image: NAME:VERSION`"
                self._find("error", "plugin.image.missing", "the plugin does not say which image to run", path, hint)
            return
        placeholder = PLACEHOLDER.search(image)
        if placeholder:
            message = f"the image has the placeholder {placeholder[0]}"
            self._find("error", "job.placeholder", message, path, "put the value in its place")
            return
        try:
            reference = parse_image(image)
        except PluginError as error:
            self._find("error", "plugin.image.form", error.message, path, error.hint)
            return
        if reference.digest:
            message = "nodes of the reference scheduler refuse an image with a digest"
            self._find("warning", "plugin.image.digest", message, path, "name the version by its tag")
        elif not reference.tag:
            message = "the image has no version, so what runs changes when the image does"
            self._find("warning", "plugin.image.version", message, path, f"write {image}:VERSION")
        elif not _SHIPPED_TAG.fullmatch(reference.tag):
            message = (
                f"files that the plugin uploads never leave the node: the version {reference.tag} is not like 1.2.3"
            )
            hint = "tag the image as 1.2.3, latest or test if it uploads files"
            self._find("warning", "plugin.image.upload", message, path, hint)

    def check_pod(self) -> None:
        """Let the pod maker try each field."""
        reported: set[tuple[Path, str]] = set()
        for tried, spec in _probes(self._spec):
            order = PodOrder("r", "p", "i", "0", "0", spec.job, Plugin("sound", spec))
            try:
                pod_manifest(order, PodSettings())
            except PluginError as error:
                path = tried if len(tried) == 3 else _path_of(error.path)
                if (path, error.message) not in reported and not self._is_reported(*path):
                    reported.add((path, error.message))
                    code = f"plugin.{path[1]}" if len(path) > 1 else "plugin.pod"
                    self._find("error", code, error.message, path, error.hint)

    def check_values(self) -> None:
        for name, value in self._spec.env.items():
            path: Path = ("pluginSpec", "env", name)
            if name.startswith("WAGGLE_") or name in _OURS:
                message = f"{name} is set by the node, this value is not used"
                self._find("warning", "plugin.env.ours", message, path, "remove it")
            elif _SECRET_LIKE.match(value) and not value.startswith("{secret."):
                message = f"{value[:60]!r} is passed as it is, it names no secret"
                self._find("warning", "plugin.env.secret", message, path, 'write "{secret.NAME.KEY}"')
        for index, arg in enumerate(self._spec.args):
            blank = _BLANK_TO_FILL.search(arg)
            if blank:
                place = self._parsed.place(*self._path, "pluginSpec", "args", index, offset=blank.start())
                message = f"{blank[0]} looks like a placeholder"
                hint = "put the value in its place"
                self.findings.append(Finding("warning", "plugin.args.placeholder", message, hint, *place))

    def _is_reported(self, *path: str | int) -> bool:
        whole = (*self._path, *path)
        if whole in self._parsed.misspelt:
            return True
        return whole in self._parsed.places and self._parsed.place(*whole) in self._wrong

    def _find(self, severity: Severity, code: str, message: str, path: Path, hint: str = "") -> None:
        whole = (*self._path, *path)
        place = self._parsed.key_place(*whole) if len(path) == 3 else self._parsed.place(*whole)
        self.findings.append(Finding(severity, code, message, hint, *place))


def _path_of(text: str) -> Path:
    """Return the path that the pod maker means by `pluginSpec.FIELD[KEY]`."""
    match = _FIELD.fullmatch(text)
    if match is None or match[1] is None:
        return ("pluginSpec",)
    return ("pluginSpec", match[1]) if match[2] is None else ("pluginSpec", match[1], match[2])


def _probes(spec: PluginSpec) -> Iterator[tuple[Path, PluginSpec]]:
    """Yield sound specs with one field of `spec` each, and the path of what is tried."""
    yield ("pluginSpec", "job"), replace(_SOUND, job=spec.job)
    yield ("pluginSpec", "node"), replace(_SOUND, node=spec.node)
    for key, value in spec.selector.items():
        yield ("pluginSpec", "selector", key), replace(_SOUND, selector={key: value})
    for key, value in spec.env.items():
        yield ("pluginSpec", "env", key), replace(_SOUND, env={key: value})
    for key, value in spec.resource.items():
        yield ("pluginSpec", "resource", key), replace(_SOUND, resource={key: value})
    yield ("pluginSpec", "resource"), replace(_SOUND, resource=spec.resource)
    placed = replace(_SOUND, selector={"zone": "core"}, privileged=spec.privileged)
    for key, value in spec.volume.items():
        yield ("pluginSpec", "volume", key), replace(placed, volume={key: value})
    yield ("pluginSpec", "volume"), replace(placed, volume=spec.volume)
    if not spec.selector and not spec.node:
        yield ("pluginSpec", "volume"), replace(_SOUND, volume=spec.volume)
