"""Node-side admission: what a job may ask of the node, by default and by setting."""

from __future__ import annotations

import dataclasses

import pytest

from edgesched.core.model import Plugin, PluginSpec
from edgesched.core.pods import AdmissionSettings, admit

DEFAULTS = AdmissionSettings()
SAGE = "registry.sagecontinuum.org/jrobrien/waggle-wxt536:0.23.4.13"


def decide(settings: AdmissionSettings = DEFAULTS, **spec: object) -> str | None:
    """Decide about a plugin of a Sage image with these fields."""
    return admit(Plugin("p", dataclasses.replace(PluginSpec(SAGE), **spec)), settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"privileged": True, "selector": {"zone": "core"}},
        {"image": "waggle/plugin-iio:0.6.0", "privileged": True},
        {"image": "registry.gitlab.com/lbl-anp/panda/dawn_pipeline/plugin-dbaserh:v1.0.9", "privileged": True},
        {"image": "seonghapark/traffic-state:0.0.5"},
        {"volume": {"/opt/sage/image-search-models": "/model", "/var/lib/sage-image-search": "/data"}},
        {"volume": {"/home/waggle/data": "/data"}},
        {"selector": {"resource.gpu": "true"}, "resource": {"limit.memory": "16Gi", "limit.cpu": "4"}},
        {"resource": {"limit.gpu": "1", "qualcomm.com/qaic": "1"}},
        {"env": {"CAMERA": "{secret.image-search-ingest.CAMERA}", "PLAIN": "text"}},
        {"node": "000048b02d05a0a4.ws-nxcore"},
    ],
)
def test_defaults_allow_what_jobs_of_the_field_use(spec: dict[str, object]) -> None:
    """Privileges for station drivers, model folders, GPU selectors, camera secrets: real jobs run unchanged."""
    assert decide(**spec) is None


@pytest.mark.parametrize(
    ("spec", "setting"),
    [
        ({"image": "somebody/tool:1", "privileged": True}, "admission.privileged"),
        ({"image": "registry.sagecontinuum.org.evil.example/x:1", "privileged": True}, "admission.privileged"),
        ({"image": "evil.example/waggle/x:1", "privileged": True}, "admission.privileged"),
        ({"develop": True}, "admission.develop"),
        ({"volume": {"/": "/host"}}, "admission.host_paths"),
        ({"volume": {"/etc": "/e"}}, "admission.host_paths"),
        ({"volume": {"/opt/sage": "/e"}}, "admission.host_paths"),
        ({"volume": {"/opt/sage/models/link": "/e"}}, "admission.host_paths"),
        ({"volume": {"/var/run/docker.sock": "/s"}}, "admission.host_paths"),
        ({"resource": {"limit.cpu": "17"}}, "admission.max_cpu"),
        ({"resource": {"request.memory": "33Gi"}}, "admission.max_memory"),
        ({"resource": {"example.com/fpga": "1"}}, "admission.resources"),
        ({"resource": {"ephemeral-storage": "1Ti"}}, "admission.resources"),
        ({"selector": {"node-role.kubernetes.io/master": "true"}}, "admission.selectors"),
        ({"env": {"T": "{secret.wes-beekeeper.key}"}}, "admission.secrets_denied"),
        ({"env": {"T": "{secret.default-token-abcde.token}"}}, "admission.secrets_denied"),
        ({"env": {"T": "{secret.wes-plugin-account-token-x1.token}"}}, "admission.secrets_denied"),
    ],
)
def test_defaults_refuse_the_rest_and_name_the_setting(spec: dict[str, object], setting: str) -> None:
    """What no job of the field needs is refused, and the reason says what an operator would change."""
    reason = decide(**spec)
    assert reason is not None
    assert reason.startswith(f"{setting} refuses ")


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"volume": {"/opt/sage/../../etc": "/e"}}, "pluginSpec.volume"),
        ({"volume": {"opt/sage/x": "/e"}}, "pluginSpec.volume"),
        ({"image": "http://x/y"}, "pluginSpec.image"),
        ({"resource": {"limit.memroy": "1Gi"}}, "pluginSpec.resource[limit.memroy]"),
        ({"resource": {"limit.memory": "much"}}, "pluginSpec.resource[limit.memory]"),
        ({"env": {"T": "{secret.x}"}}, "pluginSpec.env"),
    ],
)
def test_fields_that_cannot_be_read_are_refused(spec: dict[str, object], path: str) -> None:
    """A field that admission cannot understand is a refusal with the field's path, never a pass."""
    reason = decide(**spec)
    assert reason is not None
    assert reason.startswith(f"{path}: ")


def test_settings_narrow_and_widen() -> None:
    """Each setting changes the answer for what it names."""
    strict = AdmissionSettings(
        images=("registry.sagecontinuum.org/jrobrien/*:0.23.*",),
        privileged=(),
        nodes=("*.ws-nxcore",),
        secrets=("camera-*",),
        secrets_denied=(),
        max_cpu="",
        max_memory="1Gi",
    )
    assert decide(strict) is None
    assert "admission.images" in (decide(strict, image="waggle/plugin-iio:0.6.0") or "")
    assert "admission.images" in (decide(strict, image="registry.sagecontinuum.org/jrobrien/x:0.24.1") or "")
    assert "(allowed: none)" in (decide(strict, privileged=True) or "")
    assert "admission.nodes" in (decide(strict, node="rpi") or "")
    assert "admission.secrets refuses" in (decide(strict, env={"A": "{secret.other.k}"}) or "")
    assert decide(strict, env={"A": "{secret.camera-1.k}"}, resource={"limit.cpu": "500"}) is None
    assert "admission.max_memory" in (decide(strict, resource={"limit.memory": "1025Mi"}) or "")
    assert decide(dataclasses.replace(DEFAULTS, develop=True), develop=True) is None


@pytest.mark.parametrize(
    ("image", "pattern", "allowed"),
    [
        ("busybox", "busybox", True),
        ("busybox:1", "docker.io/library/busybox", True),
        ("waggle/x:1", "waggle/*", True),
        ("docker.io/waggle/x", "waggle/*", True),
        ("other/x", "waggle/*", False),
        ("eu.example.org/x", "*.example.org/*", True),
        ("example.org:5000/x", "example.org/*", False),
        ("localhost/edgetest/busybox:1", "localhost/*", True),
        ("a/b:1", "a/b:2", False),
        ("a/b@sha256:" + "0" * 64, "a/b@sha256:0*", True),
    ],
)
def test_image_patterns(image: str, pattern: str, allowed: bool) -> None:
    """A pattern means the same registry whether the image or the pattern leaves it out."""
    assert (decide(AdmissionSettings(images=(pattern,)), image=image) is None) == allowed
