"""The pod manifest of a plugin: whole manifests, and each fault that makes one impossible."""

from __future__ import annotations

import dataclasses
import json

import pytest

from edgesched.core.model import Plugin, PluginSpec, PodOrder
from edgesched.core.pods import PodSettings, pod_manifest, upload_path, view_pod
from edgesched.errors import PluginError

SETTINGS = PodSettings(vsn="W023")
SAMPLER = PluginSpec(
    image="registry.sagecontinuum.org/theone/imagesampler:0.3.0",
    args=("-stream", "bottom_camera"),
)


def order(name: str = "image-sampler", spec: PluginSpec = SAMPLER, **changes: object) -> PodOrder:
    """Make the order of a run."""
    base = PodOrder(
        run_id="r-17",
        pod_name=f"{name}-0123456789",
        instance=f"{name}-BpLnfg",
        job_id="56",
        goal_id="45afe963-5b8b-4e15-654c-54e2946f2ddb",
        upload_job=f"{name}-56",
        plugin=Plugin(name, spec),
    )
    return base._replace(**changes)


def spec_of(**changes: object) -> PluginSpec:
    """Make a plugin spec that differs from the sampler's."""
    return dataclasses.replace(SAMPLER, **changes)  # type: ignore[arg-type]


def container(spec: PluginSpec, settings: PodSettings = SETTINGS) -> dict:
    """Return the plugin's container in the manifest of a spec."""
    return pod_manifest(order(spec=spec), settings)["spec"]["containers"][0]


