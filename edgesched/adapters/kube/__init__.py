"""The cluster: pods created and followed, one agent per node, and what the namespace must hold."""

from edgesched.adapters.kube.api import KubeApi, KubeTarget
from edgesched.adapters.kube.listwatch import WatchTuning
from edgesched.adapters.kube.pods import KubePods
from edgesched.adapters.kube.watch import KubeWatch

__all__ = ["KubeApi", "KubePods", "KubeTarget", "KubeWatch", "WatchTuning"]
