"""The verbs: what a request does to the store.

Reads need no lock once they hold an object; every write happens inside the store's lock, from reading the present
state to storing the next, so that preconditions hold.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from edgesched.simcluster import admission, listing, logs, patch, removal, status
from edgesched.simcluster.defaults import identify, with_defaults
from edgesched.simcluster.discovery import discover
from edgesched.simcluster.http_types import Reply, Request, Stream, json_reply
from edgesched.simcluster.resources import NAMESPACES, PODS, Resource
from edgesched.simcluster.routes import Target, target
from edgesched.simcluster.schema import shaped
from edgesched.simcluster.selectors import Test, selector
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Store, Stored
from edgesched.simcluster.tables import Table
from edgesched.simcluster.validate import check_object, check_update
from edgesched.simcluster.watch import WatchRequest, watch

_VERBS: Final = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_MAX_BODY: Final = 3 * 1024 * 1024


class Api:
    """Answers requests.

    `tokens`: bearer token to user name; empty lets everybody in as an administrator; a user whose name is not `admin`
    may do nothing. `service_accounts`: a pod needs its service account to exist, as where a controller manager runs.
    """

    def __init__(
        self,
        store: Store,
        *,
        tokens: Mapping[str, str] | None = None,
        service_accounts: bool = False,
        log_source: logs.LogSource | None = None,
        closing: threading.Event | None = None,
    ) -> None:
        self._store = store
        self._tokens = dict(tokens or {})
        self._service_accounts = service_accounts
        self._log_source = log_source or logs.NoLogs()
        self._closing = closing or threading.Event()

    def handle(self, request: Request) -> Reply | Stream:
        """Answer one request; a refusal is a reply as well."""
        try:
            user = self._user(request)
            page = discover(request)
            return page if page is not None else self._answer(request, user)
        except status.ApiError as error:
            return json_reply(error.status, error.body(), error.headers)
        except Exception:  # noqa: BLE001 - guard: whatever a client sends, it gets an answer
            traceback.print_exc(file=sys.stderr)
            return json_reply(500, status.internal("an error on the server has prevented the request").body())

    def _user(self, request: Request) -> str:
        if not self._tokens:
            return "admin"
        header = request.headers.get("authorization", "")
        if not header:
            return "system:anonymous"
        user = self._tokens.get(header.removeprefix("Bearer "))
        if user is None:
            raise status.unauthorized()
        return user

    def _answer(self, request: Request, user: str) -> Reply | Stream:
        where = target(request.path)
        verb = self._verb(request, where)
        if user != "admin":
            raise _not_allowed(user, verb, where)
        if request.query.get("dryRun", "All") != "All":
            raise _bad_dry_run(request.query["dryRun"])
        if len(request.body) > _MAX_BODY:
            raise status.ApiError(413, "RequestEntityTooLarge", f"limit is {_MAX_BODY}")
        if verb in {"list", "watch"}:
            listing.check_options(request)
        answers: dict[str, Callable[[Request, Target], Reply | Stream]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        return answers[verb](request, where)

    @staticmethod
    def _verb(request: Request, where: Target) -> str:
        verb = _VERBS.get(request.method, "")
        collection = not where.name
        if verb == "get" and collection:
            verb = "watch" if request.is_watch else "list"
        elif verb == "delete" and collection:
            verb = "deletecollection"
        elif (verb == "create") is not collection and not where.subresource:
            raise status.method_not_allowed()
        allowed = where.resource.subresources[where.subresource] if where.subresource else where.resource.verbs
        if verb not in allowed or (collection and verb in {"create", "deletecollection"} and _lacks_namespace(where)):
            raise status.method_not_allowed()
        return verb

    # --- reading ---

    def _get(self, request: Request, where: Target) -> Reply | Stream:
        stored = self._store.get(where.resource, where.namespace, where.name)
        if where.subresource == "log":
            return logs.answer(self._store, self._log_source, request, stored.obj, self._closing)
        table = _table(request, where)
        if table:
            return json_reply(200, table.render([stored], stored.obj["metadata"]["resourceVersion"]))
        return _object_reply(200, stored)

    def _list(self, request: Request, where: Target) -> Reply:
        page = listing.page(self._store, where.resource, where.namespace, _selector(request, where), request)
        table = _table(request, where)
        if table:
            return json_reply(200, table.render(page.items, str(page.version), page.more()))
        metadata = json.dumps({"resourceVersion": str(page.version), **page.more()})
        items = ",".join(stored.text(typed=False) for stored in page.items)
        head = f'{{"kind":"{where.resource.kind}List","apiVersion":"{where.resource.api_version}","metadata":{metadata}'
        return Reply(200, f'{head},"items":[{items}]}}'.encode())

    def _watch(self, request: Request, where: Target) -> Stream:
        timeout_s = request.number("timeoutSeconds")
        wanted = WatchRequest(
            where.resource,
            where.namespace,
            _selector(request, where),
            listing.version(request),
            timeout_s or random.uniform(1800, 3600),
            bookmarks=request.flag("allowWatchBookmarks"),
            table=_table(request, where),
        )
        return Stream(watch(self._store, wanted, self._closing))

    # --- writing ---

    def _create(self, request: Request, where: Target) -> Reply:
        given = _body(request, where)
        if where.subresource == "binding":
            return self._bind(given, where)
        namespace = given["metadata"].get("namespace")
        if namespace and namespace != where.namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        with self._store.lock:
            admission.admit_namespace(self._store, where, given["metadata"].get("name", ""))
            obj = identify(where.resource, given, where.namespace)
            if where.resource is PODS:
                admission.admit_pod(self._store, obj, service_accounts=self._service_accounts)
            check_object(where.resource, obj)
            if "dryRun" in request.query:
                if self._store.find(where.resource, where.namespace, obj["metadata"]["name"]):
                    raise status.already_exists(where.resource.plural, obj["metadata"]["name"], where.resource.group)
                return json_reply(201, obj)
            return _object_reply(201, self._store.create(where.resource, obj))

    def _bind(self, given: Object, where: Target) -> Reply:
        if given["metadata"].get("name", where.name) != where.name:
            raise status.bad_request("name in URL does not match name in Binding object")
        with self._store.lock:
            pod = self._store.get(PODS, where.namespace, where.name).obj
            if pod["spec"].get("nodeName"):
                why = f'pod {where.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
                raise status.conflict("pods/binding", where.name, why)
            self._store.replace(PODS, admission.placed(pod, given["target"]["name"]))
        return json_reply(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})

    def _update(self, request: Request, where: Target) -> Reply:
        given = _body(request, where)
        name = given["metadata"].get("name", "")
        if not name:
            why = f"the name of the object ({where.name} based on URL) was undeterminable: name must be provided"
            raise status.bad_request(why)
        return self._store_next(request, where, lambda _: given)

    def _patch(self, request: Request, where: Target) -> Reply:
        if request.media_type not in {patch.MERGE, patch.STRATEGIC, patch.JSON}:
            raise status.ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
        try:
            given = json.loads(request.body)
        except ValueError as error:
            raise status.internal("Invalid JSON Patch") from error
        return self._store_next(request, where, lambda before: patch.apply(before, given, request.media_type))

    def _store_next(self, request: Request, where: Target, change: Callable[[Object], Object]) -> Reply:
        """Read, change, check, store."""
        resource = where.resource
        with self._store.lock:
            before = self._store.get(resource, where.namespace, where.name).obj
            after = change(before)
            metadata = after.get("metadata") or {}
            if metadata.get("name") != where.name:
                why = (
                    f"the name of the object ({metadata.get('name')}) does not match the name on the URL ({where.name})"
                )
                raise status.bad_request(why)
            _check_version(where, before, metadata)
            after = _reshaped(resource, _settled(where, before, after), is_patch=request.method == "PATCH")
            with_defaults(resource, after)
            if not where.subresource:
                check_object(resource, after)
                check_update(resource, before, after)
            if "dryRun" in request.query:
                return json_reply(200, after)
            stored = self._store.replace(resource, after)
            removal.finish(self._store, resource, stored.obj)
            return _object_reply(200, stored)

    def _delete(self, request: Request, where: Target) -> Reply:
        options = removal.options(request)
        with self._store.lock:
            obj = self._store.get(where.resource, where.namespace, where.name).obj
            result = removal.remove(self._store, where.resource, obj, options)
        return json_reply(200, result)

    def _delete_collection(self, request: Request, where: Target) -> Reply:
        options = removal.options(request)
        with self._store.lock:
            test = _selector(request, where)
            items = [item.obj for item in self._store.items(where.resource, where.namespace) if test(item.obj)]
            for obj in items:
                removal.remove(self._store, where.resource, obj, options)
        metadata = {"resourceVersion": str(self._store.version)}
        kind = f"{where.resource.kind}List"
        return json_reply(
            200, {"kind": kind, "apiVersion": where.resource.api_version, "metadata": metadata, "items": items}
        )


def _lacks_namespace(where: Target) -> bool:
    return where.resource.namespaced and not where.namespace


def _selector(request: Request, where: Target) -> Test:
    return selector(where.resource, request.query.get("labelSelector", ""), request.query.get("fieldSelector", ""))


def _object_reply(code: int, stored: Stored) -> Reply:
    return Reply(code, stored.text().encode())


def _table(request: Request, where: Target) -> Table | None:
    for option in request.headers.get("accept", "").split(","):
        parameters = {part.strip() for part in option.split(";")}
        if {"as=Table", "g=meta.k8s.io", "v=v1"} <= parameters:
            return Table(where.resource, request.query.get("includeObject", "Metadata"))
    return None


def _body(request: Request, where: Target) -> Object:
    """The object in the body, of the right kind and shape, its metadata present. Raises ApiError 400 or 415."""
    given = request.json()
    kind = "Binding" if where.subresource == "binding" else where.resource.kind
    if not isinstance(given, dict):
        raise status.bad_request("the object provided is unrecognized (must be of type Pod)")
    if given.get("kind", kind) != kind:
        raise status.bad_request(
            f'{given["kind"]} in version "v1" cannot be handled as a {kind}: converting (v1.{given["kind"]}) to '
            f"(core.{kind}): unknown conversion"
        )
    if where.subresource == "binding":
        return {"metadata": {}, **given}
    return {**shaped(where.resource, given), "metadata": given.get("metadata") or {}}


def _reshaped(resource: Resource, obj: Object, *, is_patch: bool) -> Object:
    """The object in its shape; a patch that breaks it is 422 on the real server, not 400."""
    try:
        return shaped(resource, obj)
    except status.ApiError as error:
        if not is_patch:
            raise
        cause = status.Cause("FieldValueInvalid", "patch", f"Invalid value: {error.message}")
        raise status.invalid("", "", [cause]) from error


def _check_version(where: Target, before: Object, metadata: Mapping[str, Any]) -> None:
    resource, present = where.resource, before["metadata"]
    version = metadata.get("resourceVersion")
    if version and version != present["resourceVersion"]:
        raise status.conflict(resource.plural, where.name, group=resource.group)
    uid = metadata.get("uid")
    if uid and uid != present["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {present['uid']}"
        raise status.conflict(resource.plural, where.name, why, resource.group)


_OWN_METADATA: Final = (
    "namespace",
    "uid",
    "creationTimestamp",
    "generateName",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def _settled(where: Target, before: Object, after: Object) -> Object:
    """The next state without what a client cannot change: identity, and either status or all but status."""
    if where.subresource == "status":
        return {**before, "status": after.get("status") or {}}
    kept = {key: before["metadata"][key] for key in _OWN_METADATA if key in before["metadata"]}
    given = {
        key: value
        for key, value in after["metadata"].items()
        if value and key in {"name", "labels", "annotations", "ownerReferences", "finalizers"}
    }
    settled = {**after, "kind": before["kind"], "apiVersion": before["apiVersion"], "metadata": {**given, **kept}}
    if "status" in before and "status" in where.resource.subresources:
        settled["status"] = before["status"]
    if where.resource is NAMESPACES:
        settled["spec"] = before["spec"]
    return settled


def _not_allowed(user: str, verb: str, where: Target) -> status.ApiError:
    resource = where.resource
    plural = f"{resource.plural}/{where.subresource}" if where.subresource else resource.plural
    scope = f'in the namespace "{where.namespace}"' if where.namespace else "at the cluster scope"
    why = f'User "{user}" cannot {verb} resource "{plural}" in API group "{resource.group}" {scope}'
    return status.forbidden(resource.plural, where.name, why, resource.group)


def _bad_dry_run(value: str) -> status.ApiError:
    message = f'Unsupported value: []string{{"{value}"}}: supported values: "All"'
    cause = status.Cause("FieldValueNotSupported", "dryRun", message)
    return status.invalid("CreateOptions", "", [cause], "meta.k8s.io")
