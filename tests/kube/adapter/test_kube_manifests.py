"""Pods of the public job files are accepted by the API servers."""

from __future__ import annotations

import dataclasses

from edgesched.adapters.kube import KubeApi
from edgesched.core.model import Plugin, PluginSpec
from edgesched.core.pods import pod_manifest
from tests.conformance.field_plugins import IMPOSSIBLE, field_plugins, order_of
from tests.kube.adapter.runs import SES, SETTINGS
from tests.kube.adapter.worlds import World


def test_every_real_plugin_is_accepted(world: World, api: KubeApi) -> None:
    """The server takes each manifest as it is: names, labels, quantities, mounts, environment."""
    for filename, plugin in field_plugins():
        if plugin.spec.image not in IMPOSSIBLE:
            manifest = pod_manifest(order_of(plugin, filename), SETTINGS)
            accepted = api.create(f"{SES}/pods", manifest, {"dryRun": "All"})
            assert accepted["metadata"]["name"] == manifest["metadata"]["name"]
    assert world.items(f"{SES}/pods") == []


def test_a_plugin_that_uses_everything_is_accepted(world: World, api: KubeApi) -> None:
    """Names at every limit, privileges, volumes, secrets, resources and a duration pass the server's own rules."""
    spec = PluginSpec(
        image="10.31.81.1:5000/lab/station:1.2@sha256:" + "0" * 64,
        args=("", "--x=$(HOST)", "ü"),
        privileged=True,
        node="sb-core",
        selector={"resource.gpu": "true", "example.org/zone": ""},
        entrypoint="/bin/sh",
        env={"A.b-c_D": "", "_X": "{secret.cam-1.KEY_a.b-c}", "HOST": "mine"},
        develop=True,
        resource={"limit.cpu": "0.5", "request.cpu": "100m", "limit.gpu": "1", "request.memory": "1e6", "a.b/c": "2"},
        volume={"/opt/sage/a": "/a", "/opt/sage/b/": "/b/c"},
    )
    order = order_of(Plugin("-" + "x-" * 60, spec), "k")._replace(
        duration_s=0.5, upload_job="a job/" * 30, job_id="j " * 60
    )
    settings = dataclasses.replace(SETTINGS, requests={"cpu": "1", "memory": "2Mi"}, limits={"memory": "1Gi"})
    assert api.create(f"{SES}/pods", pod_manifest(order, settings), {"dryRun": "All"})["spec"]["containers"]