WAGGLE_ENV = [
    {"name": "PULSE_SERVER", "value": "tcp:wes-audio-server.default.svc.cluster.local:4713"},
    {"name": "WAGGLE_PLUGIN_HOST", "value": "wes-rabbitmq.default.svc.cluster.local"},
    {"name": "WAGGLE_PLUGIN_PORT", "value": "5672"},
    {"name": "WAGGLE_PLUGIN_USERNAME", "value": "plugin"},
    {"name": "WAGGLE_PLUGIN_PASSWORD", "value": "plugin"},
    {"name": "WAGGLE_GPS_SERVER", "value": "wes-gps-server.default.svc.cluster.local"},
    {"name": "WAGGLE_APP_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    {"name": "ROS_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    {"name": "ROS_MASTER_URI", "value": "http://wes-roscore.default.svc.cluster.local:11311"},
    {"name": "WAGGLE_SCOREBOARD", "value": "wes-scoreboard.default.svc.cluster.local"},
    {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
]


def test_whole_manifest_of_a_plain_plugin() -> None:
    """A plugin with image and arguments gets every field that the edge stack reads, and no other."""
    assert pod_manifest(order(), SETTINGS) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "image-sampler-0123456789",
            "namespace": "ses",
            "labels": {
                "app": "image-sampler",
                "app.kubernetes.io/name": "image-sampler",
                "app.kubernetes.io/managed-by": "nodescheduler",
                "app.kubernetes.io/created-by": "nodescheduler",
                "sagecontinuum.org/plugin-job": "image-sampler-56",
                "sagecontinuum.org/plugin-task": "image-sampler",
                "sagecontinuum.org/plugin-instance": "image-sampler-BpLnfg",
                "sagecontinuum.org/plugin-goal-id": "45afe963-5b8b-4e15-654c-54e2946f2ddb",
                "sagecontinuum.org/plugin-job-id": "56",
                "role": "plugin",
                "sagecontinuum.org/role": "plugin",
                "edgesched.io/agent": "W023",
                "edgesched.io/run": "r-17",
            },
        },
        "spec": {
            "serviceAccountName": "wes-plugin-account",
            "priorityClassName": "wes-app-priority",
            "restartPolicy": "Never",
            "shareProcessNamespace": True,
            "terminationGracePeriodSeconds": 30,
            "nodeSelector": {},
            "initContainers": [
                {
                    "name": "init-app-meta-cache",
                    "image": "waggle/app-meta-cache:0.1.2",
                    "command": [
                        "/update-app-cache",
                        "set",
                        "--nodename",
                        "$(HOST)",
                        "--host",
                        "wes-app-meta-cache.default.svc.cluster.local",
                        "app-meta.$(WAGGLE_APP_ID)",
                        (
                            '{"host":"$(HOST)","job":"image-sampler-56","task":"image-sampler",'
                            '"plugin":"registry.sagecontinuum.org/theone/imagesampler:0.3.0"}'
                        ),
                    ],
                    "env": [
                        {"name": "WAGGLE_APP_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
                        {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    ],
                    "resources": {"requests": {"cpu": "100m", "memory": "50Mi"}, "limits": {"memory": "50Mi"}},
                }
            ],
            "containers": [
                {
                    "name": "image-sampler",
                    "image": "registry.sagecontinuum.org/theone/imagesampler:0.3.0",
                    "args": ["-stream", "bottom_camera"],
                    "env": WAGGLE_ENV,
                    "resources": {},
                    "volumeMounts": [
                        {"name": "uploads", "mountPath": "/run/waggle/uploads"},
                        {
                            "name": "waggle-data-config",
                            "mountPath": "/run/waggle/data-config.json",
                            "subPath": "data-config.json",
                        },
                        {
                            "name": "wes-audio-server-plugin-conf",
                            "mountPath": "/etc/asound.conf",
                            "subPath": "asound.conf",
                        },
                    ],
                }
            ],
            "volumes": [
                {
                    "name": "uploads",
                    "hostPath": {
                        "path": "/media/plugin-data/uploads/image-sampler-56/image-sampler/0.3.0",
                        "type": "DirectoryOrCreate",
                    },
                },
                {"name": "waggle-data-config", "configMap": {"name": "waggle-data-config"}},
                {"name": "wes-audio-server-plugin-conf", "configMap": {"name": "wes-audio-server-plugin-conf"}},
            ],
        },
    }


def test_whole_spec_of_a_plugin_with_everything() -> None:
    """Privileges, environment, secrets, resources, volumes, placement and duration land in their fields."""
    spec = PluginSpec(
        image="10.31.81.1:5000/lab/station:1.2",
        args=("--port", "$(HOST)"),
        privileged=True,
        node="000048b02d05a0a4.ws-nxcore",
        selector={"resource.gpu": "true", "zone": "core"},
        entrypoint="/bin/bash",
        env={"MODE": "fast", "HOST": "mine", "CAMERA": "{secret.cam-login.CAMERA_URL}"},
        develop=True,
        resource={"limit.cpu": "2", "limit.gpu": "1", "request.memory": "1Gi", "qualcomm.com/qaic": "1"},
        volume={"/opt/sage/models": "/model", "/var/lib/sage-cache": "/cache"},
    )
    manifest = pod_manifest(order("station", spec, upload_job="station-9", duration_s=90.2), SETTINGS)
    assert "role" not in manifest["metadata"]["labels"]
    assert "sagecontinuum.org/role" not in manifest["metadata"]["labels"]
    pod = manifest["spec"]
    assert pod["activeDeadlineSeconds"] == 91 + 900
    assert pod["nodeSelector"] == {
        "kubernetes.io/hostname": "000048b02d05a0a4.ws-nxcore",
        "resource.gpu": "true",
        "zone": "core",
    }
    assert pod["containers"] == [
        {
            "name": "station",
            "image": "10.31.81.1:5000/lab/station:1.2",
            "command": ["/bin/bash"],
            "args": ["--port", "$(HOST)"],
            "securityContext": {"privileged": True},
            "env": [
                {"name": "MODE", "value": "fast"},
                {"name": "CAMERA", "valueFrom": {"secretKeyRef": {"name": "cam-login", "key": "CAMERA_URL"}}},
                *WAGGLE_ENV,
            ],
            "resources": {
                "requests": {"memory": "1Gi"},
                "limits": {"cpu": "2", "nvidia.com/gpu": "1", "qualcomm.com/qaic": "1"},
            },
            "volumeMounts": [
                {"name": "uploads", "mountPath": "/run/waggle/uploads"},
                {
                    "name": "waggle-data-config",
                    "mountPath": "/run/waggle/data-config.json",
                    "subPath": "data-config.json",
                },
                {"name": "wes-audio-server-plugin-conf", "mountPath": "/etc/asound.conf", "subPath": "asound.conf"},
                {"name": "dev", "mountPath": "/host/dev"},
                {"name": "uservolume-1", "mountPath": "/model"},
                {"name": "uservolume-2", "mountPath": "/cache"},
            ],
        }
    ]
    assert pod["volumes"] == [
        {
            "name": "uploads",
            "hostPath": {"path": "/media/plugin-data/uploads/station-9/station/1.2", "type": "DirectoryOrCreate"},
        },
        {"name": "waggle-data-config", "configMap": {"name": "waggle-data-config"}},
        {"name": "wes-audio-server-plugin-conf", "configMap": {"name": "wes-audio-server-plugin-conf"}},
        {"name": "dev", "hostPath": {"path": "/dev", "type": "Directory"}},
        {"name": "uservolume-1", "hostPath": {"path": "/opt/sage/models", "type": "DirectoryOrCreate"}},
        {"name": "uservolume-2", "hostPath": {"path": "/var/lib/sage-cache", "type": "DirectoryOrCreate"}},
    ]


def test_a_cluster_without_the_edge_stack_needs_none_of_its_objects() -> None:
    """Settings can leave out the init container, the service account, the priority class and the ConfigMaps."""
    bare = PodSettings(
        vsn="W023", namespace="lab", meta_cache_image="", service_account="", priority_class="", config_mounts=()
    )
    manifest = pod_manifest(order(), bare)
    assert manifest["metadata"]["namespace"] == "lab"
    assert manifest["spec"]["initContainers"] == []
    assert not {"serviceAccountName", "priorityClassName"} & set(manifest["spec"])
    assert [volume["name"] for volume in manifest["spec"]["volumes"]] == ["uploads"]


def test_old_clusters_know_nodes_by_another_label() -> None:
    """The label that `node` is compared with is a setting, and a selector of the same key wins."""
    old = dataclasses.replace(SETTINGS, node_label="k3s.io/hostname")
    selector = pod_manifest(order(spec=spec_of(node="sb-core")), old)["spec"]["nodeSelector"]
    assert selector == {"k3s.io/hostname": "sb-core"}
    both = spec_of(node="sb-core", selector={"k3s.io/hostname": "rpi"})
    assert pod_manifest(order(spec=both), old)["spec"]["nodeSelector"] == {"k3s.io/hostname": "rpi"}


@pytest.mark.parametrize(
    ("image", "job", "path"),
    [
        ("waggle/plugin:1.0.0", "j-1", "j-1/p/1.0.0"),
        ("waggle/plugin", "j-1", "j-1/p/latest"),
        ("10.31.81.1:5000/plugin", "j-1", "j-1/p/latest"),
        ("plugin:1.0.0@sha256:" + "a" * 64, "j-1", "j-1/p/1.0.0"),
        ("plugin@sha256:" + "a" * 64, "j-1", "j-1/p/latest"),
        ("waggle/plugin:1.0.0", "", "p/1.0.0"),
        ("waggle/plugin:1.0.0", "a/./b//../c/", "a/c/p/1.0.0"),
    ],
)
def test_upload_path_is_clean(image: str, job: str, path: str) -> None:
    """The upload folder is job, plugin and version, whatever form image and job have."""
    asked = order("p", PluginSpec(image=image), upload_job=job)
    assert upload_path(asked, SETTINGS) == f"/media/plugin-data/uploads/{path}"


@pytest.mark.parametrize("job", ["..", "a/../..", "../../../etc"])
def test_upload_path_stays_in_its_folder(job: str) -> None:
    """A job that climbs out of the upload folder is refused, not resolved."""
    with pytest.raises(PluginError) as caught:
        pod_manifest(order(upload_job=job), SETTINGS)
    assert caught.value.path == "pluginSpec.job"


def test_long_names_fit_and_can_be_read_back() -> None:
    """A plugin, a job and ids beyond 63 characters give valid labels, and the view finds them whole."""
    name = "-" + "very-long-plugin-name-" * 5
    job_id = "a job / with blanks " * 5
    manifest = pod_manifest(order(name, pod_name="p-1", instance="i-1", upload_job=name, job_id=job_id), SETTINGS)
    labels = manifest["metadata"]["labels"]
    assert all(len(value) <= 63 and (not value or (value[0] + value[-1]).isalnum()) for value in labels.values())
    container_name = manifest["spec"]["containers"][0]["name"]
    assert len(container_name) <= 63
    assert container_name.strip("-") == container_name
    view = view_pod(manifest)
    assert (view.plugin, view.job_id, view.run_id) == (name, job_id, "r-17")
    assert view.container.name == container_name


@pytest.mark.parametrize(("duration_s", "deadline_s"), [(0.1, 901), (600.0, 1500), (1e12, 2**31 - 1)])
def test_a_duration_becomes_a_deadline(duration_s: float, deadline_s: int) -> None:
    """The deadline allows for pulling the image, is whole, and stays within what Kubernetes takes."""
    assert pod_manifest(order(duration_s=duration_s), SETTINGS)["spec"]["activeDeadlineSeconds"] == deadline_s


def test_no_duration_is_no_deadline() -> None:
    """A plugin without a granted run time runs as long as it likes."""
    assert "activeDeadlineSeconds" not in pod_manifest(order(), SETTINGS)["spec"]


def test_names_that_fit_leave_no_annotations() -> None:
    """Annotations appear only for names that a label cannot hold."""
    assert "annotations" not in pod_manifest(order(), SETTINGS)["metadata"]


def test_author_text_is_not_expanded_in_the_app_meta() -> None:
    """A `$(...)` in the job reaches the validator as written instead of as the value of a variable."""
    command = pod_manifest(order(upload_job="$(HOST)"), SETTINGS)["spec"]["initContainers"][0]["command"]
    assert json.loads(command[-1])["job"] == "$$(HOST)"


def test_defaults_of_resources_fill_only_what_is_open() -> None:
    """Default requests and limits never override or contradict what the plugin asks for."""
    settings = dataclasses.replace(
        SETTINGS, requests={"cpu": "500m", "memory": "300Mi"}, limits={"memory": "1Gi", "cpu": "4"}
    )
    assert container(spec_of(), settings)["resources"] == {
        "requests": {"cpu": "500m", "memory": "300Mi"},
        "limits": {"memory": "1Gi", "cpu": "4"},
    }
    big = spec_of(resource={"request.memory": "8Gi", "limit.cpu": "100m"})
    assert container(big, settings)["resources"] == {"requests": {"memory": "8Gi"}, "limits": {"cpu": "100m"}}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"image": ""}, "pluginSpec.image"),
        ({"image": "http://registry.sagecontinuum.org/a/b:1"}, "pluginSpec.image"),
        ({"image": "$plugin"}, "pluginSpec.image"),
        ({"image": "a/UPPER:1"}, "pluginSpec.image"),
        ({"image": "a/b:1:2"}, "pluginSpec.image"),
        ({"image": "a/b:"}, "pluginSpec.image"),
        ({"image": "a/b@sha256:12"}, "pluginSpec.image"),
        ({"image": "a b"}, "pluginSpec.image"),
        ({"image": "bad_host.org:1x/a"}, "pluginSpec.image"),
        ({"resource": {"limit.memroy": "1Gi"}}, "pluginSpec.resource[limit.memroy]"),
        ({"resource": {"limit.memory": "much"}}, "pluginSpec.resource[limit.memory]"),
        ({"resource": {"limit.memory": "-1Gi"}}, "pluginSpec.resource[limit.memory]"),
        ({"resource": {"limit.cpu": "1", "request.cpu": "1001m"}}, "pluginSpec.resource[request.cpu]"),
        ({"env": {"1A": "x"}}, "pluginSpec.env"),
        ({"env": {"A": "{secret.only-a-name}"}}, "pluginSpec.env[A]"),
        ({"env": {"A": "{secret.Name.key}"}}, "pluginSpec.env[A]"),
        ({"env": {"A": "a\0b"}}, "pluginSpec.env[A]"),
        ({"node": "not a node"}, "pluginSpec.node"),
        ({"selector": {"zone": "co/re"}}, "pluginSpec.selector[zone]"),
        ({"selector": {"bad key": "x"}}, "pluginSpec.selector[bad key]"),
        ({"volume": {"/a": "/b"}}, "pluginSpec.volume"),
        ({"volume": {"a": "/b"}, "node": "n"}, "pluginSpec.volume[a]"),
        ({"volume": {"/a/../..": "/b"}, "node": "n"}, "pluginSpec.volume[/a/../..]"),
        ({"volume": {"/a": "/b", "/c": "/b"}, "node": "n"}, "pluginSpec.volume[/c]"),
        ({"volume": {"/a": "/run/waggle/uploads"}, "node": "n"}, "pluginSpec.volume[/a]"),
        ({"volume": {"/a": "/b:c"}, "node": "n"}, "pluginSpec.volume[/a]"),
        ({"volume": {"/a": "/"}, "node": "n"}, "pluginSpec.volume[/a]"),
    ],
)
def test_what_no_pod_can_be_made_of_names_its_field(changes: dict[str, object], path: str) -> None:
    """A plugin that Kubernetes would refuse is refused before, with the path of the field."""
    with pytest.raises(PluginError) as caught:
        pod_manifest(order(spec=spec_of(**changes)), SETTINGS)
    assert caught.value.path == path


@pytest.mark.parametrize("name", ["", "Upper", "a_b", "a b", "a.b", "a\n"])
def test_a_plugin_name_has_small_letters_digits_and_dashes(name: str) -> None:
    """The reference's rule for names of plugins holds."""
    with pytest.raises(PluginError) as caught:
        pod_manifest(order(name, pod_name="p-1"), SETTINGS)
    assert caught.value.path == "name"


def test_a_misspelt_resource_is_told_the_right_word() -> None:
    """An unknown resource key does not become a limit; the error proposes the nearest word."""
    with pytest.raises(PluginError, match=r"did you mean limit\.memory\?"):
        container(spec_of(resource={"limit.memroy": "1Gi"}))
