"""The Kubernetes manifests: they build, are what Kubernetes expects, and promise no more than they should."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from edgesched.core.findings import has_errors
from edgesched.core.jobs import check_job
from edgesched.node.config import load_config

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy" / "kubernetes"
KUBECTL = Path(sys.executable).with_name("kubectl")
AGENTS = ("base", "overlays/k3s", "overlays/k3s-daemonset", "overlays/test-node")
BUILDS = ("rbac", *AGENTS, "overlays/cloud")
Json = dict[str, Any]


@cache
def build(folder: Path) -> tuple[Json, ...]:
    """The objects that kustomize makes of a folder."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return tuple(each for each in yaml.safe_load_all(done.stdout) if each)


def of_kind(name: str, kind: str) -> list[Json]:
    """The objects of one kind in a build."""
    return [each for each in build(DEPLOY / name) if each["kind"] == kind]


def pods(name: str) -> list[Json]:
    """The pod specifications in a build."""
    kinds = ("Deployment", "DaemonSet", "StatefulSet")
    return [each["spec"]["template"]["spec"] for kind in kinds for each in of_kind(name, kind)]


@pytest.fixture
def with_budget(tmp_path: Path) -> Path:
    """The base with the component `pdb`."""
    base, pdb = (Path("../" * len(tmp_path.parts[1:])) / str(DEPLOY / part)[1:] for part in ("base", "components/pdb"))
    (tmp_path / "kustomization.yaml").write_text(
        f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [{base}]\ncomponents: [{pdb}]\n"
    )
    return tmp_path


@pytest.mark.parametrize("version", ["1.25", "1.37"])
@pytest.mark.parametrize("name", BUILDS)
def test_every_object_is_valid(name: str, version: str) -> None:
    """Each object fits the strict schema of an old and of the newest Kubernetes: no unknown field, no wrong type."""
    for each in build(DEPLOY / name):
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", ["1.25", "1.37"])
def test_the_component_adds_a_budget(with_budget: Path, version: str) -> None:
    """`pdb` fits where policy/v1 is known; the base is without one for the sake of 1.20."""
    (budget,) = [each for each in build(with_budget) if each["kind"] == "PodDisruptionBudget"]
    kubernetes_validate.validate(budget, version, strict=True)
    assert all(of_kind(name, "PodDisruptionBudget") == [] for name in BUILDS)


@pytest.mark.parametrize("name", ["base/secret.example.yaml", "overlays/cloud/secret.example.yaml"])
def test_secret_templates_are_valid_and_not_applied(name: str) -> None:
    """They are for copying; an applied template would overwrite the real secret."""
    kubernetes_validate.validate(yaml.safe_load((DEPLOY / name).read_text()), "1.37", strict=True)
    assert all(of_kind(each, "Secret") == [] for each in BUILDS)


@pytest.mark.parametrize("name", [*AGENTS, "overlays/cloud"])
def test_pods_have_no_rights_on_the_machine(name: str) -> None:
    """Not root, nothing to escalate, a root file system that cannot be written, bounded memory, probes."""
    for pod in pods(name):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert "readinessProbe" in container
            assert ":" in container["image"]
            assert not container["image"].endswith(":latest")


@pytest.mark.parametrize("name", [*AGENTS, "overlays/cloud"])
def test_pods_find_what_they_mount(name: str) -> None:
    """Every claim and ConfigMap that a pod mounts is in the same build, and no volume is of two kinds."""
    claims = {each["metadata"]["name"] for each in of_kind(name, "PersistentVolumeClaim")}
    maps = {each["metadata"]["name"] for each in of_kind(name, "ConfigMap")}
    for volume in [volume for pod in pods(name) for volume in pod["volumes"]]:
        assert len(volume) == 2, volume
        assert volume.get("persistentVolumeClaim", {}).get("claimName", "") in {"", *claims}
        assert volume.get("configMap", {}).get("name", "") in {"", *maps}


def test_one_agent_or_one_a_machine() -> None:
    """A Deployment of one that is recreated; or a DaemonSet, on the same machines and with no claim to share."""
    (deployment,) = of_kind("overlays/k3s", "Deployment")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert of_kind("overlays/k3s-daemonset", "Deployment") == []
    assert of_kind("overlays/k3s-daemonset", "PersistentVolumeClaim") == []
    (daemons,) = of_kind("overlays/k3s-daemonset", "DaemonSet")
    (here,), (there,) = pods("overlays/k3s"), pods("overlays/k3s-daemonset")
    for key in here.keys() - {"volumes"}:
        assert here[key] == there[key], key
    assert here["nodeSelector"] == {"node-role.kubernetes.io/control-plane": "true"}
    # those that wait for the Lease are never ready: an update that waited for them would not end
    assert daemons["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "100%"


def test_only_the_test_node_uses_the_host_network() -> None:
    """The overlay for a cluster without kube-proxy is the only exception."""
    uses = {name: any(pod.get("hostNetwork") for pod in pods(name)) for name in BUILDS}
    assert [name for name, used in uses.items() if used] == ["overlays/test-node"]


def test_the_agent_holds_no_right_on_secrets() -> None:
    """A stolen token of the agent reads no password."""
    rules = [
        rule
        for name in BUILDS
        for kind in ("Role", "ClusterRole")
        for each in of_kind(name, kind)
        for rule in each["rules"]
    ]
    assert rules
    assert not any("secrets" in rule["resources"] or "*" in rule["resources"] for rule in rules)
    assert not any({"*", "escalate", "bind", "impersonate"} & set(rule["verbs"]) for rule in rules)


def test_the_settings_are_known() -> None:
    """Every variable that the overlays set is one that the agent reads, so a typing error cannot hide."""
    for name in AGENTS:
        (settings,) = [each["data"] for each in of_kind(name, "ConfigMap") if "EDGESCHED_IN_CLUSTER" in each["data"]]
        variables = {key: value for key, value in settings.items() if key != "EDGESCHED_CONFIG"}
        config = load_config([], variables)
        read = {origin.split()[-1] for origin in config.origins.values()}
        assert {key for key in variables if key.startswith("EDGESCHED_")} <= read
        assert config.in_cluster


def test_the_files_of_the_test_node_are_right(tmp_path: Path) -> None:
    """Its configuration file is accepted, and its job has nothing to complain about."""
    (files,) = [each["data"] for each in of_kind("overlays/test-node", "ConfigMap") if "hello.yaml" in each["data"]]
    path = tmp_path / "agent.yaml"
    path.write_text(files["agent.yaml"])
    config = load_config([], {"EDGESCHED_CONFIG": str(path)})
    assert (config.wes, config.pods.meta_cache_image, config.pods.config_mounts) == (False, "", ())
    assert not has_errors(check_job(files["hello.yaml"], "hello.yaml"))
