"""Whether a job may be stored, and whether it may go to its nodes.

Policy. A job's own text is judged at every upload: form, rules, criteria, names, secrets (`core.jobs.check`). An error
refuses it, save that a draft may be incomplete: no nodes, no plugins, no name yet. What the world says (permissions,
nodes, registry, architectures, sensors) is an error at submit and a warning before, because it may change until then.
Every fault has the line and column of its place in the upload, and stands once, not once a node.

Reading a job is the expensive part of a submit, so the last ones read are kept by their text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from edgesched.cloud.answers import ApiError
from edgesched.cloud.catalogue import Catalogue, NodeManifest
from edgesched.cloud.tokens import Identity
from edgesched.core.findings import Finding, has_errors
from edgesched.core.jobs import ParsedJob, check_parsed_job, parse_job
from edgesched.core.model import Job, Plugin
from edgesched.core.suggest import did_you_mean

INCOMPLETE: Final = frozenset({"job.nodes.none", "job.plugins.none", "job.name.missing"})
"""Faults that a draft may have."""

MOST_SHOWN: Final = 50
_SENSOR_FLAG = re.compile(r"--?(?:stream|camera|cam)(?:=(?P<value>.+))?")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|/|\d")


@dataclass(frozen=True, slots=True)
class Reading:
    """A job's text as read, and what is wrong with it by itself."""

    parsed: ParsedJob
    findings: tuple[Finding, ...]

    @property
    def job(self) -> Job:
        """The job, as far as it could be read."""
        return self.parsed.job


@lru_cache(maxsize=256)
def read_job(text: str) -> Reading:
    """Read and check a job's text."""
    parsed = parse_job(text)
    return Reading(parsed, tuple(check_parsed_job(parsed)))


def draft_findings(reading: Reading) -> list[Finding]:
    """Return the faults of a draft: what is only incomplete is a warning."""
    return [_as_warning(found) if found.code in INCOMPLETE else found for found in reading.findings]


def refuse_errors(findings: list[Finding], /, **extra: Any) -> list[Finding]:
    """Return the warnings among findings. Raises ApiError 400 with all errors and their places when there are any."""
    if not has_errors(findings):
        return findings
    errors = [found for found in findings if found.severity == "error"]
    warnings = [finding_json(found) for found in findings if found.severity != "error"]
    text = "[" + "; ".join(finding_text(found) for found in errors[:MOST_SHOWN]) + "]"
    if warnings:
        extra["warnings"] = warnings[:MOST_SHOWN]
    raise ApiError(400, text, errors=[finding_json(found) for found in errors[:MOST_SHOWN]], **extra)


def finding_json(found: Finding) -> dict[str, Any]:
    """Return a finding as JSON values; what is empty is left out."""
    fields = {"code": found.code, "message": found.message, "hint": found.hint}
    fields = {key: value for key, value in fields.items() if value}
    return {**fields, "line": found.line, "column": found.column} if found.line else fields


def finding_text(found: Finding) -> str:
    """Return a finding in one line."""
    place = f"line {found.line}, column {found.column}: " if found.line else ""
    hint = f" ({found.hint})" if found.hint else ""
    return f"{place}{found.message}{hint}"


class WorldCheck:
    """Checks a job against the catalogue and its user's permissions."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def nodes_of(self, job: Job) -> tuple[str, ...]:
        """Return the nodes that a job selects, by name and by tag; a name is spelt as in the manifest."""
        named = [self._spelling(vsn) for vsn in job.nodes]
        return tuple(dict.fromkeys([*named, *self._catalogue.nodes_with_tags(job.node_tags)]))

    def _spelling(self, vsn: str) -> str:
        manifest = self._catalogue.node(vsn)
        return vsn if manifest is None else manifest.vsn

    async def findings(self, reading: Reading, user: Identity) -> list[Finding]:
        """Return what stands against running the job for this user now."""
        job, parsed = reading.job, reading.parsed
        nodes = self.nodes_of(job)
        if not nodes and "job.nodes.none" not in {found.code for found in reading.findings}:
            return [Finding("error", "job.nodes.none", "Node is not selected", "no node has all of the nodeTags")]
        found = []
        places = {self._spelling(vsn): parsed.key_place("nodes", vsn) for vsn in job.nodes}
        for vsn in nodes:
            found += self._check_node(vsn, user, places.get(vsn, parsed.place("nodeTags")))
        manifests = [manifest for vsn in nodes if (manifest := self._catalogue.node(vsn)) is not None]
        for index, plugin in enumerate(job.plugins):
            found += await self._check_plugin(parsed, index, plugin, manifests)
        return found

    def _check_node(self, vsn: str, user: Identity, place: tuple[int, int]) -> list[Finding]:
        if not user.may_schedule(vsn):
            message = f"User {user.subject} does not have permission for node {vsn}"
            return [Finding("error", "node.permission", message, "", *place)]
        if self._catalogue.node(vsn) is None and not self._catalogue.nodes_open:
            known = [node.vsn for node in self._catalogue.nodes.values()]
            hint = did_you_mean(vsn, known) if len(known) < 2000 else ""
            return [Finding("error", "node.unknown", f"{vsn} does not exist", hint, *place)]
        return []

    async def _check_plugin(
        self, parsed: ParsedJob, index: int, plugin: Plugin, nodes: list[NodeManifest]
    ) -> list[Finding]:
        image = plugin.spec.image
        found = _check_sensors(parsed, index, plugin, nodes)
        if not image:
            return found
        place = parsed.place("plugins", index, "pluginSpec", "image")
        manifest = await self._catalogue.plugin(image)
        if manifest is None:
            if not self._catalogue.plugins_open and not self._catalogue.is_whitelisted(image):
                found.append(Finding("error", "plugin.unknown", f"{image} does not exist in ECR", "", *place))
            return found
        for node in nodes:
            if (
                node.architectures
                and manifest.architectures
                and not set(node.architectures) & set(manifest.architectures)
            ):
                message = (
                    f"{node.vsn} does not support architecture [{' '.join(manifest.architectures)}] "
                    f"required by {plugin.name} ({manifest.id})"
                )
                hint = f"{node.vsn} has {', '.join(node.architectures)}"
                found.append(Finding("error", "plugin.architecture", message, hint, *place))
        return found


def _check_sensors(parsed: ParsedJob, index: int, plugin: Plugin, nodes: list[NodeManifest]) -> list[Finding]:
    """Warn of sensors that a node does not have; nodes whose sensors are unknown say nothing."""
    found = []
    for position, sensor in _sensor_args(plugin.spec.args):
        lacking = [node for node in nodes if node.sensors and sensor not in node.labels and sensor not in node.sensors]
        place = parsed.place("plugins", index, "pluginSpec", "args", position)
        for node in lacking:
            message = f"{node.vsn} has no sensor {sensor}; it has {', '.join(node.sensors)}"
            hint = did_you_mean(sensor, node.sensors)
            found.append(Finding("warning", "plugin.sensor", message, hint, *place))
    return found


def _sensor_args(args: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return the sensors that arguments name, with their index; addresses, paths and numbers name none."""
    sensors = []
    for index, arg in enumerate(args):
        match = _SENSOR_FLAG.fullmatch(arg)
        if match is None:
            continue
        position = index if match["value"] else index + 1
        value = match["value"] or (args[position] if position < len(args) else "")
        if value and not value.startswith("-") and not _ADDRESS.match(value):
            sensors.append((position, value))
    return sensors


def _as_warning(found: Finding) -> Finding:
    return replace(found, severity="warning")
