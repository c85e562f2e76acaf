"""Contract of both servers: what they refuse, with which status, reason and causes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kube.rawkube import Json, RawKube, container, pod

LONG = "a" * 64


WRONG_TYPES: dict[str, Json] = {
    "containers is text": {"containers": "x"},
    "env value is a number": {"containers": [container(env=[{"name": "A", "value": 1}])]},
    "args is text": {"containers": [container(args="-x")]},
    "a label is a number": {"nodeSelector": {"a": 1}},
    "grace is text": {"terminationGracePeriodSeconds": "30"},
    "quantity is a word": {"containers": [container(resources={"limits": {"cpu": "lots"}})]},
    "quantity is empty": {"containers": [container(resources={"limits": {"memory": "1Q"}})]},
    "flag is text": {"shareProcessNamespace": "yes"},
}


@pytest.mark.parametrize("spec", WRONG_TYPES.values(), ids=WRONG_TYPES.keys())
def test_a_wrong_type_is_a_bad_request(kube: RawKube, space: str, spec: Json) -> None:
    """400 that says which kind could not be decoded."""
    answer = kube.post(f"{space}/pods", pod("p1", **spec))
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert answer.message.startswith('Pod in version "v1" cannot be handled as a Pod')


def _first(**fields: Any) -> Json:
    return {"containers": [container(**fields)]}


C0 = "spec.containers[0]"
WRONG_PODS: dict[str, tuple[Json, set[tuple[str, str]]]] = {
    "no containers": ({"containers": []}, {("FieldValueRequired", "spec.containers")}),
    "no image": (_first(image=""), {("FieldValueRequired", f"{C0}.image")}),
    "blank in image": (_first(image=" a:1"), {("FieldValueInvalid", f"{C0}.image")}),
    "no container name": (_first(name=""), {("FieldValueRequired", f"{C0}.name")}),
    "bad container name": (_first(name="C_"), {("FieldValueInvalid", f"{C0}.name")}),
    "long container name": (_first(name=LONG), {("FieldValueInvalid", f"{C0}.name")}),
    "container named twice": (
        {"containers": [container(), container()]},
        {("FieldValueDuplicate", "spec.containers[1].name")},
    ),
    "init container named twice": (
        {"initContainers": [container()]},
        {("FieldValueDuplicate", "spec.initContainers[0].name")},
    ),
    "bad restart policy": ({"restartPolicy": "Nevr"}, {("FieldValueNotSupported", "spec.restartPolicy")}),
    "bad dns policy": ({"dnsPolicy": "x"}, {("FieldValueNotSupported", "spec.dnsPolicy")}),
    "bad pull policy": (_first(imagePullPolicy="x"), {("FieldValueNotSupported", f"{C0}.imagePullPolicy")}),
    "deadline of zero": ({"activeDeadlineSeconds": 0}, {("FieldValueInvalid", "spec.activeDeadlineSeconds")}),
    "bad selector": (
        {"nodeSelector": {"a b": "c d"}},
        {("FieldValueInvalid", "spec.nodeSelector")},
    ),
    "bad account": ({"serviceAccountName": "A_"}, {("FieldValueInvalid", "spec.serviceAccountName")}),
    "bad node name": ({"nodeName": "A_"}, {("FieldValueInvalid", "spec.nodeName")}),
    "unknown resource": (
        _first(resources={"limits": {"bogus": "1"}}),
        {
            ("FieldValueInvalid", f"{C0}.resources.limits[bogus]"),
            ("FieldValueInvalid", f"{C0}.resources.requests[bogus]"),
        },
    ),
    "request above limit": (
        _first(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
        {("FieldValueInvalid", f"{C0}.resources.requests")},
    ),
    "request of a device without limit": (
        _first(resources={"requests": {"nvidia.com/gpu": "1"}}),
        {("FieldValueRequired", f"{C0}.resources.limits")},
    ),
    "half a device": (
        _first(resources={"limits": {"nvidia.com/gpu": "500m"}}),
        {
            ("FieldValueInvalid", f"{C0}.resources.limits[nvidia.com/gpu]"),
            ("FieldValueInvalid", f"{C0}.resources.requests[nvidia.com/gpu]"),
        },
    ),
    "negative amount": (
        _first(resources={"limits": {"cpu": "-1"}}),
        {
            ("FieldValueInvalid", f"{C0}.resources.limits[cpu]"),
            ("FieldValueInvalid", f"{C0}.resources.requests[cpu]"),
        },
    ),
    "env name with a digit first": (_first(env=[{"name": "1=x"}]), {("FieldValueInvalid", f"{C0}.env[0].name")}),
    "env without a name": (_first(env=[{"value": "x"}]), {("FieldValueRequired", f"{C0}.env[0].name")}),
    "env of an unknown field": (
        _first(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nope"}}}]),
        {("FieldValueInvalid", f"{C0}.env[0].valueFrom.fieldRef.fieldPath")},
    ),
    "env with value and source": (
        _first(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]),
        {("FieldValueInvalid", f"{C0}.env[0].valueFrom")},
    ),
    "secret without a key": (
        _first(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": ""}}}]),
        {("FieldValueRequired", f"{C0}.env[0].valueFrom.secretKeyRef.key")},
    ),
    "mount of no volume": (
        _first(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        {("FieldValueNotFound", f"{C0}.volumeMounts[0].name")},
    ),
    "volume named twice": (
        {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]},
        {("FieldValueDuplicate", "spec.volumes[1].name")},
    ),
    "host path upwards": (
        {"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]},
        {("FieldValueInvalid", "spec.volumes[0].hostPath.path")},
    ),
    "host path empty": (
        {"volumes": [{"name": "v", "hostPath": {"path": ""}}]},
        {("FieldValueRequired", "spec.volumes[0].hostPath.path")},
    ),
    "host path of an unknown type": (
        {"volumes": [{"name": "v", "hostPath": {"path": "/a", "type": "x"}}]},
        {("FieldValueNotSupported", "spec.volumes[0].hostPath.type")},
    ),
    "volume of two kinds": (
        {"volumes": [{"name": "v", "emptyDir": {}, "configMap": {"name": "c"}}]},
        {("FieldValueForbidden", "spec.volumes[0].configMap")},
    ),
    "config map without a name": (
        {"volumes": [{"name": "v", "configMap": {}}]},
        {("FieldValueRequired", "spec.volumes[0].configMap.name")},
    ),
}


@pytest.mark.parametrize(("spec", "causes"), WRONG_PODS.values(), ids=WRONG_PODS.keys())
def test_a_wrong_pod_is_invalid(kube: RawKube, space: str, spec: Json, causes: set[tuple[str, str]]) -> None:
    """422 with exactly these causes."""
    answer = kube.post(f"{space}/pods", pod("p1", **spec))
    assert (answer.status, answer.reason, answer.causes) == (422, "Invalid", causes)
    assert answer.message.startswith('Pod "p1" is invalid: ')


def test_one_mount_path_is_used_once(kube: RawKube, space: str) -> None:
    """Two mounts at one path are refused, a mount without a path as well."""
    mounts = [{"name": "v", "mountPath": path} for path in ("/a", "/a", "")]
    answer = kube.post(f"{space}/pods", pod("p1", volumes=[{"name": "v"}], **_first(volumeMounts=mounts)))
    assert answer.causes == {
        ("FieldValueInvalid", f"{C0}.volumeMounts[1].mountPath"),
        ("FieldValueRequired", f"{C0}.volumeMounts[2].mountPath"),
    }


WRONG_NAMES = {"upper case": "Bad_Name", "dash at the end": "a-", "too long": "a" * 254, "dots": "a..b"}


@pytest.mark.parametrize("name", WRONG_NAMES.values(), ids=WRONG_NAMES.keys())
def test_a_wrong_name_is_invalid(kube: RawKube, space: str, name: str) -> None:
    """Names are DNS subdomains of at most 253 characters."""
    answer = kube.post(f"{space}/pods", pod(name))
    assert (answer.status, answer.causes) == (422, {("FieldValueInvalid", "metadata.name")})
    assert answer.body["details"]["name"] == name


def test_a_name_is_required(kube: RawKube, space: str) -> None:
    """Neither name nor prefix is refused."""
    answer = kube.post(f"{space}/pods", {**pod("x"), "metadata": {}})
    assert (answer.status, answer.causes) == (422, {("FieldValueRequired", "metadata.name")})


WRONG_LABELS = {
    "blank in key": {"a b": "x"},
    "long key": {LONG: "x"},
    "bad prefix": {"A_/b": "x"},
    "nothing after the slash": {"a/": "x"},
    "dash at the end": {"a": "x-"},
    "long value": {"a": LONG},
    "blank in value": {"a": "x y"},
}


@pytest.mark.parametrize("labels", WRONG_LABELS.values(), ids=WRONG_LABELS.keys())
def test_a_wrong_label_is_invalid(kube: RawKube, space: str, labels: dict[str, str]) -> None:
    """Keys and values of labels have at most 63 characters and alphanumeric ends."""
    answer = kube.post(f"{space}/pods", pod("p1", labels))
    assert (answer.status, answer.causes) == (422, {("FieldValueInvalid", "metadata.labels")})


def test_labels_at_their_limits_are_stored(kube: RawKube, space: str) -> None:
    """63 characters, an empty value, a prefix."""
    labels = {"k" * 63: "v" * 63, "empty": "", "edgesched.io/run": "r-1"}
    assert kube.post(f"{space}/pods", pod("p1", labels)).body["metadata"]["labels"] == labels


def test_a_config_map_has_valid_keys(kube: RawKube, space: str) -> None:
    """Keys are file names."""
    answer = kube.post(f"{space}/configmaps", {"metadata": {"name": "c"}, "data": {"a b": "1", "..": "2"}})
    assert answer.causes == {("FieldValueInvalid", "data[a b]"), ("FieldValueInvalid", "data[..]")}


def test_a_config_map_has_a_size(kube: RawKube, space: str) -> None:
    """More than 1 MiB is refused."""
    answer = kube.post(f"{space}/configmaps", {"metadata": {"name": "c"}, "data": {"a": "x" * (1024 * 1024 + 1)}})
    assert (answer.status, {reason for reason, _ in answer.causes}) == (422, {"FieldValueTooLong"})
    fits = kube.post(f"{space}/configmaps", {"metadata": {"name": "c"}, "data": {"a": "x" * (1024 * 1024)}})
    assert fits.status == 201


def test_an_event_is_about_its_own_namespace(kube: RawKube, space: str) -> None:
    """An event lives where its object lives."""
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "other"}}
    answer = kube.post(f"{space}/events", event)
    assert answer.causes == {("FieldValueInvalid", "involvedObject.namespace")}


def test_a_lease_lasts(kube: RawKube, space: str) -> None:
    """A duration of zero is refused."""
    path = f"/apis/coordination.k8s.io/v1{space.removeprefix('/api/v1')}/leases"
    answer = kube.post(path, {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}})
    assert (answer.status, answer.causes) == (422, {("FieldValueInvalid", "spec.leaseDurationSeconds")})
    assert answer.message.startswith('Lease.coordination.k8s.io "l" is invalid')


WRONG_SERVICES: dict[str, tuple[Json, set[tuple[str, str]]]] = {
    "no ports": ({}, {("FieldValueRequired", "spec.ports")}),
    "port zero": ({"ports": [{"port": 0}]}, {("FieldValueInvalid", "spec.ports[0].port")}),
    "no external name": ({"type": "ExternalName"}, {("FieldValueRequired", "spec.externalName")}),
    "two ports without names": (
        {"ports": [{"port": 80}, {"port": 81}]},
        {("FieldValueRequired", "spec.ports[0].name"), ("FieldValueRequired", "spec.ports[1].name")},
    ),
}


@pytest.mark.parametrize(("spec", "causes"), WRONG_SERVICES.values(), ids=WRONG_SERVICES.keys())
def test_a_wrong_service_is_invalid(kube: RawKube, space: str, spec: Json, causes: set[tuple[str, str]]) -> None:
    """Services need ports or a name."""
    answer = kube.post(f"{space}/services", {"metadata": {"name": "s"}, "spec": spec})
    assert answer.status == 422
    assert causes <= answer.causes


def test_a_namespace_name_is_a_label(kube: RawKube) -> None:
    """No dots, at most 63 characters."""
    for name in ("a.b", LONG):
        answer = kube.post("/api/v1/namespaces", {"metadata": {"name": name}})
        assert (answer.status, answer.causes) == (422, {("FieldValueInvalid", "metadata.name")})


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/pods/p1"), ("PUT", "/pods"), ("PATCH", "/pods"), ("POST", "/pods/p1/log")]
)
def test_a_method_that_a_path_lacks_is_refused(kube: RawKube, space: str, method: str, path: str) -> None:
    """405 as a Status."""
    answer = kube.call(method, space + path, {})
    assert (answer.status, answer.reason) == (405, "MethodNotAllowed")
