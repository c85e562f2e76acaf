"""`/metrics` in Prometheus's text format.

Written here and not with a client library: that costs 4 MiB of a node's memory for what is a page of text. A test holds
the text to what `promtool check metrics` asks: names, base units, help, counters that end in `_total`.

Counts of what happened are taken from the lines of the log (`Counters.hear`), so they agree with it by construction.
Reasons are labels, so they are cut to a few words and their number is bounded.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgesched import __version__
from edgesched.core.model import NS_PER_S, Instant
from edgesched.core.plan.state import NodeState

if TYPE_CHECKING:
    from edgesched.node.main import Agent

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_REASONS: Final = 30
LONGEST_REASON: Final = 40
PAGE_BYTES: Final = 4096
_NOT_A_WORD: Final = re.compile(r"[^A-Za-z ]+")

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[Labels, float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A family: its samples by their labels, as pairs of name and value."""

    name: str
    kind: str
    about: str
    samples: Samples

    def text(self) -> str:
        """Return the family in the text format."""
        lines = [f"# HELP {self.name} {self.about}", f"# TYPE {self.name} {self.kind}"]
        for labels, value in self.samples.items():
            told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
            lines.append(f"{self.name}{{{told}}} {value:.10g}" if told else f"{self.name} {value:.10g}")
        return "\n".join(lines) + "\n"


class Counters:
    """Counts what the log tells. Callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[Labels, float]] = {}
        for name, _, label in _COUNTED.values():
            self._counts.setdefault(name, {} if label else {(): 0.0})

    def hear(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take one line of the log."""
        counted = _COUNTED.get(event)
        if counted is None:
            return
        name, _, label = counted
        with self._lock:
            samples = self._counts[name]
            labels: Labels = ()
            if label:
                labels = ((label, _short(str(fields.get(label, "")))),)
                if labels not in samples and len(samples) >= MOST_REASONS:
                    labels = ((label, "other"),)
            samples[labels] = samples.get(labels, 0.0) + 1.0

    def metrics(self) -> list[Metric]:
        """Return the counters."""
        about = {name: text for name, text, _ in _COUNTED.values()}
        with self._lock:
            return [Metric(name, "counter", about[name], dict(samples)) for name, samples in self._counts.items()]


_COUNTED: Final[dict[str, tuple[str, str, str]]] = {
    "plugin.queued": ("edgesched_runs_decided_total", "Plugin runs that rules asked for.", ""),
    "plugin.scheduled": ("edgesched_launches_total", "Pods created.", ""),
    "plugin.complete": ("edgesched_completions_total", "Plugin runs that completed.", ""),
    "plugin.failed": ("edgesched_failures_total", "Plugin runs that failed.", "reason"),
    "plugin.missed": ("edgesched_runs_missed_total", "Plugin runs that waited too long.", "reason"),
    "slot.missed": ("edgesched_slots_missed_total", "Cron slots that were not served.", "reason"),
    "rule.error": ("edgesched_rule_errors_total", "Rules that began to fail.", ""),
    "rule.published": ("edgesched_publish_actions_total", "Values that rules published.", ""),
    "rule.set": ("edgesched_set_actions_total", "Values that rules set.", ""),
    "kube.watch.lost": ("edgesched_kube_watch_losses_total", "Losses of the connection to the cluster.", ""),
    "kube.relist": ("edgesched_kube_relists_total", "Complete lists that the cluster made us read again.", ""),
    "clock.stepped": ("edgesched_clock_jumps_total", "Steps of the wall clock.", ""),
    "thread.restarting": ("edgesched_thread_restarts_total", "Threads that failed and were started again.", "thread"),
    "engine.step_failed": ("edgesched_step_failures_total", "Events that could not be decided on.", ""),
}


def rules_by_verdict(state: NodeState, now: Instant) -> dict[str, int]:  # noqa: ARG001 - asked of the engine
    """Count the rules in force by their last verdict."""
    found = dict.fromkeys(("true", "false", "unknown", "error", "not evaluated"), 0)
    for rule in state.rules.values():
        found["not evaluated" if rule.verdict is None else rule.verdict.word] += 1
    return found


def render(agent: Agent, verdicts: Mapping[str, int] | None) -> str:
    """Return the page; `verdicts` None when the engine was too busy to be asked."""
    families = [*_gauges(agent), *agent.counters.metrics()]
    if verdicts is not None:
        samples: dict[Labels, float] = {(("verdict", word),): float(count) for word, count in verdicts.items()}
        families.append(Metric("edgesched_rules_by_verdict", "gauge", "Rules by their last verdict.", samples))
    return "".join(family.text() for family in families)


def _gauges(agent: Agent) -> Iterator[Metric]:
    yield Metric("edgesched_build_info", "gauge", "The program.", {(("version", __version__),): 1.0})
    for name, kind, about, value in agent.gauges():
        yield Metric(name, kind, about, {(): float(value)})
    yield Metric("edgesched_alarms", "gauge", "Open alarms.", {(): float(len(agent.alarms.open()))})
    connected: dict[Labels, float] = {
        (("peer", name),): float(is_connected) for name, is_connected in agent.connections().items()
    }
    yield Metric("edgesched_connected", "gauge", "Whether a peer is connected.", connected)
    ages: dict[Labels, float] = {
        (("thread", name),): round(age_s, 3) for name, (age_s, _) in agent.supervisor.ages().items()
    }
    yield Metric("edgesched_heartbeat_age_seconds", "gauge", "Age of a thread's last heartbeat.", ages)
    waiting: dict[Labels, float] = {}
    for run_id in list(agent.state.waiting):
        run = agent.state.runs.get(run_id)
        labels = (("reason", _short(run.why) or "none"),) if run is not None else ()
        waiting[labels] = waiting.get(labels, 0.0) + 1.0
    yield Metric("edgesched_queue", "gauge", "Waiting plugin runs by what holds them.", waiting)
    yield Metric("process_resident_memory_bytes", "gauge", "Resident memory.", {(): _resident_bytes()})
    started_s = agent.started.ts_ns / NS_PER_S
    yield Metric(
        "process_start_time_seconds", "gauge", "Start of the process since the epoch.", {(): round(started_s, 3)}
    )


def _short(reason: str) -> str:
    """Return the words of a reason without its numbers, names of pods and details, as a label."""
    words = _NOT_A_WORD.sub(" ", reason.partition(":")[0].partition("(")[0]).split()
    return " ".join(words)[:LONGEST_REASON]


def _resident_bytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return float(int(file.read().split()[1]) * PAGE_BYTES)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
