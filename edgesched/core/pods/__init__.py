"""What is launched and what is seen of it: pod manifests, names, admission, and views of the cluster's objects."""

from edgesched.core.pods.admission import AdmissionSettings, admit
from edgesched.core.pods.labels import TASK
from edgesched.core.pods.manifest import pod_manifest, upload_path
from edgesched.core.pods.names import ImageRef, RunNames, instance_name, parse_image, pod_name, run_names
from edgesched.core.pods.settings import ConfigMount, PodSettings
from edgesched.core.pods.view import NodeView, pod_requests, view_node, view_pod

__all__ = [
    "TASK",
    "AdmissionSettings",
    "ConfigMount",
    "ImageRef",
    "NodeView",
    "PodSettings",
    "RunNames",
    "admit",
    "instance_name",
    "parse_image",
    "pod_manifest",
    "pod_name",
    "pod_requests",
    "run_names",
    "upload_path",
    "view_node",
    "view_pod",
]
