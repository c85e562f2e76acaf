"""Contract of both servers: replace, patch, status, binding, delete."""

from __future__ import annotations

import pytest

from tests.kube.rawkube import JSON_PATCH, MERGE, STRATEGIC, Json, RawKube, container, pod


def _config(kube: RawKube, space: str) -> Json:
    return kube.post(f"{space}/configmaps", {"metadata": {"name": "cm"}, "data": {"a": "1"}}).body


def test_a_replace_takes_the_next_version(kube: RawKube, space: str) -> None:
    """PUT of the newest state, or of one without a version."""
    config = _config(kube, space)
    second = kube.put(f"{space}/configmaps/cm", {**config, "data": {"b": "2"}})
    third = kube.put(f"{space}/configmaps/cm", {"metadata": {"name": "cm"}, "data": {"c": "3"}})
    assert (second.status, second.body["data"], third.body["data"]) == (200, {"b": "2"}, {"c": "3"})
    assert int(config["metadata"]["resourceVersion"]) < int(second.version) < int(third.version)
    assert third.body["metadata"]["uid"] == config["metadata"]["uid"]


def test_a_replace_of_an_old_state_conflicts(kube: RawKube, space: str) -> None:
    """409 Conflict, and nothing is changed."""
    config = _config(kube, space)
    kube.put(f"{space}/configmaps/cm", {**config, "data": {"b": "2"}})
    answer = kube.put(f"{space}/configmaps/cm", {**config, "data": {"c": "3"}})
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "cm": the object has been modified; please apply your changes '
        "to the latest version and try again"
    )
    assert kube.get(f"{space}/configmaps/cm").body["data"] == {"b": "2"}


def test_a_replace_of_another_uid_conflicts(kube: RawKube, space: str) -> None:
    """409 when the object was deleted and made again."""
    _config(kube, space)
    answer = kube.put(f"{space}/configmaps/cm", {"metadata": {"name": "cm", "uid": "other"}, "data": {}})
    assert (answer.status, answer.reason) == (409, "Conflict")


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("nope", {"metadata": {"name": "nope"}}, 404),
        ("cm", {"metadata": {"name": "other"}}, 400),
        ("cm", {"data": {"a": "2"}}, 400),
    ],
)
def test_a_replace_needs_its_object(kube: RawKube, space: str, name: str, body: Json, status: int) -> None:
    """PUT makes no object and changes no name."""
    _config(kube, space)
    assert kube.put(f"{space}/configmaps/{name}", body).status == status


def test_a_merge_patch_adds_changes_and_removes(kube: RawKube, space: str) -> None:
    """Null removes a key."""
    _config(kube, space)
    answer = kube.patch(f"{space}/configmaps/cm", {"data": {"a": None, "b": "2"}})
    assert (answer.status, answer.body["data"]) == (200, {"b": "2"})
    answer = kube.patch(f"{space}/configmaps/cm", {"metadata": {"annotations": {"x/y": "z"}}})
    assert answer.body["metadata"]["annotations"] == {"x/y": "z"}
    assert answer.body["data"] == {"b": "2"}


def test_a_strategic_patch_merges_maps(kube: RawKube, space: str) -> None:
    """The kind that kubectl sends."""
    _config(kube, space)
    answer = kube.patch(f"{space}/configmaps/cm", {"data": {"b": "2"}}, STRATEGIC)
    assert answer.body["data"] == {"a": "1", "b": "2"}


def test_a_json_patch_takes_operations(kube: RawKube, space: str) -> None:
    """Add, replace, remove."""
    _config(kube, space)
    operations = [
        {"op": "add", "path": "/data/w", "value": "5"},
        {"op": "replace", "path": "/data/a", "value": "6"},
        {"op": "add", "path": "/metadata/labels", "value": {"l": "1"}},
    ]
    answer = kube.patch(f"{space}/configmaps/cm", operations, JSON_PATCH)
    assert answer.body["data"] == {"a": "6", "w": "5"}
    assert answer.body["metadata"]["labels"] == {"l": "1"}
    again = kube.patch(f"{space}/configmaps/cm", [{"op": "remove", "path": "/data/w"}], JSON_PATCH)
    assert again.body["data"] == {"a": "6"}


