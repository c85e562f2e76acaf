"""The table of settings: what each is called as a flag, in the environment and in the file.

The names of the reference come first, spelling mistakes included (`rabbimqURI`): its unit files, manifests and
configuration files work unchanged. Ours are added beside them. Every setting has an `EDGESCHED_` name in the
environment. Passwords have no flag of ours; the one that the reference has (`-rabbitmq-password`) works and is warned
about, because anybody on the host can read the arguments of a process.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgesched.core.pods import AdmissionSettings, ConfigMount, PodSettings
from edgesched.node import parsing

POLICIES: Final = ("default", "roundrobin", "gpuaware", "resourceaware")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    `name`: field of `Config`, or `SECTION.FIELD` for a field of a section. `flags` are written without dashes. `keys`
    are the YAML keys; `envs` the environment names beside the `EDGESCHED_` one. `switch`: a boolean flag that needs no
    value. `many`: may be given several times, in the environment separated by commas; `gather` makes the value of the
    parts.
    `secret_of`: this flag names a file whose content is the value of that secret setting.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    about: str
    flags: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    envs: tuple[str, ...] = ()
    switch: bool = False
    many: bool = False
    gather: Callable[[list[Any]], Any] = tuple
    secret: bool = False
    secret_of: str = ""

    @property
    def env_names(self) -> tuple[str, ...]:
        """Environment names, ours first."""
        return ("EDGESCHED_" + self.name.upper().replace(".", "_"), *self.envs)


def _plain(name: str, parse: Callable[[str], Any], default: Any, about: str, key: str, **more: Any) -> Setting:
    """A setting of ours: the flag is the name with dashes."""
    return Setting(name, parse, default, about, flags=(name.replace("_", "-"),), keys=(key,), **more)


NODE_SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "vsn",
        parsing.node_name,
        "W000",
        "this node's VSN",
        flags=("nodename", "node"),
        keys=("nodeName", "vsn"),
        envs=("WAGGLE_NODE_VSN",),
    ),
    Setting("app_id", parsing.text, "", "app id of published messages", ("app-id",), ("appID",), ("WAGGLE_APP_ID",)),
    Setting("jobs", parsing.path, (), "job file or folder of job files", ("job",), ("jobs",), many=True),
    _plain("policy", parsing.Choice(*POLICIES), "default", "order of launches: " + ", ".join(POLICIES), "policy"),
    _plain("site", parsing.site, None, "position of the node, LAT,LON in degrees", "site"),
    Setting(
        "kubeconfig",
        parsing.path,
        Path("~/.kube/config"),
        "kubeconfig of the cluster",
        ("kubeconfig",),
        ("kubeConfig",),
        ("KUBECONFIG",),
    ),
    Setting(
        "in_cluster",
        parsing.boolean,
        False,
        "use the service account of this pod",
        ("in-cluster",),
        ("inCluster",),
        switch=True,
    ),
    _plain("kube_server", parsing.http_url, "", "address of a Kubernetes API that asks for no login", "kubeServer"),
    _plain(
        "wes",
        parsing.boolean,
        True,
        "keep forwards and copies of the edge stack's services and ConfigMaps in the namespace",
        "wes",
        switch=True,
    ),
    _plain(
        "lease",
        parsing.boolean,
        True,
        "act only while holding the node's Lease, so that two agents of one node never act both",
        "lease",
        switch=True,
    ),
    _plain("kube_workers", parsing.whole(1, 32), 4, "requests to the cluster at a time", "kubeWorkers"),
    Setting(
        "simulate",
        parsing.boolean,
        False,
        "run against an embedded cluster",
        ("simulate",),
        ("simulate",),
        switch=True,
    ),
    Setting(
        "goalstream_url", parsing.http_url, "", "goal stream of the cloud", ("goalstream-url",), ("goalStreamURL",)
    ),
    _plain("goalstream_ca", parsing.path, None, "CA of the cloud, PEM", "goalStreamCA"),
    Setting("goalstream_token", parsing.text, "", "token for the cloud", keys=("goalStreamToken",), secret=True),
    _plain(
        "goalstream_token_file",
        parsing.path,
        None,
        "file with the token for the cloud",
        "goalStreamTokenFile",
        secret_of="goalstream_token",  # noqa: S106 - the name of a setting
    ),
    _plain("mqtt_uri", parsing.mqtt_uri, "", "MQTT broker, mqtt://USER@HOST:PORT or mqtts://...", "mqttURI"),
    Setting("mqtt_password", parsing.text, "", "password for the MQTT broker", keys=("mqttPassword",), secret=True),
    _plain(
        "mqtt_password_file",
        parsing.path,
        None,
        "file with the password for the MQTT broker",
        "mqttPasswordFile",
        secret_of="mqtt_password",  # noqa: S106 - the name of a setting
    ),
    _plain("mqtt_ca", parsing.path, None, "CA of the MQTT broker, PEM; turns TLS on", "mqttCA"),
    _plain("mqtt_version", parsing.Choice("3.1.1", "5"), "3.1.1", "MQTT version: 3.1.1 or 5", "mqttVersion"),
    _plain("mqtt_topic_prefix", parsing.text, "", "what precedes every topic", "mqttTopicPrefix"),
    _plain(
        "events",
        parsing.Choice("auto", "log", "rabbitmq", "mqtt", "cloud"),
        "auto",
        "where events go: log, rabbitmq, mqtt, cloud, or auto: the first of RabbitMQ, MQTT and cloud that is named",
        "events",
    ),
    Setting(
        "rabbitmq_uri",
        parsing.text,
        "",
        "RabbitMQ of the node, HOST:PORT",
        ("rabbitmq-uri",),
        ("rabbimqURI", "rabbitmqURI"),
        ("RABBITMQ_URI",),
    ),
    Setting(
        "rabbitmq_username",
        parsing.text,
        "service",
        "user at RabbitMQ",
        ("rabbitmq-username",),
        ("rabbitMQUsername",),
        ("RABBITMQ_USERNAME",),
    ),
    Setting(
        "rabbitmq_password",
        parsing.text,
        "service",
        "password at RabbitMQ; better in the environment or a file",
        ("rabbitmq-password",),
        ("rabbitMQPassword",),
        ("RABBITMQ_PASSWORD",),
        secret=True,
    ),
    _plain(
        "rabbitmq_password_file",
        parsing.path,
        None,
        "file with the password at RabbitMQ",
        "rabbitMQPasswordFile",
        secret_of="rabbitmq_password",  # noqa: S106 - the name of a setting
    ),
    _plain("rabbitmq_ca", parsing.path, None, "CA of RabbitMQ, PEM; turns TLS on", "rabbitMQCA"),
    _plain("no_rabbitmq", parsing.boolean, False, "do not use RabbitMQ", "noRabbitMQ", switch=True),
    _plain("rulechecker_uri", parsing.text, "", "accepted and ignored: rules are evaluated here", "ruleCheckerURI"),
    Setting(
        "scoreboard_uri",
        parsing.text,
        "",
        "scoreboard (Redis), HOST:PORT",
        ("scoreboard-uri",),
        ("scoreboardURI",),
        ("WAGGLE_SCOREBOARD",),
    ),
    _plain("state_dir", parsing.path, None, "folder for what outlives the process", "stateDir"),
    _plain(
        "snapshot_every", parsing.duration_s, 600.0, "how often the samples of all windows are written", "snapshotEvery"
    ),
    _plain("http_listen", parsing.listen_address, "127.0.0.1:8080", "address of the HTTP API, or off", "httpListen"),
    Setting("http_token", parsing.text, "", "token for the HTTP API", keys=("httpToken",), secret=True),
    _plain(
        "http_token_file",
        parsing.path,
        None,
        "file with the token that readers from elsewhere must send",
        "httpTokenFile",
        secret_of="http_token",  # noqa: S106 - the name of a setting
    ),
    _plain("log_format", parsing.Choice("auto", "text", "json"), "auto", "auto, text or json", "logFormat"),
    Setting("debug", parsing.boolean, False, "log evaluations too", ("debug",), ("debug",), switch=True),
    _plain(
        "measurement_limit",
        parsing.whole(100, 1_000_000),
        10_000,
        "measurements that may wait for evaluation; beyond it the oldest go",
        "measurementLimit",
    ),
    _plain("grace", parsing.duration_s, 60.0, "how long a cron slot stays open", "grace"),
    _plain("keep_finished", parsing.duration_s, 60.0, "how long ended pods are kept for their logs", "keepFinished"),
    _plain("keep_finished_pods", parsing.whole(0, 10_000), 50, "how many ended pods are kept", "keepFinishedPods"),
    _plain("image_wait", parsing.duration_s, 600.0, "patience with image pulls and missing secrets", "imageWait"),
    _plain(
        "unschedulable_wait", parsing.duration_s, 600.0, "patience with a pod that fits nowhere", "unschedulableWait"
    ),
    _plain("breaker_after", parsing.whole(1, 1000), 5, "failures in a row that hold a plugin", "breakerAfter"),
)

SECTIONS: Final[Mapping[str, type]] = {"pods": PodSettings, "admission": AdmissionSettings}
"""Settings that are kept as one value each; `pods.vsn` is not among them, it is the node's."""

