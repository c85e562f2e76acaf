"""Pods of the public job files: their manifests are valid Kubernetes, and this node would run them."""

from __future__ import annotations

import kubernetes_validate
import pytest

from edgesched.core.pods import AdmissionSettings, PodSettings, admit, pod_manifest
from edgesched.errors import PluginError
from tests.conformance.field_plugins import IMPOSSIBLE, field_plugins, order_of


@pytest.mark.parametrize("release", ["1.25", "1.37"])
def test_manifests_hold_to_the_schemas_of_old_and_new_releases(release: str) -> None:
    """Every plugin of every job file gives a manifest without one unknown field or wrong type."""
    checked = 0
    for filename, plugin in field_plugins():
        if plugin.spec.image in IMPOSSIBLE:
            continue
        manifest = pod_manifest(order_of(plugin, filename), PodSettings(vsn="W023"))
        kubernetes_validate.validate(manifest, release, strict=True)
        checked += 1
    assert checked >= 100


def test_only_templates_and_mistakes_make_no_pod() -> None:
    """Exactly the images that are known to be no images are refused."""
    refused, paths = set(), set()
    for filename, plugin in field_plugins():
        try:
            pod_manifest(order_of(plugin, filename), PodSettings())
        except PluginError as error:
            refused.add(plugin.spec.image)
            paths.add(error.path)
    assert refused == IMPOSSIBLE
    assert paths == {"pluginSpec.image"}


def test_the_default_settings_admit_every_real_plugin() -> None:
    """No public job needs a change of the settings to run."""
    reasons = {
        (filename, plugin.name): reason
        for filename, plugin in field_plugins()
        if plugin.spec.image not in IMPOSSIBLE and (reason := admit(plugin, AdmissionSettings()))
    }
    assert reasons == {}
