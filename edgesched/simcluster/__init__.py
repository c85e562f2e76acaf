"""The embedded cluster: a small server of the Kubernetes HTTP API with a scripted kubelet.

It serves `edgesched standalone`, tests and fault injection. The agent talks to it through the same adapter as to a real
cluster, and kubectl works on it. It speaks the verbs that these two use and nothing else; one contract suite holds it
to what a real API server answers.

    with SimCluster(load_scenario(path)) as cluster:
        cluster.url, cluster.write_kubeconfig(path)
        cluster.faults.throttle(3, retry_after_s=2)
"""

from edgesched.simcluster.cluster import SimCluster
from edgesched.simcluster.faults import Faults
from edgesched.simcluster.kubelet import Publish
from edgesched.simcluster.scenario import (
    DEFAULT_FILE,
    NodeShape,
    Outcome,
    Publication,
    Scenario,
    load_scenario,
    parse_scenario,
)

__all__ = [
    "DEFAULT_FILE",
    "Faults",
    "NodeShape",
    "Outcome",
    "Publication",
    "Publish",
    "Scenario",
    "SimCluster",
    "load_scenario",
    "parse_scenario",
]
