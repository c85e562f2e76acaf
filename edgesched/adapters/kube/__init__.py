"""The cluster: pods created and followed, one agent per node, and what the namespace must hold."""

from edgesched.adapters.kube.api import KubeApi, KubeTarget
from edgesched.adapters.kube.bootstrap import KubeBootstrap, Missing
from edgesched.adapters.kube.goals import KubeGoalCopy, KubeGoals
from edgesched.adapters.kube.lease import KubeLease, LeaseState, LeaseTiming
from edgesched.adapters.kube.listwatch import WatchTuning
from edgesched.adapters.kube.nodes import KubeNodes
from edgesched.adapters.kube.pods import KubePods
from edgesched.adapters.kube.watch import KubeWatch

__all__ = [
    "KubeApi",
    "KubeBootstrap",
    "KubeGoalCopy",
    "KubeGoals",
    "KubeLease",
    "KubeNodes",
    "KubePods",
    "KubeTarget",
    "KubeWatch",
    "LeaseState",
    "LeaseTiming",
    "Missing",
    "WatchTuning",
]
