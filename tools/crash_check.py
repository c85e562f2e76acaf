"""The judge of a crash series: looks at what the cluster and the broker have seen, and at nothing of the agent's own.

The cluster's log holds every pod that was ever created; the broker's witness holds every message in the order of its
arrival, repeats included. From the job alone follows which cron slots there were, and which run id each of them must
have: the first 20 hex digits of the SHA-256 of `VSN/JOB/PLUGIN/EXPR/FIRE_NS`, with `/retryN` behind it for a retry.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from croniter import croniter

NS = 1_000_000_000
ENDS = ("plugin.complete", "plugin.failed", "plugin.missed")


@dataclass(frozen=True)
class Creation:
    """A pod that was created: its name, the run and plugin that its labels name."""

    name: str
    run_id: str
    plugin: str


@dataclass(frozen=True)
class Heard:
    """A message that arrived: short name, id, payload, time in ns."""

    name: str
    message_id: str
    payload: Any
    ts_ns: int


@dataclass(frozen=True)
class CronPlugin:
    """A plugin whose only rule is `cronjob(plugin, expr)`, with so many retries."""

    name: str
    expr: str
    retries: int = 0


@dataclass
class Evidence:
    """What the independent records hold. Slots are judged from `from_ns` to `to_ns`."""

    vsn: str
    job_id: str
    crons: list[CronPlugin]
    created: list[Creation]
    heard: list[Heard]
    pods_left: list[str]
    from_ns: int
    to_ns: int


@dataclass
class Judgement:
    """`wrong`: every broken promise in one line; `counts`: for the report."""

    wrong: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def judge(evidence: Evidence) -> Judgement:
    """Compare the records with the promises."""
    judgement = Judgement()
    _messages(evidence, judgement)
    _ends(evidence, judgement)
    _slots(evidence, judgement)
    judgement.wrong += [f"pod {name} was left behind" for name in evidence.pods_left]
    judgement.counts["pods created"] = len(evidence.created)
    judgement.counts["pods left behind"] = len(evidence.pods_left)
    return judgement


def _messages(evidence: Evidence, judgement: Judgement) -> None:
    """No event is lost, none has two contents, and first arrivals are in order."""
    first: dict[str, Heard] = {}
    for heard in evidence.heard:
        known = first.setdefault(heard.message_id, heard)
        if known.payload != heard.payload or known.name != heard.name:
            judgement.wrong.append(f"message {heard.message_id} came with two contents")
    numbers = [int(message_id.rpartition("-")[2]) for message_id in first]
    lost = sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    judgement.wrong += [f"event number {number} was lost" for number in lost[:20]]
    judgement.wrong += [f"two messages have the number {number}" for number in twice[:20]]
    if numbers != sorted(numbers):
        judgement.wrong.append("events arrived out of order")
    judgement.counts |= {"events": len(first), "events lost": len(lost), "repeats": len(evidence.heard) - len(first)}


def _ends(evidence: Evidence, judgement: Judgement) -> None:
    """Every run that was decided on has exactly one end."""
    queued: dict[str, None] = {}
    ends: dict[str, set[str]] = defaultdict(set)
    for heard in evidence.heard:
        if isinstance(heard.payload, dict) and "run_id" in heard.payload:
            run_id = heard.payload["run_id"]
            if heard.name == "plugin.queued":
                queued[run_id] = None
            elif heard.name in ENDS:
                ends[run_id].add(heard.message_id)
    for run_id in queued:
        if len(ends[run_id]) != 1:
            judgement.wrong.append(f"run {run_id} has {len(ends[run_id])} ends")
    judgement.counts["runs"] = len(queued)


def _slots(evidence: Evidence, judgement: Judgement) -> None:
    """At most one run a slot; each slot a run or a recorded miss, never both."""
    creations = Counter(each.run_id for each in evidence.created)
    plugins = {each.run_id: each.plugin for each in evidence.created}
    judgement.wrong += [f"run {run_id} has {count} pods" for run_id, count in creations.items() if count > 1]
    known: set[str] = set()
    slots = runs = misses = 0
    worst = 0
    for cron in evidence.crons:
        missed = _missed(evidence, cron)
        for fire_ns in fire_times(cron.expr, evidence.from_ns, evidence.to_ns):
            run_id = _run_id(evidence, cron, fire_ns)
            known.add(run_id)
            known |= {_run_id(evidence, cron, fire_ns, f"/retry{number}") for number in range(1, cron.retries + 1)}
            ran, was_missed = creations[run_id], fire_ns in missed or run_id in missed
            slots += 1
            runs += bool(ran)
            misses += bool(was_missed and not ran)
            worst = max(worst, ran)
            when = datetime.fromtimestamp(fire_ns // NS, UTC).strftime("%H:%M:%S")
            if not ran and not was_missed:
                judgement.wrong.append(f"slot {when} of {cron.name} has neither a run nor a reason")
            if ran and was_missed:
                judgement.wrong.append(f"slot {when} of {cron.name} ran and counts as missed")
        before = {_run_id(evidence, cron, ns, tail) for ns, tail in _edges(evidence, cron)}
        strange = [run_id for run_id, plugin in plugins.items() if plugin == cron.name and run_id not in known | before]
        judgement.wrong += [f"pod of run {run_id} of {cron.name} belongs to no slot" for run_id in strange]
    judgement.counts |= {"slots": slots, "slots run": runs, "slots missed": misses, "most runs of a slot": worst}


def _missed(evidence: Evidence, cron: CronPlugin) -> set[int | str]:
    """Fire times (and run ids that never reached the cluster) that were recorded as missed."""
    found: set[int | str] = set()
    for heard in evidence.heard:
        payload = heard.payload
        if heard.name == "slot.missed" and payload["plugin"] == cron.name:
            last_ns = payload.get("last_slot_ns", payload["slot_ns"])
            found |= set(fire_times(cron.expr, payload["slot_ns"], last_ns))
        elif heard.name == "plugin.missed" and payload["plugin_name"] == cron.name:
            found.add(payload["run_id"])
    return found


def _edges(evidence: Evidence, cron: CronPlugin) -> Iterable[tuple[int, str]]:
    """Slots just outside the judged time, with their retries."""
    minute = 60 * NS
    for start_ns, end_ns in (
        (evidence.from_ns - minute, evidence.from_ns),
        (evidence.to_ns, evidence.to_ns + 2 * minute),
    ):
        for fire_ns in fire_times(cron.expr, start_ns, end_ns):
            for tail in ("", *(f"/retry{number}" for number in range(1, cron.retries + 1))):
                yield fire_ns, tail


def fire_times(expr: str, from_ns: int, to_ns: int) -> list[int]:
    """List the fire times of a cron expression in UTC, both ends included."""
    times: list[int] = []
    cron = croniter(expr, datetime.fromtimestamp(-(-from_ns // NS) - 1, UTC))
    while True:
        fire_ns = int(cron.get_next(float)) * NS
        if fire_ns > to_ns:
            return times
        times.append(fire_ns)


def _run_id(evidence: Evidence, cron: CronPlugin, fire_ns: int, tail: str = "") -> str:
    key = f"{evidence.vsn}/{evidence.job_id}/{cron.name}/{cron.expr}/{fire_ns}{tail}"
    return hashlib.sha256(key.encode()).hexdigest()[:20]
