"""Contract of both servers: get, list, selectors, pages, tables, logs, rights, discovery."""

from __future__ import annotations

import pytest

from tests.kube.rawkube import TABLE, RawKube, container, pod


def _three(kube: RawKube, space: str) -> None:
    kube.post(f"{space}/pods", pod("p1", {"app": "a", "job": "1"}))
    kube.post(f"{space}/pods", pod("p2", {"app": "b", "job": "2"}, nodeName="w1"))
    kube.post(f"{space}/pods", pod("p3"))


def test_a_missing_object_is_not_found(kube: RawKube, space: str) -> None:
    """404 names it."""
    answer = kube.get(f"{space}/pods/nope")
    assert (answer.status, answer.reason, answer.message) == (404, "NotFound", 'pods "nope" not found')
    assert answer.body["details"] == {"name": "nope", "kind": "pods"}
    assert answer.body["status"] == "Failure"
    assert answer.body["code"] == 404


def test_a_path_that_is_no_resource_is_not_found(kube: RawKube, space: str) -> None:
    """404 as a Status."""
    answer = kube.get(f"{space}/nonsense")
    assert (answer.status, answer.reason) == (404, "NotFound")


def test_a_list_has_a_version_and_plain_items(kube: RawKube, space: str) -> None:
    """The list has kind and version; its items carry no kind."""
    _three(kube, space)
    answer = kube.get(f"{space}/pods")
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("PodList", "v1")
    assert int(answer.version) > 0
    assert answer.names == ["p1", "p2", "p3"]
    assert not any("kind" in item for item in answer.body["items"])
    assert "continue" not in answer.body["metadata"]


def test_an_empty_list_is_a_list(kube: RawKube, space: str) -> None:
    """No items is an empty list, also in a namespace that does not exist."""
    assert kube.get(f"{space}/pods").body["items"] == []
    assert kube.get("/api/v1/namespaces/nowhere/pods").body["items"] == []


def test_all_namespaces_can_be_listed(kube: RawKube, space: str) -> None:
    """The path without a namespace lists everywhere."""
    _three(kube, space)
    listed = kube.get("/api/v1/pods?labelSelector=app").body["items"]
    mine = [item["metadata"]["name"] for item in listed if item["metadata"]["namespace"] == space.rpartition("/")[2]]
    assert mine == ["p1", "p2"]


LABELS = {
    "app=a": ["p1"],
    "app==a": ["p1"],
    "app!=a": ["p2", "p3"],
    "app": ["p1", "p2"],
    "!app": ["p3"],
    "app in (b, c)": ["p2"],
    "app notin (b)": ["p1", "p3"],
    "app in (a,b),job=2": ["p2"],
    "app,job!=1": ["p2"],
    "app=": [],
    "": ["p1", "p2", "p3"],
}


@pytest.mark.parametrize(("selector", "names"), LABELS.items())
def test_labels_select(kube: RawKube, space: str, selector: str, names: list[str]) -> None:
    """Equality, sets, presence, and all of them together."""
    _three(kube, space)
    assert kube.get(f"{space}/pods?labelSelector={_quoted(selector)}").names == names


FIELDS = {
    "metadata.name=p1": ["p1"],
    "metadata.name!=p1": ["p2", "p3"],
    "status.phase=Pending": ["p1", "p2", "p3"],
    "status.phase!=Pending": [],
    "spec.nodeName=w1": ["p2"],
    "spec.nodeName=": ["p1", "p3"],
    "spec.restartPolicy=Never,metadata.name=p3": ["p3"],
}


@pytest.mark.parametrize(("selector", "names"), FIELDS.items())
def test_fields_select(kube: RawKube, space: str, selector: str, names: list[str]) -> None:
    """Some fields of pods can be selected by."""
    _three(kube, space)
    assert kube.get(f"{space}/pods?fieldSelector={_quoted(selector)}").names == names


def test_events_are_selected_by_their_object(kube: RawKube, space: str) -> None:
    """As `kubectl describe` does."""
    namespace = space.rpartition("/")[2]
    for name, about in (("e1", "p1"), ("e2", "p2")):
        reference = {"kind": "Pod", "name": about, "namespace": namespace, "uid": f"u-{about}"}
        kube.post(f"{space}/events", {"metadata": {"name": name}, "involvedObject": reference, "reason": "R"})
    wanted = _quoted(f"involvedObject.name=p1,involvedObject.namespace={namespace},involvedObject.uid=u-p1")
    assert kube.get(f"{space}/events?fieldSelector={wanted}").names == ["e1"]
    assert kube.get(f"{space}/events?fieldSelector=reason%3DOther").names == []