def test_a_patch_that_changes_nothing_keeps_the_version(kube: RawKube, space: str) -> None:
    """No write, no event."""
    config = _config(kube, space)
    answer = kube.patch(f"{space}/configmaps/cm", {})
    assert (answer.status, answer.version) == (200, config["metadata"]["resourceVersion"])


def test_a_patch_of_an_old_version_conflicts(kube: RawKube, space: str) -> None:
    """409 when the patch names a version that is not the newest."""
    _config(kube, space)
    answer = kube.patch(f"{space}/configmaps/cm", {"metadata": {"resourceVersion": "1"}, "data": {"b": "2"}})
    assert (answer.status, answer.reason) == (409, "Conflict")


@pytest.mark.parametrize(
    ("patch", "media_type", "status"),
    [
        ({"data": {"c": 1}}, MERGE, 422),
        ({"metadata": {"name": "other"}}, MERGE, 400),
        ({"data": {"c": "1"}}, "application/json", 415),
        ({"data": {"a b": "1"}}, MERGE, 422),
    ],
)
def test_a_wrong_patch_is_refused(kube: RawKube, space: str, patch: Json, media_type: str, status: int) -> None:
    """Wrong types, another name, another media type, a wrong key."""
    _config(kube, space)
    assert kube.patch(f"{space}/configmaps/cm", patch, media_type).status == status
    assert kube.get(f"{space}/configmaps/cm").body["data"] == {"a": "1"}


def test_a_patch_of_a_missing_object_is_not_found(kube: RawKube, space: str) -> None:
    """404."""
    assert kube.patch(f"{space}/configmaps/nope", {"data": {}}).status == 404


def test_identity_cannot_be_changed(kube: RawKube, space: str) -> None:
    """Times and the like are the server's."""
    config = _config(kube, space)
    answer = kube.patch(f"{space}/configmaps/cm", {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}})
    assert answer.status in {200, 422}
    now = kube.get(f"{space}/configmaps/cm").body["metadata"]
    assert now["creationTimestamp"] == config["metadata"]["creationTimestamp"]


def test_labels_of_a_pod_can_change(kube: RawKube, space: str) -> None:
    """Metadata is free."""
    kube.post(f"{space}/pods", pod("p1", {"a": "1"}))
    answer = kube.patch(f"{space}/pods/p1", {"metadata": {"labels": {"b": "2"}}})
    assert answer.body["metadata"]["labels"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    "spec", [{"restartPolicy": "Always"}, {"nodeSelector": {"a": "b"}}, {"containers": [container(args=["x"])]}]
)
def test_a_pods_spec_cannot_change(kube: RawKube, space: str, spec: Json) -> None:
    """422 with the cause at `spec`."""
    kube.post(f"{space}/pods", pod("p1"))
    answer = kube.patch(f"{space}/pods/p1", {"spec": spec})
    assert (answer.status, answer.reason, answer.causes) == (422, "Invalid", {("FieldValueForbidden", "spec")})


def test_a_pods_image_can_change(kube: RawKube, space: str) -> None:
    """One of the few fields that can."""
    created = kube.post(f"{space}/pods", pod("p1")).body
    created["spec"]["containers"][0]["image"] = "other:2"
    answer = kube.put(f"{space}/pods/p1", created)
    assert (answer.status, answer.body["spec"]["containers"][0]["image"]) == (200, "other:2")


