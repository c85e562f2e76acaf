"""`/metrics`, by way of the Prometheus client library; `docs/metrics.md` is made from `TABLE`.

Counts of what happened are taken from the lines of the log (`Counters.hear`), so they agree with it by construction.
Reasons are labels, so they are cut to a few words and their number is bounded. What the agent is just now is read from
it without asking the engine: a scrape costs the engine nothing, and answers when the engine hangs.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from edgesched import __version__
from edgesched.core.model import NS_PER_S, PodView
from edgesched.core.plan.effects import DeletePod, FetchLog, LaunchPod
from edgesched.ports import PodRunner

if TYPE_CHECKING:
    from edgesched.node.main import Agent

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
MOST_REASONS: Final = 30
LONGEST_REASON: Final = 40
KUBE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
HTTP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
VERDICTS: Final = ("true", "false", "unknown", "error", "not evaluated")
_NOT_A_WORD: Final = re.compile(r"[^A-Za-z ]+")


class Row(NamedTuple):
    """A metric: its kind, what it tells and its label, if it has one."""

    kind: str
    about: str
    label: str = ""


TABLE: Final[dict[str, Row]] = {
    "edgesched_build_info": Row("gauge", "The program.", "version"),
    "edgesched_ready": Row("gauge", "Whether goals are loaded and the cluster is known."),
    "edgesched_alarms": Row("gauge", "Open alarms."),
    "edgesched_connected": Row("gauge", "Whether a peer is connected.", "peer"),
    "edgesched_heartbeat_age_seconds": Row("gauge", "Age of a thread's last heartbeat.", "thread"),
    "edgesched_thread_restarts_total": Row("counter", "Threads that failed and were started again.", "thread"),
    "edgesched_jobs": Row("gauge", "Jobs in force."),
    "edgesched_goals_age_seconds": Row("gauge", "Time since a source last told its list of goals.", "source"),
    "edgesched_rules": Row("gauge", "Science rules in force."),
    "edgesched_rules_by_verdict": Row("gauge", "Rules in force by their last verdict.", "verdict"),
    "edgesched_rule_evaluations_total": Row("counter", "Evaluations of rules."),
    "edgesched_rule_errors_total": Row("counter", "Rules that began to fail."),
    "edgesched_publish_actions_total": Row("counter", "Values that rules published."),
    "edgesched_set_actions_total": Row("counter", "Values that rules set."),
    "edgesched_slots_opened_total": Row("counter", "Cron slots that asked for a run: claimed, missed or still held."),
    "edgesched_slots_claimed_total": Row("counter", "Cron slots that became a run."),
    "edgesched_slots_missed_total": Row("counter", "Cron slots that were not served.", "reason"),
    "edgesched_runs_decided_total": Row("counter", "Plugin runs that rules asked for."),
    "edgesched_launches_total": Row("counter", "Pods created."),
    "edgesched_completions_total": Row("counter", "Plugin runs that completed."),
    "edgesched_failures_total": Row("counter", "Plugin runs that failed.", "reason"),
    "edgesched_runs_missed_total": Row("counter", "Plugin runs that waited too long.", "reason"),
    "edgesched_runs_waiting": Row("gauge", "Plugin runs that wait to be launched."),
    "edgesched_queue": Row("gauge", "Waiting plugin runs by what holds them.", "reason"),
    "edgesched_steps_total": Row("counter", "Events decided on."),
    "edgesched_step_failures_total": Row("counter", "Events that could not be decided on."),
    "edgesched_mailbox_depth": Row("gauge", "Events waiting for the engine."),
    "edgesched_mailbox_dropped_total": Row("counter", "Measurements dropped because too many waited."),
    "edgesched_outbox_waiting": Row("gauge", "Messages not confirmed yet."),
    "edgesched_outbox_age_seconds": Row("gauge", "Age of the oldest message that waits for a peer; 0 without one."),
    "edgesched_outbox_dropped_total": Row("counter", "Messages lost for want of room."),
    "edgesched_kube_requests_waiting": Row("gauge", "Requests to the cluster that are not answered."),
    "edgesched_kube_request_seconds": Row("histogram", "What the cluster took for a request about a pod.", "verb"),
    "edgesched_kube_watch_losses_total": Row("counter", "Losses of the connection to the cluster."),
    "edgesched_kube_watch_reconnects_total": Row("counter", "Connections to the cluster, the first one included."),
    "edgesched_kube_relists_total": Row("counter", "Complete lists that the cluster made us read again."),
    "edgesched_http_answer_seconds": Row("histogram", "What the agent took for an answer over HTTP."),
    "edgesched_clock_jumps_total": Row("counter", "Steps of the wall clock."),
}

_HEARD: Final[dict[str, tuple[str, str]]] = {
    "plugin.queued": ("edgesched_runs_decided_total", ""),
    "plugin.scheduled": ("edgesched_launches_total", ""),
    "plugin.complete": ("edgesched_completions_total", ""),
    "plugin.failed": ("edgesched_failures_total", "reason"),
    "plugin.missed": ("edgesched_runs_missed_total", "reason"),
    "slot.missed": ("edgesched_slots_missed_total", "reason"),
    "rule.error": ("edgesched_rule_errors_total", ""),
    "rule.published": ("edgesched_publish_actions_total", ""),
    "rule.set": ("edgesched_set_actions_total", ""),
    "kube.watch.lost": ("edgesched_kube_watch_losses_total", ""),
    "kube.connected": ("edgesched_kube_watch_reconnects_total", ""),
    "kube.relist": ("edgesched_kube_relists_total", ""),
    "clock.stepped": ("edgesched_clock_jumps_total", ""),
    "thread.restarting": ("edgesched_thread_restarts_total", "thread"),
    "engine.step_failed": ("edgesched_step_failures_total", ""),
}
"""Log lines that are counted: the counter, and the key of the line that its label is."""


class Counters:
    """What happened so far. Callable from any thread."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self.heard_s: dict[str, float] = {}
        self.slots_missed = 0
        self.slots_claimed = 0
        self._lock = threading.Lock()
        self._reasons: dict[str, set[str]] = {}
        self._counters = {name: self._counter(name) for name, _ in _HEARD.values()}
        self._kube = self._histogram("edgesched_kube_request_seconds", KUBE_BUCKETS)
        self._http = self._histogram("edgesched_http_answer_seconds", HTTP_BUCKETS)

    def _counter(self, name: str) -> Counter:
        row = TABLE[name]
        return Counter(name, row.about, [row.label] if row.label else [], registry=self.registry)

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> Histogram:
        row = TABLE[name]
        return Histogram(name, row.about, [row.label] if row.label else [], registry=self.registry, buckets=buckets)

    def hear(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take one line of the log."""
        counted = _HEARD.get(event)
        if counted is None:
            return
        name, key = counted
        amount = fields.get("count", 1) if event == "slot.missed" else 1
        counter = self._counters[name]
        if key:
            counter = counter.labels(self._bounded(name, _short(str(fields.get(key, "")))))
        counter.inc(amount)
        if event == "slot.missed":
            self.slots_missed += amount
        elif event == "plugin.queued" and fields.get("slot") and not fields.get("retry"):
            self.slots_claimed += 1

    def _bounded(self, name: str, reason: str) -> str:
        with self._lock:
            known = self._reasons.setdefault(name, set())
            if reason not in known and len(known) >= MOST_REASONS:
                return "other"
            known.add(reason)
            return reason

    def goals_heard(self, source: str) -> None:
        """A source told its list of goals."""
        self.heard_s[source] = time.monotonic()

    @contextmanager
    def asking(self, verb: str) -> Iterator[None]:
        """Time a request to the cluster."""
        with self._kube.labels(verb).time():
            yield

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Time an answer over HTTP."""
        with self._http.time():
            yield


class TimedPods:
    """A `PodRunner` whose requests are timed, failed ones too."""

    def __init__(self, pods: PodRunner, counters: Counters) -> None:
        self._pods = pods
        self._counters = counters

    def launch(self, effect: LaunchPod) -> PodView:
        """Create the pod."""
        with self._counters.asking("create"):
            return self._pods.launch(effect)

    def delete(self, effect: DeletePod) -> None:
        """Delete the pod."""
        with self._counters.asking("delete"):
            self._pods.delete(effect)

    def log(self, effect: FetchLog) -> tuple[str, ...]:
        """Read the pod's last lines."""
        with self._counters.asking("log"):
            return self._pods.log(effect)


class Page:
    """The text of `/metrics`."""

    def __init__(self, agent: Agent) -> None:
        self._registry = agent.counters.registry
        self._registry.register(_Gauges(agent))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return it."""
        return generate_latest(self._registry)


class _Gauges(Collector):
    """What the agent is just now."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._opened = 0

    def collect(self) -> Iterator[Metric]:
        """Return all families."""
        agent = self._agent
        for name, value in agent.gauges().items():
            yield _family(name, {"": float(value)})
        yield _family("edgesched_build_info", {__version__: 1.0})
        yield _family("edgesched_connected", {name: float(is_up) for name, is_up in agent.connections().items()})
        ages = agent.supervisor.ages()
        yield _family("edgesched_heartbeat_age_seconds", {name: round(age_s, 3) for name, (age_s, _) in ages.items()})
        now_s = time.monotonic()
        heard = agent.counters.heard_s.copy()
        yield _family("edgesched_goals_age_seconds", {name: round(now_s - at_s, 3) for name, at_s in heard.items()})
        yield _family("edgesched_queue", self._queue())
        yield from self._rules()

    def _queue(self) -> dict[str, float]:
        waiting: dict[str, float] = {}
        for run_id in list(self._agent.state.waiting):
            run = self._agent.state.runs.get(run_id)
            if run is not None:
                why = _short(run.why) or "none"
                waiting[why] = waiting.get(why, 0.0) + 1.0
        return waiting

    def _rules(self) -> Iterator[Metric]:
        # a list is copied in one go, so that the engine may go on
        rules = list(self._agent.state.rules.values())
        found = Tally("not evaluated" if rule.verdict is None else rule.verdict.word for rule in rules)
        held = sum(len(rule.blocked) for rule in rules if rule.blocked)
        yield _family("edgesched_rules_by_verdict", {word: float(found[word]) for word in VERDICTS})
        counters = self._agent.counters
        # a rule that goes takes its held slots with it; a counter must not fall
        self._opened = max(self._opened, counters.slots_claimed + counters.slots_missed + held)
        yield _family("edgesched_slots_opened_total", {"": float(self._opened)})
        yield _family("edgesched_slots_claimed_total", {"": float(counters.slots_claimed)})


def _family(name: str, samples: Mapping[str, float]) -> Metric:
    row = TABLE[name]
    labels = [row.label] if row.label else []
    kinds: dict[str, Callable[..., Any]] = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}
    family = kinds[row.kind](name, row.about, labels=labels)
    for label, value in samples.items():
        family.add_metric([label] if labels else [], value)
    return family  # type: ignore[no-any-return]


def outbox_age_s(oldest_ns: int, now_ns: int) -> float:
    """Return the age of the oldest message that waits, given its wall-clock time, 0 for none."""
    return max(0.0, round((now_ns - oldest_ns) / NS_PER_S, 3)) if oldest_ns else 0.0


def _short(reason: str) -> str:
    """Return the words of a reason without its numbers, names of pods and details, as a label."""
    words = _NOT_A_WORD.sub(" ", reason.partition(":")[0].partition("(")[0]).split()
    return " ".join(words)[:LONGEST_REASON]
