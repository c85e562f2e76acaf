"""A short series of kills, and a judge that can say no."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from tools import crash
from tools.crash_check import NS, Creation, CronPlugin, Evidence, Heard, judge

START_NS = 1_700_000_000 * NS - (1_700_000_000 % 3600) * NS
CRON = CronPlugin("p", "* * * * *", 1)


def run_id(minute: int, tail: str = "") -> str:
    """The run id of a slot, reckoned by hand."""
    key = f"W1/7/p/* * * * */{START_NS + minute * 60 * NS}{tail}"
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def good() -> Evidence:
    """Five slots: four run, one missed, all told."""
    heard = []

    def say(name: str, payload: object) -> None:
        heard.append(Heard(name, f"W1-e.s-{len(heard) + 1}", payload, START_NS))

    created = []
    for minute in (0, 1, 2, 4):
        say("plugin.queued", {"run_id": run_id(minute), "plugin_name": "p"})
        created.append(Creation(f"p-{minute}", run_id(minute), "p"))
        say("plugin.complete", {"run_id": run_id(minute), "plugin_name": "p"})
    say("slot.missed", {"plugin": "p", "slot_ns": START_NS + 180 * NS, "reason": "still running"})
    return Evidence("W1", "7", [CRON], created, heard, [], START_NS, START_NS + 240 * NS)


def test_good_records_are_found_good() -> None:
    """Repeats are no fault; the numbers are counted."""
    evidence = good()
    evidence.heard.insert(3, evidence.heard[2])
    judgement = judge(evidence)
    assert judgement.wrong == []
    assert judgement.counts["slots"] == 5
    assert (judgement.counts["slots run"], judgement.counts["slots missed"]) == (4, 1)
    assert (judgement.counts["repeats"], judgement.counts["events lost"]) == (1, 0)


def broken(how: str) -> Evidence:
    """The good records with one promise broken."""
    evidence = good()
    heard, created = evidence.heard, evidence.created
    if how == "was lost":
        del heard[4]
    elif how == "out of order":
        heard[0], heard[5] = heard[5], heard[0]
    elif how == "two contents":
        heard.append(dataclasses.replace(heard[0], payload={}))
    elif how == "have the number":
        heard.append(dataclasses.replace(heard[0], message_id="W1-e.t-1"))
    elif how == "has 2 pods":
        created.append(created[1])
    elif how == "neither a run nor a reason":
        heard[-1] = dataclasses.replace(heard[-1], payload={"plugin": "q", "slot_ns": START_NS, "reason": ""})
    elif how == "ran and counts as missed":
        heard.append(
            dataclasses.replace(heard[-1], message_id="W1-e.s-10", payload={"plugin": "p", "slot_ns": START_NS})
        )
    elif how == "has 0 ends":
        heard[1] = dataclasses.replace(heard[1], name="plugin.running")
    elif how == "belongs to no slot":
        created.append(Creation("p-x", "0" * 20, "p"))
    else:
        evidence.pods_left.append("p-1")
    return evidence


@pytest.mark.parametrize(
    "how",
    [
        "was lost",
        "out of order",
        "two contents",
        "have the number",
        "has 2 pods",
        "neither a run nor a reason",
        "ran and counts as missed",
        "has 0 ends",
        "belongs to no slot",
        "was left behind",
    ],
)
def test_a_broken_promise_is_found(how: str) -> None:
    """Each promise that is broken shows as a line that says so."""
    assert any(how in line for line in judge(broken(how)).wrong)


def test_a_retry_is_no_second_run() -> None:
    """The pod of a retry belongs to its slot and is not counted as another run of it."""
    evidence = good()
    evidence.created.append(Creation("p-1r", run_id(1, "/retry1"), "p"))
    assert judge(evidence).wrong == []
    evidence.created.append(Creation("p-1s", run_id(1, "/retry2"), "p"))
    assert len(judge(evidence).wrong) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_short_series(tmp_path: Path) -> None:
    """Twenty kills under load break no promise."""
    assert crash.main(["--count", "20", "--seed", "20", "--keep", str(tmp_path / "series")]) == 0


@pytest.mark.timeout(300)
def test_kills_in_a_storm_of_launches(tmp_path: Path) -> None:
    """Five kills while sixty pods at a time are launched: none is leaked, none launched twice."""
    assert crash.main(["--storm", "--count", "5", "--seed", "4", "--keep", str(tmp_path / "series")]) == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_kills_in_a_storm_of_launches(tmp_path: Path) -> None:
    """A hundred kills at random moments of it."""
    assert crash.main(["--storm", "--count", "100", "--seed", "5", "--keep", str(tmp_path / "series")]) == 0
