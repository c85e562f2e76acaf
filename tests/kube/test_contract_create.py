"""Contract of both servers: what a create stores, fills in and refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kube.rawkube import Json, RawKube, container, pod

LONG = "a" * 64


def test_a_created_object_has_an_identity(kube: RawKube, space: str) -> None:
    """Kind, uid, version, time and namespace come back with the create."""
    answer = kube.post(f"{space}/pods", pod("p1"))
    metadata = answer.body["metadata"]
    assert answer.status == 201
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("Pod", "v1")
    assert metadata["name"] == "p1"
    assert metadata["namespace"] == space.rpartition("/")[2]
    assert len(metadata["uid"]) == 36
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["creationTimestamp"].endswith("Z")


def test_a_pod_gets_its_defaults(kube: RawKube, space: str) -> None:
    """What the kubelet and kubectl rely on is filled in."""
    body = kube.post(f"{space}/pods", pod("p1")).body
    spec, first = body["spec"], body["spec"]["containers"][0]
    assert body["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["enableServiceLinks"] is True
    assert spec["securityContext"] == {}
    assert spec["priority"] == 0
    assert [toleration["tolerationSeconds"] for toleration in spec["tolerations"]] == [300, 300]
    assert first["resources"] == {}
    assert first["terminationMessagePath"] == "/dev/termination-log"
    assert first["terminationMessagePolicy"] == "File"


def test_restart_policy_defaults_to_always(kube: RawKube, space: str) -> None:
    """A pod that says nothing is restarted."""
    given = pod("p1")
    del given["spec"]["restartPolicy"]
    assert kube.post(f"{space}/pods", given).body["spec"]["restartPolicy"] == "Always"


def test_a_given_status_is_ignored(kube: RawKube, space: str) -> None:
    """A pod is born Pending, whatever the client says."""
    body = kube.post(f"{space}/pods", {**pod("p1"), "status": {"phase": "Running", "podIP": "1.2.3.4"}}).body
    assert body["status"]["phase"] == "Pending"
    assert "podIP" not in body["status"]


@pytest.mark.parametrize(
    ("image", "policy"),
    [("a/b:1", "IfNotPresent"), ("a/b", "Always"), ("a/b:latest", "Always"), ("host:5000/b", "Always")],
)
def test_the_pull_policy_follows_the_tag(kube: RawKube, space: str, image: str, policy: str) -> None:
    """Only `latest`, said or unsaid, is always pulled."""
    body = kube.post(f"{space}/pods", pod("p1", containers=[container(image=image)])).body
    assert body["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "100m"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "64Mi"}}, "Guaranteed"),
        ({"limits": {"memory": "64Mi"}}, "Burstable"),
    ],
)
def test_quality_of_service_follows_resources(kube: RawKube, space: str, resources: Json, quality: str) -> None:
    """The class is computed from requests and limits."""
    body = kube.post(f"{space}/pods", pod("p1", containers=[container(resources=resources)])).body
    assert body["status"]["qosClass"] == quality


def test_requests_default_to_limits(kube: RawKube, space: str) -> None:
    """A limit without a request is the request."""
    given = container(resources={"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "500m"}})
    body = kube.post(f"{space}/pods", pod("p1", containers=[given])).body
    assert body["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "64Mi"}


def test_volumes_and_references_get_defaults(kube: RawKube, space: str) -> None:
    """Host path type, file mode, emptyDir and the version of a field reference."""
    env = [{"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]
    volumes = [
        {"name": "h", "hostPath": {"path": "/x"}},
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "e"},
    ]
    body = kube.post(f"{space}/pods", pod("p1", volumes=volumes, containers=[container(env=env)])).body
    assert body["spec"]["volumes"] == [
        {"name": "h", "hostPath": {"path": "/x", "type": ""}},
        {"name": "c", "configMap": {"name": "c", "defaultMode": 420}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}},
        {"name": "e", "emptyDir": {}},
    ]
    reference = body["spec"]["containers"][0]["env"][0]["valueFrom"]["fieldRef"]
    assert reference == {"apiVersion": "v1", "fieldPath": "metadata.uid"}


def test_a_name_is_generated(kube: RawKube, space: str) -> None:
    """`generateName` makes a name of the prefix and five characters."""
    given = pod("x")
    given["metadata"] = {"generateName": "gen-"}
    name = kube.post(f"{space}/pods", given).body["metadata"]["name"]
    assert name.startswith("gen-")
    assert len(name) == len("gen-") + 5


def test_unknown_fields_are_dropped(kube: RawKube, space: str) -> None:
    """A field that the server does not know is not stored."""
    given = pod("p1", nonsense=1)
    given["spec"]["containers"][0]["lables"] = {"a": "b"}
    body = kube.post(f"{space}/pods", given).body
    assert "nonsense" not in body["spec"]
    assert "lables" not in body["spec"]["containers"][0]


def test_empty_fields_are_dropped(kube: RawKube, space: str) -> None:
    """An empty list, map or text is not stored; an empty environment value is not shown."""
    given = pod("p1", nodeSelector={}, volumes=[], hostNetwork=False, initContainers=[])
    given["metadata"]["labels"] = {}
    given["spec"]["containers"][0] |= {"args": [], "env": [{"name": "A", "value": ""}]}
    body = kube.post(f"{space}/pods", given).body
    assert "labels" not in body["metadata"]
    assert not {"nodeSelector", "volumes", "hostNetwork", "initContainers"} & set(body["spec"])
    assert "args" not in body["spec"]["containers"][0]
    assert body["spec"]["containers"][0]["env"] == [{"name": "A"}]


def test_a_second_create_conflicts(kube: RawKube, space: str) -> None:
    """409 AlreadyExists names the object."""
    kube.post(f"{space}/pods", pod("p1"))
    answer = kube.post(f"{space}/pods", pod("p1"))
    assert (answer.status, answer.reason, answer.body["kind"]) == (409, "AlreadyExists", "Status")
    assert answer.message == 'pods "p1" already exists'
    assert answer.body["details"] == {"name": "p1", "kind": "pods"}


def test_a_group_is_named_in_a_conflict(kube: RawKube, space: str) -> None:
    """Kinds outside of the core group carry it in message and details."""
    path = f"/apis/coordination.k8s.io/v1{space.removeprefix('/api/v1')}/leases"
    kube.post(path, {"metadata": {"name": "l"}})
    answer = kube.post(path, {"metadata": {"name": "l"}})
    assert answer.message == 'leases.coordination.k8s.io "l" already exists'
    assert answer.body["details"] == {"name": "l", "group": "coordination.k8s.io", "kind": "leases"}


def test_a_missing_namespace_is_not_found(kube: RawKube) -> None:
    """404 speaks of the namespace."""
    answer = kube.post("/api/v1/namespaces/nowhere/pods", pod("p1"))
    assert (answer.status, answer.reason) == (404, "NotFound")
    assert answer.message == 'namespaces "nowhere" not found'
    assert answer.body["details"]["kind"] == "namespaces"


def test_a_namespace_in_the_object_must_be_that_of_the_path(kube: RawKube, space: str) -> None:
    """400 when they differ."""
    given = pod("p1")
    given["metadata"]["namespace"] = "other"
    answer = kube.post(f"{space}/pods", given)
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert "does not match the namespace" in answer.message


def test_an_ending_namespace_takes_nothing(kube: RawKube, space: str) -> None:
    """403 with the cause NamespaceTerminating, or 404 once it is gone."""
    kube.post(f"{space}/configmaps", {"metadata": {"name": "c"}})
    ending = kube.delete(space)
    assert (ending.status, ending.body["status"]["phase"]) == (200, "Terminating")
    answer = kube.post(f"{space}/configmaps", {"metadata": {"name": "d"}})
    if answer.status != 404:
        assert (answer.status, answer.reason) == (403, "Forbidden")
        assert answer.causes == {("NamespaceTerminating", "metadata.namespace")}


def test_dry_run_stores_nothing(kube: RawKube, space: str) -> None:
    """The object comes back as it would be, without a version."""
    answer = kube.post(f"{space}/pods?dryRun=All", pod("p1"))
    assert answer.status == 201
    assert answer.body["metadata"]["uid"]
    assert "resourceVersion" not in answer.body["metadata"]
    assert kube.get(f"{space}/pods/p1").status == 404


def test_another_dry_run_is_refused(kube: RawKube, space: str) -> None:
    """422 for a value other than All."""
    answer = kube.post(f"{space}/pods?dryRun=Some", pod("p1"))
    assert (answer.status, answer.causes) == (422, {("FieldValueNotSupported", "dryRun")})


def test_a_priority_class_must_exist(kube: RawKube, space: str) -> None:
    """403 without it, its value in the pod with it."""
    answer = kube.post(f"{space}/pods", pod("p1", priorityClassName="none"))
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert answer.message == 'pods "p1" is forbidden: no PriorityClass with name none was found'
    name = f"prio-{space.rpartition('/')[2]}"
    kube.post("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": name}, "value": 77})
    assert kube.post(f"{space}/pods", pod("p1", priorityClassName=name)).body["spec"]["priority"] == 77


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"kind": "ConfigMap", "apiVersion": "v1"}'])
def test_a_body_that_is_no_pod_is_a_bad_request(kube: RawKube, space: str, body: bytes) -> None:
    """400 for what cannot be read as the kind of the path."""
    answer = kube.post(f"{space}/pods", body)
    assert (answer.status, answer.reason, answer.body["kind"]) == (400, "BadRequest", "Status")


def test_another_media_type_is_refused(kube: RawKube, space: str) -> None:
    """415 for text."""
    answer = kube.post(f"{space}/pods", b"name: x", media_type="text/plain")
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")


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


def test_an_event_is_stored_with_its_fields(kube: RawKube, space: str) -> None:
    """What is not given is null or empty, not missing."""
    about = {"kind": "Pod", "name": "p", "namespace": space.rpartition("/")[2]}
    given = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "message": "m", "type": "Normal"}
    body = kube.post(f"{space}/events", given).body
    assert body["involvedObject"] == about
    assert (body["eventTime"], body["firstTimestamp"], body["lastTimestamp"]) == (None, None, None)
    assert (body["reportingComponent"], body["reportingInstance"], body["source"]) == ("", "", {})


def test_a_lease_keeps_microseconds(kube: RawKube, space: str) -> None:
    """Times of leases have six decimals, others are refused."""
    path = f"/apis/coordination.k8s.io/v1{space.removeprefix('/api/v1')}/leases"
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.123456Z"}
    answer = kube.post(path, {"metadata": {"name": "l"}, "spec": spec})
    assert (answer.status, answer.body["spec"]) == (201, spec)
    coarse = kube.post(path, {"metadata": {"name": "m"}, "spec": {"renewTime": "2026-01-01T00:00:00Z"}})
    assert (coarse.status, coarse.reason) == (400, "BadRequest")


def test_a_lease_lasts(kube: RawKube, space: str) -> None:
    """A duration of zero is refused."""
    path = f"/apis/coordination.k8s.io/v1{space.removeprefix('/api/v1')}/leases"
    answer = kube.post(path, {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}})
    assert (answer.status, answer.causes) == (422, {("FieldValueInvalid", "spec.leaseDurationSeconds")})
    assert answer.message.startswith('Lease.coordination.k8s.io "l" is invalid')


def test_a_service_gets_an_address(kube: RawKube, space: str) -> None:
    """Type, protocol, target port and cluster address are filled in."""
    body = kube.post(f"{space}/services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}).body
    assert body["spec"]["type"] == "ClusterIP"
    assert body["spec"]["clusterIP"].count(".") == 3
    assert body["spec"]["ports"] == [{"protocol": "TCP", "port": 80, "targetPort": 80}]
    assert body["status"] == {"loadBalancer": {}}


def test_an_external_name_has_no_address(kube: RawKube, space: str) -> None:
    """A forward to another namespace is an ExternalName."""
    spec = {"type": "ExternalName", "externalName": "a.default.svc.cluster.local", "ports": [{"port": 80}]}
    body = kube.post(f"{space}/services", {"metadata": {"name": "s"}, "spec": spec}).body
    assert body["spec"]["externalName"] == "a.default.svc.cluster.local"
    assert "clusterIP" not in body["spec"]


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


def test_a_node_offers_its_capacity(kube: RawKube, space: str) -> None:
    """What is allocatable defaults to the capacity."""
    name = f"n-{space.rpartition('/')[2]}"
    body = kube.post("/api/v1/nodes", {"metadata": {"name": name}, "status": {"capacity": {"cpu": "4"}}}).body
    assert body["status"]["allocatable"] == {"cpu": "4"}
    assert kube.delete(f"/api/v1/nodes/{name}").status == 200


def test_a_secret_is_opaque(kube: RawKube, space: str) -> None:
    """The type is filled in."""
    body = kube.post(f"{space}/secrets", {"metadata": {"name": "s"}, "data": {"a": "eA=="}}).body
    assert (body["type"], body["data"]) == ("Opaque", {"a": "eA=="})


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/pods/p1"), ("PUT", "/pods"), ("PATCH", "/pods"), ("POST", "/pods/p1/log")]
)
def test_a_method_that_a_path_lacks_is_refused(kube: RawKube, space: str, method: str, path: str) -> None:
    """405 as a Status."""
    answer = kube.call(method, space + path, {})
    assert (answer.status, answer.reason) == (405, "MethodNotAllowed")
