"""What the cluster shows, turned into the life of runs.

The cluster is the truth: a run goes forward as its pod does, however many states were skipped in between. Pods with our
labels that we do not know are adopted; pods with the reference's labels only are somebody else's: they occupy their
plugin and the GPU and are left alone.
"""

from __future__ import annotations

from typing import Final

from edgesched.core.model import NS_PER_S, Instant, Plugin, PluginSpec, PodView
from edgesched.core.plan.announce import log, publish_run, say_run, tell
from edgesched.core.plan.effects import DeletePod
from edgesched.core.plan.ends import (
    DURATION_REACHED,
    complete,
    fail,
    forget,
    remove_pod,
    report_orphan,
    tell_failure,
)
from edgesched.core.plan.events import EffectDone, PodEventObserved, PodsListed
from edgesched.core.plan.launching import request_launch
from edgesched.core.plan.ledger import SlotKey
from edgesched.core.plan.lifecycle import RunState, may_follow
from edgesched.core.plan.state import PluginKey, Run
from edgesched.core.plan.turn import Turn
from edgesched.core.pods import pod_name
from edgesched.core.rules import parse_duration_ns

DELETED_OUTSIDE: Final = "plugin deleted from external"
MAX_ATTEMPTS: Final = 3
YOUNG_NS: Final = 60 * NS_PER_S

