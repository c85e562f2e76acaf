"""The scripted kubelet: runs every pod of its node by the scenario, all on the timers' thread.

It hears of pods from the store, moves each run's script from wait to wait, and ends runs that are deleted, killed,
evicted or over their deadline. While the node is lost nothing moves; what was due happens when it is back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from edgesched.simcluster import podrun, removal, times
from edgesched.simcluster.logs import LogLine
from edgesched.simcluster.podrun import PodRun
from edgesched.simcluster.recorder import Recorder
from edgesched.simcluster.removal import DeleteOptions
from edgesched.simcluster.resources import CONFIGMAPS, PODS, SECRETS, Resource
from edgesched.simcluster.scenario import Publication, Scenario
from edgesched.simcluster.status import Object
from edgesched.simcluster.store import Store, key_of
from edgesched.simcluster.timers import Step, Timers

Publish = Callable[[str, Any, Mapping[str, str], Object], None]
"""`publish(name, value, meta, pod)`: called on the timers' thread, must not block."""

_DEADLINE_WORDS: Final = "Pod was active on the node longer than the specified deadline"


class Kubelet:
    """Runs pods. Methods run on the timers' thread, except `lines` and `has_ended`."""

    pull_backoff_s = 2.0
    retry_s = 0.2

    def __init__(
        self, store: Store, timers: Timers, recorder: Recorder, scenario: Scenario, publish: Publish | None
    ) -> None:
        self._store = store
        self._timers = timers
        self._recorder = recorder
        self._scenario = scenario
        self._publish = publish
        self._runs: dict[str, PodRun] = {}
        self._scripts: dict[str, podrun.Waits] = {}
        self._starts: Counter[tuple[int, str]] = Counter()
        self._frozen: list[Step] | None = None
        self._addresses = 0

    # --- hearing of pods ---

    def notice(self, pod: Object, *, gone: bool) -> None:
        """A pod was stored or removed."""
        uid = pod["metadata"]["uid"]
        if gone:
            self._forget(uid)
            return
        if pod["spec"].get("nodeName") != self._scenario.node.name:
            return
        run = self._runs.get(uid)
        if run is None:
            if pod["status"]["phase"] in {"Pending", "Running"}:
                self._on_node(partial(self._begin, pod))
            return
        run.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._stop_deleted(run)

    def _begin(self, pod: Object) -> None:
        found = self._store.find(PODS, *key_of(pod))
        uid = pod["metadata"]["uid"]
        if uid in self._runs or found is None or found.obj["metadata"]["uid"] != uid:
            return  # the node was lost meanwhile, and the pod went or was seen twice
        outcome = self._scenario.outcome(pod)
        key = (id(outcome), pod["spec"]["containers"][0]["name"])
        codes = outcome.exit_code
        code = codes[min(self._starts[key], len(codes) - 1)]
        self._starts[key] += 1
        self._addresses += 1
        run = PodRun(pod, outcome, code, f"10.42.{self._addresses // 250 % 250}.{self._addresses % 250 + 2}")
        self._runs[run.uid] = run
        self._scripts[run.uid] = podrun.life(run, self)
        self._move(run)
        deadline_s = pod["spec"].get("activeDeadlineSeconds")
        if deadline_s:
            self._timers.after(deadline_s, partial(self._on_node, partial(self._over_deadline, run)))

    def _move(self, run: PodRun) -> None:
        """Run the script up to its next wait."""
        script = self._scripts.get(run.uid)
        if script is None:
            return
        wait_s = next(script, None)
        if wait_s is not None:
            self._timers.after(wait_s, partial(self._on_node, partial(self._resume, run, script)))

    def _resume(self, run: PodRun, script: podrun.Waits) -> None:
        if self._scripts.get(run.uid) is script:
            self._move(run)

    def _on_node(self, step: Step) -> None:
        if self._frozen is None:
            step()
        else:
            self._frozen.append(step)

    def _forget(self, uid: str) -> None:
        self._runs.pop(uid, None)
        self._scripts.pop(uid, None)
        self._recorder.forget(uid)

    # --- what a run needs ---

    def write(self, run: PodRun, status: Object) -> None:
        """Store the pod's next status; a pod that is gone is left alone."""
        metadata = run.pod["metadata"]
        with self._store.lock:
            found = self._store.find(PODS, metadata["namespace"], metadata["name"])
            if found is None or found.obj["metadata"]["uid"] != metadata["uid"]:
                return
            run.pod = self._store.replace(PODS, {**found.obj, "status": status}).obj

    def tell(self, run: PodRun, kind: str, reason: str, message: str, field_path: str = "") -> None:
        """Record an Event about the pod."""
        self._recorder.kubelet(run.pod, "Warning" if kind == "Warning" else "Normal", reason, message, field_path)

    def publish(self, run: PodRun, publication: Publication) -> None:
        """Publish as the pod."""
        if self._publish is not None:
            self._publish(publication.name, publication.value, publication.meta, run.pod)

    def missing_mount(self, run: PodRun) -> str:
        """The first volume whose config map or secret does not exist."""
        for volume in run.pod["spec"].get("volumes") or []:
            for kind, resource, key in (("configMap", CONFIGMAPS, "name"), ("secret", SECRETS, "secretName")):
                source = volume.get(kind)
                if source and not source.get("optional") and self._lookup(run, resource, source[key]) is None:
                    what = f'{resource.singular} "{source[key]}" not found'
                    return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {what}'
        return ""

    def missing_value(self, run: PodRun, container: Object) -> str:
        """The first variable whose config map or secret, or key in it, does not exist."""
        for variable in container.get("env") or []:
            source = variable.get("valueFrom") or {}
            for kind, resource in (("configMapKeyRef", CONFIGMAPS), ("secretKeyRef", SECRETS)):
                reference = source.get(kind)
                if reference and not reference.get("optional"):
                    why = self._missing_key(run, resource, reference)
                    if why:
                        return why
        return ""

    def _missing_key(self, run: PodRun, resource: Resource, reference: Object) -> str:
        name, key = reference["name"], reference["key"]
        found = self._lookup(run, resource, name)
        if found is None:
            return f'{resource.singular} "{name}" not found'
        if key in (found.get("data") or {}) or key in (found.get("stringData") or {}):
            return ""
        return f"couldn't find key {key} in {resource.kind} {run.pod['metadata']['namespace']}/{name}"

    def _lookup(self, run: PodRun, resource: Resource, name: str) -> Object | None:
        found = self._store.find(resource, run.pod["metadata"]["namespace"], name)
        return found.obj if found else None

    # --- ends from outside ---

    def _stop_deleted(self, run: PodRun) -> None:
        metadata = run.pod["metadata"]
        grace_s = float(metadata.get("deletionGracePeriodSeconds") or 0)
        if not run.is_running or run.has_ended:
            self._scripts.pop(run.uid, None)
            self._on_node(partial(self._release, run))
            return
        left_s = (times.parse(metadata["deletionTimestamp"]) - times.now()).total_seconds()
        self._timers.after(min(grace_s, left_s), partial(self._on_node, partial(self._kill, run, 137)))
        if not run.is_stopping:
            self._on_node(partial(self._terminate, run))

    def _terminate(self, run: PodRun) -> None:
        """Send SIGTERM: the script ends the run in its own time, or ignores it until `_kill`."""
        run.is_stopping = True
        for container in run.containers:
            self.tell(
                run, "Normal", "Killing", f"Stopping container {container.name}", f"spec.containers{{{container.name}}}"
            )
        if isinstance(run.outcome.on_term, int):
            self._timers.after(
                run.outcome.term_s, partial(self._on_node, partial(self._kill, run, run.outcome.on_term))
            )

    def _kill(self, run: PodRun, code: int) -> None:
        """End the containers; a deleted pod leaves the API afterwards."""
        if run.uid not in self._runs:
            return
        self._scripts.pop(run.uid, None)
        if run.is_running and not run.has_ended:
            run.is_stopping = True
            podrun.finish(run, self, code)
        if run.pod["metadata"].get("deletionTimestamp"):
            self._timers.after(0.05, partial(self._on_node, partial(self._release, run)))

    def _release(self, run: PodRun) -> None:
        """Delete with grace 0: the node is done with the pod."""
        metadata = run.pod["metadata"]
        with self._store.lock:
            found = self._store.find(PODS, metadata["namespace"], metadata["name"])
            if found and found.obj["metadata"]["uid"] == metadata["uid"]:
                removal.remove(self._store, PODS, found.obj, DeleteOptions(grace_s=0))

    def _over_deadline(self, run: PodRun) -> None:
        if run.uid not in self._runs or run.has_ended:
            return
        self._end_pod(run, "DeadlineExceeded", _DEADLINE_WORDS, conditions=[])
        self.tell(run, "Normal", "DeadlineExceeded", _DEADLINE_WORDS)

    def _end_pod(self, run: PodRun, reason: str, message: str, **extra: Any) -> None:
        """Fail the pod as a whole; its containers' last states stay as they were."""
        self._scripts.pop(run.uid, None)
        run.phase, run.has_ended = "Failed", True
        self.write(run, run.status(reason=reason, message=message, **extra))
        for container in run.containers:
            if container.is_running:
                path = f"spec.containers{{{container.name}}}"
                self.tell(run, "Normal", "Killing", f"Stopping container {container.name}", path)

    def kill_pod(self, uid: str, code: int) -> None:
        """The containers are killed from outside of Kubernetes; a pod that does not run yet has none."""
        run = self._runs.get(uid)
        if run and run.is_running and not run.has_ended:
            self._on_node(partial(self._kill, run, code))

    def evict_pod(self, uid: str, why: str) -> None:
        """The kubelet evicts the pod to save its node."""
        run = self._runs.get(uid)
        if run and not run.has_ended:
            self.tell(run, "Warning", "Evicted", why)
            self._end_pod(run, "Evicted", why)

    # --- the node ---

    def freeze(self) -> None:
        """The node is lost: nothing moves."""
        if self._frozen is None:
            self._frozen = []

    def thaw(self) -> None:
        """The node is back: what was due happens now."""
        due, self._frozen = self._frozen or [], None
        for run in self._runs.values():
            if run.is_running and not run.has_ended:
                self.write(run, run.status())
        for step in due:
            step()

    # --- logs ---

    def lines(self, uid: str, container: str) -> Sequence[LogLine] | None:
        """Lines of a container up to now, None when it never started."""
        run = self._runs.get(uid)
        found = run.lines.get(container) if run else None
        return None if found is None else list(found)

    def has_ended(self, uid: str, container: str) -> bool:
        """No line will follow."""
        run = self._runs.get(uid)
        if run is None or run.has_ended:
            return True
        return any(item.name == container and item.finished for item in [*run.inits, *run.containers])
