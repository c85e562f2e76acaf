"""The plugins of the public job files."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from edgesched.core.jobs import parse_job
from edgesched.core.model import Plugin, PodOrder
from edgesched.core.pods import instance_name, pod_name

SHARED = Path(os.environ.get("EDGESCHED_SHARED", Path(__file__).resolve().parents[2] / "../shared"))

IMPOSSIBLE = frozenset(
    {
        # a registry account that the reader is to fill in
        "registry.sagecontinuum.org/USERNAME/sage-image-search-ingest:0.3.3",
        "registry.sagecontinuum.org/USERNAME/sage-image-search-ingest:0.3.4",
        # a scheme: every container runtime refuses it
        "http://registry.sagecontinuum.org/deliavm/plugin-exosonde-lorawan:0.1.1",
        # a comment inside the value
        "registry.sagecontinuum.org/flozano/lorawan-listener:#.#.# <--- version number",
        # a shell variable that was never expanded
        "$plugin",
    }
)
"""Images of job files that are templates or mistakes; no pod can be made of them."""


@cache
def field_plugins() -> tuple[tuple[str, Plugin], ...]:
    """Return file name and plugin for every plugin that has a name."""
    files = sorted((SHARED / "conformance/jobs").glob("*.yaml"))
    assert len(files) >= 75, f"no job files in {SHARED}; set EDGESCHED_SHARED"
    return tuple(
        (path.name, plugin)
        for path in files
        for plugin in parse_job(path.read_text(), path.name).job.plugins
        if plugin.name
    )


def order_of(plugin: Plugin, key: str) -> PodOrder:
    """Make the order of a run."""
    name = plugin.name
    return PodOrder("r-1", pod_name(name, key), instance_name(name, key), "56", "g-1", f"{name}-56", plugin)