def test_status_changes_only_through_its_path(kube: RawKube, space: str) -> None:
    """A patch of the pod leaves the status, a patch of the status leaves the pod."""
    kube.post(f"{space}/pods", pod("p1", {"a": "1"}))
    plain = kube.patch(f"{space}/pods/p1", {"status": {"phase": "Running"}})
    assert plain.body["status"]["phase"] == "Pending"
    change = {"status": {"phase": "Running"}, "metadata": {"labels": {"b": "2"}}, "spec": {"nodeName": "w1"}}
    status = kube.patch(f"{space}/pods/p1/status", change)
    assert status.body["status"]["phase"] == "Running"
    assert "nodeName" not in status.body["spec"]
    assert kube.get(f"{space}/pods/p1/status").body["status"]["phase"] == "Running"


def test_a_status_can_be_replaced(kube: RawKube, space: str) -> None:
    """PUT of the status, with the version checked."""
    created = kube.post(f"{space}/pods", pod("p1")).body
    first = kube.put(f"{space}/pods/p1/status", {**created, "status": {"phase": "Running", "reason": "R"}})
    assert (first.status, first.body["status"]["reason"]) == (200, "R")
    assert kube.put(f"{space}/pods/p1/status", {**created, "status": {"phase": "Failed"}}).status == 409


def test_a_strategic_patch_joins_conditions(kube: RawKube, space: str) -> None:
    """Conditions are joined by their type, as kubelets and controllers rely on."""
    kube.post(f"{space}/pods", pod("p1"))
    for kind in ("A", "B"):
        patch = {"status": {"conditions": [{"type": kind, "status": "True"}]}}
        answer = kube.patch(f"{space}/pods/p1/status", patch, STRATEGIC)
    assert sorted(item["type"] for item in answer.body["status"]["conditions"]) == ["A", "B"]


def test_a_binding_places_a_pod(kube: RawKube, space: str) -> None:
    """Once."""
    kube.post(f"{space}/pods", pod("p1"))
    binding = {"metadata": {"name": "p1"}, "target": {"kind": "Node", "name": "w1", "apiVersion": "v1"}}
    assert kube.post(f"{space}/pods/p1/binding", binding).status == 201
    placed = kube.get(f"{space}/pods/p1").body
    assert placed["spec"]["nodeName"] == "w1"
    condition = placed["status"]["conditions"][0]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    assert kube.post(f"{space}/pods/p1/binding", binding).status == 409


def test_a_lease_changes_hands(kube: RawKube, space: str) -> None:
    """Merge patch and PUT of a lease."""
    path = f"/apis/coordination.k8s.io/v1{space.removeprefix('/api/v1')}/leases"
    lease = kube.post(path, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}})
    second = kube.patch(f"{path}/l", {"spec": {"holderIdentity": "b"}})
    assert second.body["spec"] == {"holderIdentity": "b", "leaseDurationSeconds": 15}
    assert kube.put(f"{path}/l", lease.body).status == 409


def test_an_unplaced_pod_is_deleted_at_once(kube: RawKube, space: str) -> None:
    """The answer is the pod with its deletion time."""
    kube.post(f"{space}/pods", pod("p1"))
    answer = kube.delete(f"{space}/pods/p1")
    assert (answer.status, answer.body["kind"]) == (200, "Pod")
    assert answer.body["metadata"]["deletionTimestamp"]
    assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 0
    assert kube.get(f"{space}/pods/p1").status == 404
    assert kube.delete(f"{space}/pods/p1").status == 404