@pytest.mark.parametrize(
    "query",
    ["fieldSelector=spec.foo%3D1", "labelSelector=a%3D%3D%3Db", "labelSelector=a+in+x", "limit=abc", "continue=abc"],
)
def test_a_wrong_query_is_a_bad_request(kube: RawKube, space: str, query: str) -> None:
    """400 as a Status."""
    answer = kube.get(f"{space}/pods?{query}")
    assert (answer.status, answer.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    "query",
    [
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=Other&resourceVersion=1",
        "resourceVersionMatch=Exact&resourceVersion=0",
        "resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=abc",
        "resourceVersionMatch=NotOlderThan&resourceVersion=1&watch=true",
        "resourceVersionMatch=NotOlderThan&sendInitialEvents=true&allowWatchBookmarks=true&watch=true",
    ],
)
def test_options_that_contradict_each_other_are_refused(kube: RawKube, space: str, query: str) -> None:
    """422; kubectl learns by the last one that it must list before it watches."""
    answer = kube.get(f"{space}/pods?{query}")
    assert (answer.status, answer.reason, answer.body["details"]["kind"]) == (422, "Invalid", "ListOptions")
    assert {field for _, field in answer.causes} == {"resourceVersionMatch"}


def test_pages_show_one_state(kube: RawKube, space: str) -> None:
    """Pages go on from the token and show the state of the first one."""
    _three(kube, space)
    first = kube.get(f"{space}/pods?limit=2")
    token = first.body["metadata"]["continue"]
    assert (first.names, first.body["metadata"]["remainingItemCount"]) == (["p1", "p2"], 1)
    kube.post(f"{space}/pods", pod("p4"))
    kube.delete(f"{space}/pods/p3")
    second = kube.get(f"{space}/pods?limit=2&continue={_quoted(token)}")
    assert second.names == ["p3"]
    assert second.version == first.version
    assert "continue" not in second.body["metadata"]


def test_a_list_can_be_of_an_exact_version(kube: RawKube, space: str) -> None:
    """The state of then, not of now."""
    _three(kube, space)
    then = kube.get(f"{space}/pods").version
    kube.delete(f"{space}/pods/p1")
    exact = kube.get(f"{space}/pods?resourceVersion={then}&resourceVersionMatch=Exact")
    assert (exact.names, exact.version) == (["p1", "p2", "p3"], then)
    assert sorted(kube.get(f"{space}/pods?resourceVersion={then}").names) == ["p2", "p3"]


def test_a_forgotten_state_is_gone(kube: RawKube, space: str) -> None:
    """410 for a page or an exact list of a state that was compacted away; a plain list goes on."""
    _three(kube, space)
    first = kube.get(f"{space}/pods?limit=2")
    kube.delete(f"{space}/pods/p1")
    kube.compact(kube.post(f"{space}/pods", pod("p4")).version)
    token = first.body["metadata"]["continue"]
    for query in (f"limit=2&continue={_quoted(token)}", f"resourceVersion={first.version}&resourceVersionMatch=Exact"):
        answer = kube.get(f"{space}/pods?{query}")
        assert (answer.status, answer.reason) == (410, "Expired")
    assert sorted(kube.get(f"{space}/pods?resourceVersion={first.version}").names) == ["p2", "p3", "p4"]


def test_a_version_that_is_no_number_is_refused(kube: RawKube, space: str) -> None:
    """The server's words for it are a 500."""
    answer = kube.get(f"{space}/pods?resourceVersion=abc")
    assert (answer.status, answer.body["kind"]) == (500, "Status")


def test_a_version_to_come_is_too_large(kube: RawKube, space: str) -> None:
    """504 with a cause and a time to wait."""
    answer = kube.get(f"{space}/pods?resourceVersion=99999999")
    assert (answer.status, answer.reason) == (504, "Timeout")
    assert answer.body["details"]["retryAfterSeconds"] == 1
    assert answer.causes == {("ResourceVersionTooLarge", "")}


def test_a_table_has_kubectls_columns(kube: RawKube, space: str) -> None:
    """`kubectl get pods` prints what the server sends."""
    _three(kube, space)
    table = kube.get(f"{space}/pods", accept=TABLE).body
    columns = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0]
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert columns == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert [row["cells"][:4] for row in table["rows"]] == [[name, "0/1", "Pending", 0] for name in ("p1", "p2", "p3")]
    assert table["rows"][1]["cells"][6] == "w1"
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert int(table["metadata"]["resourceVersion"]) > 0


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("/configmaps", ["Name", "Data", "Age"]),
        ("/events", ["Last Seen", "Type", "Reason", "Object", "Message"]),
        ("/services", ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"]),
        ("/serviceaccounts", ["Name", "Secrets", "Age"]),
    ],
)
def test_other_kinds_have_their_columns(kube: RawKube, space: str, path: str, columns: list[str]) -> None:
    """Each kind has its own table."""
    table = kube.get(space + path, accept=TABLE).body
    assert [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0] == columns


