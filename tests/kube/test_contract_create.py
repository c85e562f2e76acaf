"""Contract of both servers: what a create stores and fills in."""

from __future__ import annotations

import pytest

from tests.kube.rawkube import Json, RawKube, container, pod


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
