"""What an operator may set of the pods: who may ask for what is `admission`, how they look is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

META_CACHE_IMAGE: Final = "waggle/app-meta-cache:0.1.2"
PULL_ALLOWANCE_S: Final = 15 * 60


@dataclass(frozen=True, slots=True)
class ConfigMount:
    """One key of a ConfigMap as a file in the plugin's container."""

    config_map: str
    key: str
    mount_path: str


WAGGLE_MOUNTS: Final = (
    ConfigMount("waggle-data-config", "data-config.json", "/run/waggle/data-config.json"),
    ConfigMount("wes-audio-server-plugin-conf", "asound.conf", "/etc/asound.conf"),
)


@dataclass(frozen=True, slots=True)
class PodSettings:
    """Settings of plugin pods; the defaults are those of a Waggle node with the Waggle Edge Stack.

    `vsn`: value of the label `edgesched.io/agent`. `meta_cache_image`: image of the init container that tells the
    message validator who the pod is; empty: no init container (a cluster without the edge stack). `service_account`,
    `priority_class`: left out when empty. `config_mounts`: ConfigMaps that must exist in the namespace.
    `requests`, `limits`: for plugins that do not set them; a default never contradicts what a plugin sets.
    `grace_s`: between SIGTERM and SIGKILL. `pull_allowance_s`: added to a run's `duration=` for the pod's own deadline.
    `node_label`: the label that a plugin's `node` is compared with; old clusters used `k3s.io/hostname`.
    `services_domain`: where the services of the edge stack live. `upload_root`: folder on the node.
    """

    vsn: str = "W000"
    namespace: str = "ses"
    meta_cache_image: str = META_CACHE_IMAGE
    service_account: str = "wes-plugin-account"
    priority_class: str = "wes-app-priority"
    config_mounts: tuple[ConfigMount, ...] = WAGGLE_MOUNTS
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    grace_s: int = 30
    pull_allowance_s: int = PULL_ALLOWANCE_S
    node_label: str = "kubernetes.io/hostname"
    services_domain: str = "default.svc.cluster.local"
    rabbitmq_port: int = 5672
    rabbitmq_username: str = "plugin"
    rabbitmq_password: str = "plugin"  # noqa: S105 - the login that all plugins of all nodes share, part of the contract
    upload_root: str = "/media/plugin-data/uploads"
