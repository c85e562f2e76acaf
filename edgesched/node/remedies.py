"""What to do about each trouble: the one table behind log hints, `status`, `explain` and the operators' handbook.

A row is a log event, a sign in its cause (empty: any) and what a person can do about it, in words to be typed where
there are any. `cleared_by` are the events that say the trouble is over; a trouble that nothing clears is forgotten when
it has not come again for `lasts_s`. A row with `of_plugin` concerns one plugin and stands in its `explain`, not among
the alarms of the node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

HOUR_S: Final = 3600.0
FOREVER_S: Final = float("inf")
CAUSES: Final = ("error", "reason", "message", "detail", "note", "gate")
"""Keys of a log line that tell the cause, best first."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A row of the table; see the module."""

    event: str
    title: str
    remedy: str
    sign: str = ""
    cleared_by: tuple[str, ...] = ()
    lasts_s: float = FOREVER_S
    of_plugin: bool = False

    def fits(self, event: str, cause: str) -> bool:
        """Is this the row of an event with that cause?"""
        return event == self.event and self.sign.lower() in cause.lower()


_ROLES: Final = "give the agent its roles: kubectl apply -k deploy/kubernetes/rbac"
_CLUSTER_AWAY: Final = (
    "check the API server: systemctl status k3s, kubectl get nodes; running pods go on, launches wait and follow"
)


def _broker(kind: str, name: str, flag: str) -> tuple[Trouble, ...]:
    back = (f"{kind}.connected",)
    away = f"check that {name} runs and that {flag} names it; rules on measurements are unknown meanwhile"
    password = f"put the right password into the file of --{kind if kind == 'mqtt' else 'rabbitmq'}-password-file"
    return (
        Trouble(f"{kind}.login_refused", f"{name} refuses the login", password, cleared_by=back),
        Trouble(f"{kind}.unreachable", f"{name} cannot be reached", away, cleared_by=back),
        Trouble(f"{kind}.lost", f"{name} is away", away, cleared_by=back),
        Trouble(
            f"{kind}.rejected",
            "measurements are not readable",
            "look at the plugin or sensor that publishes on this address",
            lasts_s=HOUR_S,
        ),
        Trouble(
            f"{kind}.event_dropped",
            "an event could not be sent",
            "the value in the rule's publish(...) cannot be a measurement: edit the job",
            lasts_s=HOUR_S,
        ),
    )