_MORE_ENVS: Final = {"pods.meta_cache_image": ("APP_META_CACHE_IMAGE",)}
_SECRET_FIELDS: Final = frozenset({"pods.rabbitmq_password"})


def _section_settings(section: str, shape: type) -> list[Setting]:
    """Make a setting of every field of a section, by the field's type."""
    types = typing.get_type_hints(shape)
    made = []
    for field in dataclasses.fields(shape):
        name = f"{section}.{field.name}"
        if name == "pods.vsn":
            continue
        default = field.default if field.default is not dataclasses.MISSING else getattr(shape(), field.name)
        parse, form = _form_of(types[field.name])
        made.append(
            Setting(
                name,
                parse,
                default,
                f"see {shape.__name__}.{field.name}",
                flags=(name.replace(".", "-").replace("_", "-"),),
                keys=(f"{section}.{_camel(field.name)}",),
                envs=_MORE_ENVS.get(name, ()),
                secret=name in _SECRET_FIELDS,
                **form,
            )
        )
    return made


def _form_of(kind: Any) -> tuple[Callable[[str], Any], dict[str, Any]]:
    """Return parser and form of a field's type. Raises TypeError for a type that no text can give."""
    if kind is bool:
        return parsing.boolean, {"switch": True}
    if kind is int:
        return parsing.whole(0, 2**31 - 1), {}
    if kind is float:
        return parsing.duration_s, {}
    if kind is str:
        return parsing.text, {}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return parsing.pair, {"many": True, "gather": dict}
    if origin in {tuple, frozenset} and arguments[0] is str:
        return parsing.text, {"many": True, "gather": origin}
    if origin is tuple and arguments[0] is ConfigMount:
        return _config_mount, {"many": True}
    raise TypeError(f"no text form for {kind}")


def _config_mount(value: str) -> ConfigMount:
    parts = value.split(":")
    if len(parts) != 3 or not all(parts):
        raise ValueError("expected CONFIGMAP:KEY:PATH")
    return ConfigMount(*parts)


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


SETTINGS: Final[tuple[Setting, ...]] = NODE_SETTINGS + tuple(
    setting for section, shape in SECTIONS.items() for setting in _section_settings(section, shape)
)