def test_one_object_can_be_a_table(kube: RawKube, space: str) -> None:
    """A get answers a table of one row; a refusal stays a Status."""
    _three(kube, space)
    table = kube.get(f"{space}/pods/p1", accept=TABLE).body
    assert [row["cells"][0] for row in table["rows"]] == ["p1"]
    assert kube.get(f"{space}/pods/nope", accept=TABLE).body["kind"] == "Status"


def test_a_pod_without_a_node_has_an_empty_log(kube: RawKube, space: str) -> None:
    """Nothing ran yet."""
    _three(kube, space)
    answer = kube.get(f"{space}/pods/p1/log")
    assert (answer.status, answer.text) == (204, "")


def test_a_log_needs_the_node(kube: RawKube, space: str) -> None:
    """404 when the node is unknown."""
    _three(kube, space)
    assert kube.get(f"{space}/pods/p2/log").status == 404


def test_a_log_names_its_container(kube: RawKube, space: str) -> None:
    """400 for one that the pod does not have, and for none when there are several."""
    kube.post(f"{space}/pods", pod("two", containers=[container(), container(name="d")]))
    assert "choose one of: [c d]" in kube.get(f"{space}/pods/two/log").message
    other = kube.get(f"{space}/pods/two/log?container=x")
    assert (other.status, other.message) == (400, "container x is not valid for pod two")
    assert kube.get(f"{space}/pods/nope/log").status == 404


def test_a_wrong_token_is_unauthorized(kube: RawKube, space: str) -> None:
    """401 as a Status."""
    answer = kube.get(f"{space}/pods", token="wrong")
    assert (answer.status, answer.reason, answer.message) == (401, "Unauthorized", "Unauthorized")


def test_a_user_without_rights_is_forbidden(kube: RawKube, space: str) -> None:
    """403 says who may not do what where."""
    namespace = space.rpartition("/")[2]
    answer = kube.get(f"{space}/pods", token=kube.viewer_token)
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert answer.message == (
        f'pods is forbidden: User "viewer" cannot list resource "pods" in API group "" in the namespace "{namespace}"'
    )
    log = kube.get(f"{space}/pods/p1/log", token=kube.viewer_token)
    assert 'cannot get resource "pods/log"' in log.message
    create = kube.post(f"{space}/pods", pod("p1"), token=kube.viewer_token)
    assert (create.status, 'cannot create resource "pods"' in create.message) == (403, True)
    watch = kube.get(f"{space}/pods?watch=1", token=kube.viewer_token)
    assert 'cannot watch resource "pods"' in watch.message


def test_a_request_without_a_token_is_anonymous(kube: RawKube) -> None:
    """403 for everything, but the server says that it is well."""
    answer = kube.get("/api/v1/nodes", token="")
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert 'User "system:anonymous" cannot list resource "nodes"' in answer.message
    assert "at the cluster scope" in answer.message
    assert kube.get("/readyz", token="").text == "ok"


def test_discovery_names_groups_and_resources(kube: RawKube) -> None:
    """What kubectl reads first."""
    assert "v1" in kube.get("/api").body["versions"]
    groups = {group["name"] for group in kube.get("/apis").body["groups"]}
    assert {"coordination.k8s.io", "scheduling.k8s.io"} <= groups
    core = {item["name"]: item for item in kube.get("/api/v1").body["resources"]}
    assert {"pods", "pods/log", "pods/status", "events", "configmaps", "services", "nodes", "namespaces"} <= set(core)
    assert core["pods"]["shortNames"] == ["po"]
    assert core["pods"]["namespaced"] is True
    assert core["nodes"]["namespaced"] is False
    leases = kube.get("/apis/coordination.k8s.io/v1").body["resources"]
    assert [item["kind"] for item in leases if item["name"] == "leases"] == ["Lease"]


def test_the_version_is_that_of_the_field(kube: RawKube) -> None:
    """Waggle nodes run 1.20.2."""
    version = kube.get("/version").body
    assert (version["major"], version["minor"], version["gitVersion"]) == ("1", "20", "v1.20.2")


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