TROUBLES: Final[tuple[Trouble, ...]] = (
    Trouble(
        "cloud.unavailable",
        "the cloud is away",
        "check the network and --goalstream-url; the jobs in force go on",
        cleared_by=("goals.received",),
    ),
    Trouble(
        "cloud.no-stream",
        "the cloud has no goal stream",
        "check --goalstream-url; the list of goals is polled meanwhile",
        lasts_s=HOUR_S,
    ),
    Trouble("goals.refused", "a list of goals cannot be read", "mend its source; the goals before it stay in force"),
    *_broker("mqtt", "the MQTT broker", "--mqtt-uri"),
    *_broker("amqp", "RabbitMQ", "--rabbitmq-uri"),
    Trouble(
        "mqtt.subscribe_refused",
        "the broker denies topics",
        "grant them in the broker's access list",
        cleared_by=("mqtt.connected",),
    ),
    Trouble(
        "outbox.unavailable",
        "events cannot be delivered",
        "check the broker or cloud that they go to; they are kept and sent when it is back",
        cleared_by=("outbox.back",),
    ),
    Trouble(
        "outbox.full",
        "the outbox is full",
        "bring the broker back: the oldest events are being dropped",
        cleared_by=("outbox.back",),
    ),
    Trouble(
        "outbox.lost",
        "events were lost",
        "they waited too long or were too many; nothing is to be done but to bring the broker back",
        lasts_s=24 * HOUR_S,
    ),
    Trouble("outbox.refused", "events were refused", "see the error; they are not sent again", lasts_s=HOUR_S),
    Trouble(
        "scoreboard.unavailable",
        "the scoreboard is away",
        "check Redis and --scoreboard-uri; the newest values are written when it is back",
        cleared_by=("scoreboard.back",),
    ),
    Trouble("kube.watch.lost", "the cluster forbids", _ROLES, "403", ("kube.connected",)),
    Trouble("kube.watch.lost", "the cluster forbids", _ROLES, "forbidden", ("kube.connected",)),
    Trouble(
        "kube.watch.lost",
        "the cluster refuses the login",
        "renew the token or the kubeconfig of the agent",
        "401",
        ("kube.connected",),
    ),
    Trouble("kube.watch.lost", "the cluster is away", _CLUSTER_AWAY, cleared_by=("kube.connected",)),
    Trouble("kube.unavailable", "the cluster is away", _CLUSTER_AWAY, cleared_by=("kube.back", "kube.connected")),
    Trouble("kube.retrying", "requests to the cluster are retried", _CLUSTER_AWAY, lasts_s=120.0),
    Trouble("kube.missing", "the cluster lacks something", "see the hint of the line", cleared_by=("kube.found",)),
    Trouble(
        "lease.waiting",
        "another agent acts for this node",
        "only one agent may run for a node: stop the other one, or this one",
        cleared_by=("lease.held",),
    ),
    Trouble(
        "lease.lost",
        "another agent took over this node",
        "stop one of the two; kubectl -n ses get leases names the holder",
        cleared_by=("lease.held",),
    ),
    Trouble(
        "lease.off",
        "nothing keeps a second agent of this node from acting",
        _ROLES,
        cleared_by=("lease.held",),
    ),
    Trouble("lease.expired", "the lease of this node ran out", _CLUSTER_AWAY, cleared_by=("lease.held",)),
    Trouble("lease.unknown", "who acts for this node is not known", _CLUSTER_AWAY, cleared_by=("lease.held",)),
    Trouble(
        "clock.untrusted",
        "the clock is not set",
        "check the time service: timedatectl, chronyc tracking; cron slots open when it is set, or after 5 min",
        cleared_by=("clock.trusted",),
    ),
    Trouble("clock.stepped", "the clock was set", "check the time service when it happens again", lasts_s=HOUR_S),
    Trouble(
        "state.unavailable",
        "the state cannot be written",
        "free some space in the state directory: df -h, journalctl --vacuum-size=100M; launches wait meanwhile",
        cleared_by=("state.back",),
    ),
    Trouble(
        "state.corrupt",
        "the state file was damaged",
        "nothing is to be done: it was set aside, and goals and pods were read again; check the disk",
    ),
    Trouble(
        "windows.evicted",
        "rules read more measurements than there is memory for",
        "shorten since= in the rules of the busiest sensors; the oldest samples are not counted meanwhile",
        lasts_s=HOUR_S,
    ),
    Trouble(
        "agent.superseded",
        "another agent took over this node",
        "stop one of the two; kubectl -n ses get leases names the holder",
    ),
    Trouble(
        "goals.no_source",
        "no jobs are asked for",
        "name a job with --job or a cloud with --goalstream-url",
        cleared_by=("goal.received",),
    ),
    Trouble("goals.file_refused", "a job file is wrong", "see the lines before: edgesched check FILE", lasts_s=HOUR_S),
    Trouble("goals.file_unreadable", "a job file cannot be read", "check its name and its rights", lasts_s=HOUR_S),
    Trouble("goals.not_for_this_node", "a job names other nodes", "add this node under nodes, or set --node"),
    Trouble(
        "thread.restarting",
        "a part of the agent failed and was started again",
        "report it with the lines of the log around it",
        lasts_s=600.0,
    ),
    Trouble(
        "engine.step_failed",
        "an event could not be decided on",
        "report it with this line of the log; everything else goes on",
        lasts_s=HOUR_S,
    ),
    # -- one plugin ---------------------------------------------------------------------------------------------------
    Trouble(
        "plugin.waiting",
        "the GPU is taken",
        "it starts when the holder ends; edgesched explain tells about the holder",
        "waiting for GPU",
        of_plugin=True,
    ),
    Trouble(
        "plugin.waiting",
        "another plugin has its turn",
        "it starts when the holder ends; --policy default would start both",
        "waiting for its turn",
        of_plugin=True,
    ),
    Trouble("plugin.waiting", "the cluster is away", _CLUSTER_AWAY, "the cluster", of_plugin=True),
    Trouble(
        "plugin.waiting",
        "an operator paused it",
        "edgesched resume --all, or with the --job or --plugin of the pause",
        "paused",
        of_plugin=True,
    ),
    *(
        Trouble(
            "plugin.waiting",
            "its image is missing",
            "check the image's name and tag, the registry and the pull secret: kubectl -n ses describe pod POD",
            sign,
            of_plugin=True,
        )
        for sign in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
    ),
    Trouble(
        "plugin.waiting",
        "no node takes its pod",
        "compare what it asks for with kubectl describe node; edit selector or resources of the job",
        "unschedulable",
        of_plugin=True,
    ),
    Trouble(
        "plugin.waiting",
        "its container cannot be made",
        "make the secret or ConfigMap that its pod names: kubectl -n ses describe pod POD",
        "CreateContainer",
        of_plugin=True,
    ),
    Trouble(
        "plugin.failed",
        "its image is missing",
        "check the image's name and tag, the registry and the pull secret",
        "Image",
        of_plugin=True,
    ),
    Trouble("plugin.failed", "it took too much memory", "raise limit.memory of the plugin", "OOM", of_plugin=True),
    Trouble("plugin.failed", "the cluster forbids", _ROLES, "forbidden", of_plugin=True),
    Trouble(
        "plugin.failed", "the node refuses it", "edit the job, or see docs/admission.md", "refused", of_plugin=True
    ),
    Trouble(
        "plugin.failed",
        "it fails",
        "read its last words in edgesched explain, mend the plugin or its arguments; it is tried again by itself",
        of_plugin=True,
    ),
    Trouble(
        "plugin.failing",
        "it fails again and again",
        "read its last words in edgesched explain, mend the plugin or its arguments; it is tried again by itself",
        of_plugin=True,
    ),
    Trouble("plugin.missed", "it waited too long", "see what held it in edgesched explain", of_plugin=True),
    Trouble("slot.missed", "a cron slot was missed", "see what held it in edgesched explain", of_plugin=True),
    Trouble(
        "rule.unknown",
        "a rule is unknown",
        "check that what it reads is published here, under this name and with these tags",
        of_plugin=True,
    ),
    Trouble("rule.error", "a rule cannot be evaluated", "edit the rule: edgesched eval tries it out", of_plugin=True),
    Trouble("rule.refused", "a rule is wrong", "edit the job: edgesched check FILE", of_plugin=True),
    Trouble(
        "pod.foreign",
        "a pod of another scheduler runs this plugin",
        "it is left alone; stop the other scheduler, or wait for its end",
        of_plugin=True,
    ),
)


def cause_of(fields: Mapping[str, Any]) -> str:
    """Return what a log line names as the cause, empty when it names none."""
    return next((str(fields[key]) for key in CAUSES if fields.get(key)), "")


def trouble_of(event: str, fields: Mapping[str, Any]) -> Trouble | None:
    """Return the row of a log line, None when it tells of no trouble."""
    rows = _BY_EVENT.get(event)
    if rows is None:
        return None
    cause = cause_of(fields)
    return next((row for row in rows if row.fits(event, cause)), None)


def remedy_for(event: str, cause: str) -> str:
    """Return what to do about an event with that cause, empty when nothing is known."""
    return next((row.remedy for row in _BY_EVENT.get(event, ()) if row.fits(event, cause)), "")


def _by_event() -> Iterator[tuple[str, tuple[Trouble, ...]]]:
    for event in dict.fromkeys(row.event for row in TROUBLES):
        yield event, tuple(row for row in TROUBLES if row.event == event)


_BY_EVENT: Final = dict(_by_event())
CLEARING: Final = frozenset(event for row in TROUBLES for event in row.cleared_by)
