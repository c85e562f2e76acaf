"""What is launched: a pod order made into a pod manifest that the Waggle Edge Stack accepts.

A pure function, so that the whole manifest can be compared in a test and shown before anything runs. The fields are
those of the reference scheduler, with its faults mended: secrets are referenced and not copied, the upload path is the
same from the first run on and cannot leave its folder, the node is chosen by a label that current clusters keep, a
granted run time becomes a deadline, and names and labels stay within Kubernetes' limits.

`managed-by` and `created-by` stay `nodescheduler`: the word by which people on Waggle nodes select the pods of a
scheduler (as against `pluginctl`). Which scheduler it was says the label `edgesched.io/agent`.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from edgesched.core.model import PluginSpec, PodOrder
from edgesched.core.pods.labels import (
    AGENT,
    APP,
    APP_NAME,
    CREATED_BY,
    GOAL_ID,
    INSTANCE,
    JOB,
    JOB_ID,
    LEGACY_ROLE,
    MANAGED_BY,
    ROLE,
    RUN,
    TASK,
)
from edgesched.core.pods.names import container_name, is_label_key, is_label_value, label_value, parse_image
from edgesched.core.pods.resources import resources_of
from edgesched.core.pods.settings import PodSettings
from edgesched.errors import PluginError

Json = dict[str, Any]

MANAGER: Final = "nodescheduler"
INIT_CONTAINER: Final = "init-app-meta-cache"
LONGEST_S: Final = 2**31 - 1

_PLUGIN_NAME: Final = re.compile(r"[a-z0-9-]+\Z")
_ENV_NAME: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*\Z")
_SECRET: Final = re.compile(r"\{secret\.([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.([-._a-zA-Z0-9]+)\}\Z")


def pod_manifest(order: PodOrder, settings: PodSettings) -> Json:
    """Make the manifest of one plugin run.

    Raises: PluginError, with the field's path, for a plugin that no pod can be made of.
    """
    plugin = order.plugin
    if not _PLUGIN_NAME.match(plugin.name):
        raise PluginError(
            f"the plugin's name {plugin.name[:80]!r} has other characters than a-z, 0-9 and -",
            hint="rename the plugin",
            path="name",
        )
    spec: Json = {
        "restartPolicy": "Never",
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": settings.grace_s,
        "nodeSelector": _node_selector(plugin.spec, settings),
        "initContainers": [_meta_container(order, settings)] if settings.meta_cache_image else [],
        "containers": [_plugin_container(order, settings)],
        "volumes": _volumes(order, settings),
    }
    if settings.service_account:
        spec["serviceAccountName"] = settings.service_account
    if settings.priority_class:
        spec["priorityClassName"] = settings.priority_class
    if order.duration_s is not None:
        deadline_s = max(1, math.ceil(order.duration_s)) + settings.pull_allowance_s
        spec["activeDeadlineSeconds"] = min(deadline_s, LONGEST_S)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(order, settings), "spec": spec}


def secret_of(value: str) -> tuple[str, str] | None:
    """Return name and key of the secret that an environment value `{secret.NAME.KEY}` stands for, None for plain text.

    Raises: PluginError for a value that begins like one and is none.
    """
    if not value.startswith("{secret."):
        return None
    match = _SECRET.match(value)
    if match is None:
        raise PluginError(
            f"{value[:80]!r} names no secret",
            hint="write {secret.NAME.KEY}: NAME has a-z, 0-9 and -, KEY letters, digits and - _ .",
            path="pluginSpec.env",
        )
    return match[1], match[2]


def _metadata(order: PodOrder, settings: PodSettings) -> Json:
    name = order.plugin.name
    labels = {
        APP: name,
        APP_NAME: name,
        MANAGED_BY: MANAGER,
        CREATED_BY: MANAGER,
        JOB: order.upload_job,
        TASK: name,
        INSTANCE: order.instance,
        AGENT: settings.vsn,
        RUN: order.run_id,
    }
    if order.goal_id:
        labels[GOAL_ID] = order.goal_id
    if order.job_id:
        labels[JOB_ID] = order.job_id
    if not order.plugin.spec.develop:
        labels[ROLE] = labels[LEGACY_ROLE] = "plugin"
    metadata: Json = {
        "name": order.pod_name,
        "namespace": settings.namespace,
        "labels": {key: label_value(value) for key, value in labels.items()},
    }
    # what a label cannot hold stands whole in the annotation of the same name, where `view_pod` finds it
    whole = {
        key: labels[key]
        for key in (JOB, TASK, INSTANCE, RUN, GOAL_ID, JOB_ID)
        if not is_label_value(labels.get(key, ""))
    }
    if whole:
        metadata["annotations"] = whole
    return metadata


def _node_selector(spec: PluginSpec, settings: PodSettings) -> dict[str, str]:
    selector = {settings.node_label: spec.node} if spec.node else {}
    selector.update(spec.selector)
    for key, value in selector.items():
        if not is_label_key(key) or not is_label_value(value):
            path = "pluginSpec.node" if key == settings.node_label else f"pluginSpec.selector[{key}]"
            raise PluginError(
                f"no node can have the label {key}={value[:80]}",
                hint="keys and values of selectors have letters, digits and - _ . and at most 63 characters",
                path=path,
            )
    return selector


def _meta_container(order: PodOrder, settings: PodSettings) -> Json:
    """Tell the validator, before the plugin starts, whose messages those of this pod's uid are."""
    meta = {
        "host": "$(HOST)",
        "job": _unexpanded(order.upload_job),
        "task": _unexpanded(order.plugin.name),
        "plugin": _unexpanded(order.plugin.spec.image),
    }
    return {
        "name": INIT_CONTAINER,
        "image": settings.meta_cache_image,
        "command": [
            "/update-app-cache",
            "set",
            "--nodename",
            "$(HOST)",
            "--host",
            f"wes-app-meta-cache.{settings.services_domain}",
            "app-meta.$(WAGGLE_APP_ID)",
            json.dumps(meta, separators=(",", ":"), ensure_ascii=False),
        ],
        "env": [_field_env("WAGGLE_APP_ID", "metadata.uid"), _field_env("HOST", "spec.nodeName")],
        "resources": {"requests": {"cpu": "100m", "memory": "50Mi"}, "limits": {"memory": "50Mi"}},
    }