def test_a_placed_pod_waits_for_its_node(kube: RawKube, space: str) -> None:
    """The pod stays, marked with its own grace."""
    kube.post(f"{space}/pods", pod("p1", nodeName="w1"))
    kube.delete(f"{space}/pods/p1")
    metadata = kube.get(f"{space}/pods/p1").body["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 30
    assert metadata["deletionTimestamp"] > metadata["creationTimestamp"]


def test_grace_can_be_shortened_only(kube: RawKube, space: str) -> None:
    """A second delete with less grace counts, one with more does not; zero ends it."""
    kube.post(f"{space}/pods", pod("p1", nodeName="w1"))
    graces = []
    for grace_s in (20, 5, 10):
        kube.delete(f"{space}/pods/p1", {"gracePeriodSeconds": grace_s})
        graces.append(kube.get(f"{space}/pods/p1").body["metadata"]["deletionGracePeriodSeconds"])
    assert graces == [20, 5, 5]
    kube.delete(f"{space}/pods/p1?gracePeriodSeconds=0")
    assert kube.get(f"{space}/pods/p1").status == 404


def test_a_finished_pod_is_deleted_at_once(kube: RawKube, space: str) -> None:
    """Nothing needs a grace any more."""
    kube.post(f"{space}/pods", pod("p1", nodeName="w1"))
    kube.patch(f"{space}/pods/p1/status", {"status": {"phase": "Succeeded"}})
    kube.delete(f"{space}/pods/p1")
    assert kube.get(f"{space}/pods/p1").status == 404


def test_a_delete_can_name_the_uid(kube: RawKube, space: str) -> None:
    """409 for another uid or version, done for the right one."""
    created = kube.post(f"{space}/pods", pod("p1")).body
    wrong = kube.delete(f"{space}/pods/p1", {"preconditions": {"uid": "other"}})
    assert (wrong.status, wrong.reason) == (409, "Conflict")
    assert "the UID in the precondition (other) does not match the UID in record" in wrong.message
    old = kube.delete(f"{space}/pods/p1", {"preconditions": {"resourceVersion": "1"}})
    assert (old.status, old.reason) == (409, "Conflict")
    right = kube.delete(f"{space}/pods/p1", {"preconditions": {"uid": created["metadata"]["uid"]}})
    assert right.status == 200


def test_a_delete_can_be_tried(kube: RawKube, space: str) -> None:
    """dryRun leaves the pod and its version."""
    created = kube.post(f"{space}/pods", pod("p1", nodeName="w1"))
    assert kube.delete(f"{space}/pods/p1?dryRun=All").status == 200
    assert kube.get(f"{space}/pods/p1").version == created.version


def test_a_deleted_config_map_is_reported(kube: RawKube, space: str) -> None:
    """The answer is a Status with the uid."""
    config = _config(kube, space)
    answer = kube.delete(f"{space}/configmaps/cm")
    assert (answer.status, answer.body["kind"], answer.body["status"]) == (200, "Status", "Success")
    assert answer.body["details"] == {"name": "cm", "kind": "configmaps", "uid": config["metadata"]["uid"]}


def test_a_finalizer_holds_an_object(kube: RawKube, space: str) -> None:
    """It goes when the last finalizer is taken away."""
    given = pod("p1")
    given["metadata"]["finalizers"] = ["edgesched.io/test"]
    kube.post(f"{space}/pods", given)
    kube.delete(f"{space}/pods/p1")
    assert kube.get(f"{space}/pods/p1").body["metadata"]["deletionTimestamp"]
    kube.patch(f"{space}/pods/p1", {"metadata": {"finalizers": None}})
    assert kube.get(f"{space}/pods/p1").status == 404


def test_a_collection_is_deleted_by_label(kube: RawKube, space: str) -> None:
    """Only what matches."""
    for name, label in (("p1", "a"), ("p2", "b"), ("p3", "a")):
        kube.post(f"{space}/pods", pod(name, {"app": label}))
    answer = kube.delete(f"{space}/pods?labelSelector=app%3Da")
    assert (answer.status, answer.body["kind"]) == (200, "PodList")
    assert kube.get(f"{space}/pods").names == ["p2"]


def test_the_same_name_is_another_pod(kube: RawKube, space: str) -> None:
    """After a delete the name is free and gets another uid."""
    first = kube.post(f"{space}/pods", pod("p1")).body
    kube.delete(f"{space}/pods/p1")
    second = kube.post(f"{space}/pods", pod("p1"))
    assert second.status == 201
    assert second.body["metadata"]["uid"] != first["metadata"]["uid"]