PATIENT_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "RegistryUnavailable",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Reasons of a waiting container that may heal: an image may be pushed, a secret may be created."""


def observe_list(turn: Turn, listed: PodsListed) -> None:
    """Take a complete list: what is in it is observed, what we believed to be there and is not in it is gone."""
    state = turn.state
    names = {pod.name for pod in listed.pods}
    for pod in listed.pods:
        observe(turn, pod, gone=False)
    for run in list(state.runs.values()):
        if run.pod is None or run.pod_gone or run.pod_name in names or _came_later(turn, run.pod, listed):
            continue
        observe(turn, run.pod, gone=True)
    for name in [name for name in state.foreign if name not in names]:
        del state.foreign[name]
    if not state.pods_known:
        state.pods_known = True
        running = sum(1 for run in state.runs.values() if run.is_active and run.pod is not None)
        log(turn, "pods.adopted", {"pods": len(state.run_of_pod), "running": running, "foreign": len(state.foreign)})


def _came_later(turn: Turn, pod: PodView, listed: PodsListed) -> bool:
    """Whether a pod was created while the list was on its way: the answer to the create was quicker.

    Only of a young pod is that believed: a cluster that lost its store counts its versions from the beginning.
    """
    return 0 < listed.version < pod.version and turn.now.ts_ns - pod.created_ns < YOUNG_NS


def observe(turn: Turn, pod: PodView, *, gone: bool) -> None:
    """Take one pod as it is now, or as it was last seen before it went."""
    state = turn.state
    if not pod.run_id:
        _observe_foreign(turn, pod, gone=gone)
        return
    if pod.agent.lower() != state.settings.vsn.lower():
        return
    run = state.runs.get(pod.run_id)
    if run is None:
        if gone:
            return
        if pod.run_id in state.told:
            # its end has been told: whoever made this pod again, it is not a run any more
            if not pod.deleting:
                turn.effects.append(DeletePod(f"delete:{pod.run_id}", pod.name, pod.uid, state.settings.delete_grace_s))
            return
        run = _adopt(turn, pod)
    known = run.pod
    if known is not None and known.uid and pod.uid != known.uid:
        if gone or run.pod_gone:
            return
        # the pod was deleted and made anew under our eyes: the old one's end is the run's end
        _vanish(turn, run)
        return
    if known is not None and 0 < pod.version < known.version and not gone:
        # the answer to the create was slower than the watch
        return
    run.pod = pod
    state.run_of_pod[pod.name] = run.run_id
    if run.run_id in state.waiting and not state.pods_known:
        _recognise(turn, run, pod)
    _advance(turn, run, pod)
    if gone:
        _vanish(turn, run)


def launch_done(turn: Turn, run: Run, event: EffectDone) -> None:
    """Take the answer to a create."""
    if event.outcome == "ok":
        run.why = ""
        if event.pod is not None:
            observe(turn, event.pod, gone=False)
        if not run.is_active and run.ending and not run.pod_gone:
            remove_pod(turn, run, grace_s=turn.state.settings.delete_grace_s)
    elif event.outcome == "unavailable":
        run.why = f"the cluster is away: {event.detail}"
        log(turn, "plugin.waiting", {"job": run.job_id, "plugin": run.plugin.name, "reason": run.why}, level="warning")
    elif event.status == 409 and run.attempt < MAX_ATTEMPTS and run.is_active:
        # a pod of somebody else has our name
        run.attempt += 1
        run.pod_name = pod_name(run.plugin.name, f"{run.key}/{run.attempt}")
        request_launch(turn, run)
    else:
        fail(turn, run, event.detail or "the cluster refused the pod")


def pod_event(turn: Turn, event: PodEventObserved) -> None:
    """Pass on what Kubernetes says about a pod of ours. Nothing of it is fatal; warnings make a line in the log."""
    run = turn.state.runs.get(turn.state.run_of_pod.get(event.pod_name, ""))
    if run is None or (run.pod is not None and event.pod_uid and run.pod.uid != event.pod_uid):
        return
    extra = {"reason": event.reason, "message": event.message}
    if event.warning and run.is_active:
        say_run(turn, run, "plugin.event", extra, level="warning")
    else:
        publish_run(turn, run, "plugin.event", extra)


# -- one pod ----------------------------------------------------------------------------------------------------------


def _advance(turn: Turn, run: Run, pod: PodView) -> None:
    if not run.is_active:
        return
    if may_follow(run.state, RunState.SCHEDULED):
        run.state = RunState.SCHEDULED
        turn.state.waiting.pop(run.run_id, None)
        if run.launched is None:
            run.launched = turn.now
        say_run(turn, run, "plugin.scheduled", {})
        # the name of older releases; consumers still pair it with the end of the run
        publish_run(turn, run, "plugin.launched", {})
    if pod.phase == "Succeeded":
        _succeeded(turn, run, pod)
    elif pod.phase == "Failed":
        _failed(turn, run, pod)
    elif pod.phase == "Running":
        _running(turn, run, pod)
    else:
        _pending(turn, run, pod)


def _pending(turn: Turn, run: Run, pod: PodView) -> None:
    settings = turn.state.settings
    if pod.unschedulable:
        _lose_patience(turn, run, f"unschedulable: {pod.unschedulable}", settings.unschedulable_s)
        return
    if pod.node_name and may_follow(run.state, RunState.INITIALIZING):
        run.state = RunState.INITIALIZING
        say_run(turn, run, "plugin.initializing", {})
    for container in (pod.init, pod.container):
        if container is not None and container.state == "waiting" and container.reason in PATIENT_REASONS:
            text = f"{container.reason}: {container.message}" if container.message else container.reason
            _lose_patience(turn, run, text, settings.image_wait_s)
            return
    _regain_patience(turn, run)


def _running(turn: Turn, run: Run, pod: PodView) -> None:
    _regain_patience(turn, run)
    container = pod.container
    if container.state != "running":
        return
    if may_follow(run.state, RunState.RUNNING):
        run.state = RunState.RUNNING
        say_run(turn, run, "plugin.running", {})
        _limit_duration(turn, run, pod)


def _limit_duration(turn: Turn, run: Run, pod: PodView) -> None:
    if run.duration_s is not None:
        started_ns = pod.container.started_ns
        ran_ns = 0 if started_ns is None else max(0, turn.now.ts_ns - started_ns)
        left_ns = max(0, round(run.duration_s * NS_PER_S) - ran_ns)
        turn.state.wakeups.boot.set(("duration", run.run_id), turn.now.boot_ns + left_ns)


def _succeeded(turn: Turn, run: Run, pod: PodView) -> None:
    reason = run.ending
    if not reason and pod.container.reason not in ("", "Completed"):
        # a child of the plugin was killed for memory while the plugin itself ended well
        reason = pod.container.reason
    if not reason and pod.deleting:
        # somebody asked it to stop, and it stopped well
        reason = DELETED_OUTSIDE
    if run.ending and run.ending != DURATION_REACHED:
        fail(turn, run, run.ending)
    else:
        complete(turn, run, reason=reason)


def _failed(turn: Turn, run: Run, pod: PodView) -> None:
    if run.ending == DURATION_REACHED:
        complete(turn, run, reason=DURATION_REACHED)
        return
    if run.ending:
        fail(turn, run, run.ending)
        return
    init = pod.init
    if init is not None and init.state == "terminated" and init.exit_code:
        fail(turn, run, init.reason or "Error", message="init container failed", exit_code=init.exit_code)
        return
    container = pod.container
    # a plugin that is asked to stop by somebody else may end with any code: the asking is what happened
    reason = pod.reason or (DELETED_OUTSIDE if pod.deleting else container.reason) or "Error"
    fail(turn, run, reason, message=pod.message or container.message, exit_code=container.exit_code)


def _vanish(turn: Turn, run: Run) -> None:
    """The pod does not exist any more."""
    run.pod_gone = True
    if run.is_active:
        if run.ending == DURATION_REACHED:
            complete(turn, run, reason=DURATION_REACHED)
        else:
            # a pod that was deleted because its node is lost says so
            lost = run.pod if run.pod is not None and not run.ending else None
            reason, message = (lost.reason, lost.message) if lost is not None else ("", "")
            fail(turn, run, run.ending or reason or DELETED_OUTSIDE, message=message)
    elif run.awaits_log:
        tell_failure(turn, run)
    forget(turn, run)


def _lose_patience(turn: Turn, run: Run, why: str, patience_s: float) -> None:
    if run.why == why:
        return
    wakeups = turn.state.wakeups.boot
    if ("patience", run.run_id) not in wakeups.current:
        wakeups.set(("patience", run.run_id), turn.boot_deadline(patience_s))
    # the kubelet alternates between two words for one trouble: the first is news, the rest is in `explain`
    fresh = not run.why
    run.why = why
    plugin = turn.state.plugins.get(run.plugin_key)
    if fresh:
        fields = {"job": run.job_id, "plugin": run.plugin.name, "pod": run.pod_name, "reason": why}
        log(turn, "plugin.waiting", fields, level="warning")
    if plugin is not None:
        tell(turn, plugin, "plugin.waiting", {"reason": why})


def _regain_patience(turn: Turn, run: Run) -> None:
    if run.why:
        run.why = ""
        turn.state.wakeups.boot.clear(("patience", run.run_id))


# -- pods that we did not know ----------------------------------------------------------------------------------------


def _observe_foreign(turn: Turn, pod: PodView, *, gone: bool) -> None:
    foreign = turn.state.foreign
    if gone or pod.phase in ("Succeeded", "Failed"):
        foreign.pop(pod.name, None)
        return
    if pod.name not in foreign:
        fields = {"pod": pod.name, "plugin": pod.plugin, "job": pod.job_id}
        log(turn, "pod.foreign", fields, level="warning")
    foreign[pod.name] = pod


def _adopt(turn: Turn, pod: PodView) -> Run:
    """Make a run of a pod that carries our labels; its job may still be on its way.

    How far the pod has come was told by the agent that made it, so only what follows is news.
    """
    state = turn.state
    key = next((key for key in state.plugins if key == (pod.job_id, pod.plugin)), None)
    known = state.plugins.get(key) if key is not None else None
    plugin = known.plugin if known is not None else Plugin(pod.plugin, PluginSpec(image=""))
    state.run_counter += 1
    run = Run(
        run_id=pod.run_id,
        number=state.run_counter,
        key=f"adopted/{pod.name}",
        plugin_key=PluginKey(pod.job_id, pod.plugin),
        goal_id=pod.goal_id,
        plugin=plugin,
        pod_name=pod.name,
        instance=pod.instance,
        created=turn.now,
        cause="adopted",
        state=_reached(pod),
        launched=_created(turn, pod),
    )
    run.pod = pod
    state.runs[run.run_id] = run
    if known is None:
        state.wakeups.boot.set(("orphan", run.run_id), turn.boot_deadline(state.settings.hold_missing_s))
    else:
        attach(turn, run)
    return run


def _recognise(turn: Turn, run: Run, pod: PodView) -> None:
    """A slot that was open at our start had been served before: go on where that run is."""
    state = turn.state
    del state.waiting[run.run_id]
    state.wakeups.boot.clear(("queue", run.run_id))
    state.wakeups.wall.clear(("queue", run.run_id))
    run.state, run.launched, run.why = _reached(pod), _created(turn, pod), ""
    if run.state is RunState.RUNNING:
        _limit_duration(turn, run, pod)


def _reached(pod: PodView) -> RunState:
    if pod.phase == "Running" and pod.container.state == "running":
        return RunState.RUNNING
    return RunState.INITIALIZING if pod.phase == "Pending" and pod.node_name else RunState.SCHEDULED


def _created(turn: Turn, pod: PodView) -> Instant:
    """Return when a pod was created, by both clocks."""
    ago_ns = max(0, turn.now.ts_ns - pod.created_ns) if pod.created_ns else 0
    return Instant(turn.now.ts_ns - ago_ns, turn.now.boot_ns - ago_ns)


def attach(turn: Turn, run: Run) -> None:
    """Give an adopted run to its plugin: it occupies the plugin, and its creation claims the slot that it served."""
    state = turn.state
    plugin = state.plugins[run.plugin_key]
    run.plugin = plugin.plugin
    state.wakeups.boot.clear(("orphan", run.run_id))
    for rule in plugin.rules:
        if run.duration_s is None and "duration" in rule.rule.parameters:
            run.duration_s = parse_duration_ns(rule.rule.parameters["duration"]) / NS_PER_S
            if run.pod is not None and run.state is RunState.RUNNING:
                _limit_duration(turn, run, run.pod)
        if run.pod is not None and run.pod.created_ns:
            for expr, fire_ns in rule.bound.latest_slots(run.pod.created_ns):
                state.ledger.claim(SlotKey(run.job_id, plugin.key.name, expr), fire_ns)
        state.wakeups.unarmed[rule.rule_id] = None
    if not run.is_active:
        return
    if plugin.active is None:
        plugin.active = run
    elif plugin.active is not run:
        # one plugin, one run: the younger one goes
        run.ending = "a second run of the plugin"
        remove_pod(turn, run, grace_s=state.settings.delete_grace_s)


def orphaned(turn: Turn, run: Run) -> None:
    """The job of an adopted run did not come."""
    if run.plugin_key not in turn.state.plugins and run.is_active:
        report_orphan(turn, run)