def _unexpanded(text: str) -> str:
    """Keep Kubernetes from expanding `$(NAME)` in a text of the job's author."""
    return text.replace("$(", "$$(")


def _plugin_container(order: PodOrder, settings: PodSettings) -> Json:
    spec = order.plugin.spec
    parse_image(spec.image)
    container: Json = {
        "name": container_name(order.plugin.name),
        "image": spec.image,
        "args": list(spec.args),
        "env": _environment(spec, settings),
        "resources": resources_of(spec.resource, settings),
        "volumeMounts": _mounts(spec, settings),
    }
    if spec.entrypoint:
        container["command"] = [spec.entrypoint]
    if spec.privileged:
        container["securityContext"] = {"privileged": True}
    return container


def _environment(spec: PluginSpec, settings: PodSettings) -> list[Json]:
    """User's entries in their order, then ours; a user's entry that has the name of one of ours is left out."""
    ours = _waggle_environment(settings)
    taken = {entry["name"] for entry in ours}
    return [_user_env(name, value) for name, value in spec.env.items() if name not in taken] + ours


def _user_env(name: str, value: str) -> Json:
    if not _ENV_NAME.match(name):
        raise PluginError(
            f"{name[:80]!r} is not the name of an environment variable",
            hint="use letters, digits and - _ . and begin with no digit",
            path="pluginSpec.env",
        )
    if "\0" in value:
        raise PluginError(f"the value of {name} has a zero byte", path=f"pluginSpec.env[{name}]")
    try:
        secret = secret_of(value)
    except PluginError as error:
        raise PluginError(error.message, hint=error.hint, path=f"pluginSpec.env[{name}]") from error
    if secret is None:
        return {"name": name, "value": value}
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret[0], "key": secret[1]}}}


def _waggle_environment(settings: PodSettings) -> list[Json]:
    domain = settings.services_domain
    return [
        {"name": "PULSE_SERVER", "value": f"tcp:wes-audio-server.{domain}:4713"},
        {"name": "WAGGLE_PLUGIN_HOST", "value": f"wes-rabbitmq.{domain}"},
        {"name": "WAGGLE_PLUGIN_PORT", "value": str(settings.rabbitmq_port)},
        {"name": "WAGGLE_PLUGIN_USERNAME", "value": settings.rabbitmq_username},
        {"name": "WAGGLE_PLUGIN_PASSWORD", "value": settings.rabbitmq_password},
        {"name": "WAGGLE_GPS_SERVER", "value": f"wes-gps-server.{domain}"},
        _field_env("WAGGLE_APP_ID", "metadata.uid"),
        _field_env("ROS_IP", "status.podIP"),
        {"name": "ROS_MASTER_URI", "value": f"http://wes-roscore.{domain}:11311"},
        {"name": "WAGGLE_SCOREBOARD", "value": f"wes-scoreboard.{domain}"},
        _field_env("HOST", "spec.nodeName"),
    ]


def _field_env(name: str, field_path: str) -> Json:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field_path}}}


def _mounts(spec: PluginSpec, settings: PodSettings) -> list[Json]:
    mounts: list[Json] = [{"name": "uploads", "mountPath": "/run/waggle/uploads"}]
    mounts += [
        {"name": mount.config_map, "mountPath": mount.mount_path, "subPath": mount.key}
        for mount in settings.config_mounts
    ]
    if spec.privileged:
        mounts.append({"name": "dev", "mountPath": "/host/dev"})
    taken = {mount["mountPath"] for mount in mounts}
    for number, (host_path, mount_path) in enumerate(spec.volume.items(), start=1):
        _check_volume(host_path, mount_path, taken)
        taken.add(mount_path)
        mounts.append({"name": f"uservolume-{number}", "mountPath": mount_path})
    return mounts


def _check_volume(host_path: str, mount_path: str, taken: set[str]) -> None:
    path = f"pluginSpec.volume[{host_path}]"
    for text in (host_path, mount_path):
        if not text.startswith("/") or ".." in text.split("/") or "\0" in text:
            raise PluginError(
                f"{text[:200]!r} is no absolute path without ..", hint="write /FOLDER: /FOLDER", path=path
            )
    if ":" in mount_path or mount_path == "/":
        raise PluginError(f"nothing can be mounted at {mount_path[:200]!r}", hint="choose another folder", path=path)
    if mount_path in taken:
        raise PluginError(f"two volumes are to be mounted at {mount_path[:200]!r}", path=path)


def _volumes(order: PodOrder, settings: PodSettings) -> list[Json]:
    spec = order.plugin.spec
    volumes: list[Json] = [_host_volume("uploads", upload_path(order, settings))]
    config_maps = dict.fromkeys(mount.config_map for mount in settings.config_mounts)
    volumes += [{"name": config_map, "configMap": {"name": config_map}} for config_map in config_maps]
    if spec.privileged:
        volumes.append(_host_volume("dev", "/dev", "Directory"))
    if spec.volume and not (spec.node or spec.selector):
        raise PluginError(
            "a volume is a folder of one node, and the plugin does not say of which",
            hint="set node or selector",
            path="pluginSpec.volume",
        )
    volumes += [_host_volume(f"uservolume-{number}", path) for number, path in enumerate(spec.volume, start=1)]
    return volumes


def _host_volume(name: str, path: str, kind: str = "DirectoryOrCreate") -> Json:
    return {"name": name, "hostPath": {"path": path, "type": kind}}


def upload_path(order: PodOrder, settings: PodSettings) -> str:
    """Return the folder on the node from which uploads are shipped: `ROOT/JOB/PLUGIN/TAG`, an empty job left out.

    An image without a tag, or with a digest only, counts as `latest`: the upload agent ships folders named by a
    version or `latest` and no others.

    Raises: PluginError for a job that would lead out of the root.
    """
    parts: list[str] = []
    for part in order.upload_job.split("/"):
        if part == ".." and not parts:
            raise PluginError(
                f"the job {order.upload_job[:80]!r} leads out of the upload folder", path="pluginSpec.job"
            )
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    if any(character < " " for part in parts for character in part):
        raise PluginError("the job has control characters", path="pluginSpec.job")
    tag = parse_image(order.plugin.spec.image).tag or "latest"
    return "/".join([settings.upload_root.rstrip("/"), *parts, order.plugin.name, tag])
