"""The text of `/metrics`, what is counted, and the page that describes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edgesched.core.model import NS_PER_S
from edgesched.node.config import load_config
from edgesched.node.main import Agent, Parts, build
from edgesched.node.metrics import MOST_REASONS, TABLE, Counters, outbox_age_s
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.unit.node.fakes import Notices
from tests.unit.node.promlint import complaints
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
JOB = """\
name: myjob
plugins:
- name: good
  pluginSpec: {image: "registry.sagecontinuum.org/theone/good:1.0.0"}
- name: bad
  pluginSpec: {image: "registry.sagecontinuum.org/theone/bad:1.0.0"}
nodes: {W023: true}
scienceRules:
- "schedule(good): cronjob('good', '* * * * * *')"
- "schedule(bad): avg(v('env.t')) > 3"
"""


def page(counters: Counters) -> str:
    """The counters as text."""
    return generate_latest(counters.registry).decode()


def value(text: str, name: str, **labels: str) -> float | None:
    """One sample of a page, None when it is not there."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


def test_every_counter_is_there_before_it_counts() -> None:
    """A counter that appears with its first event is missed by `increase()`; those without a label begin at 0."""
    text = page(Counters())
    assert complaints(text) == []
    assert value(text, "edgesched_launches_total") == 0
    assert "# TYPE edgesched_failures_total counter\n" in text


def test_lines_of_the_log_are_counted_by_reason() -> None:
    """Details that differ from run to run do not make a reason of their own."""
    counters = Counters()
    for reason in ("OOMKilled", "Error", "unschedulable: 0/1 nodes", "unschedulable: 0/2 nodes"):
        counters.hear("plugin.failed", {"reason": reason})
    counters.hear("plugin.scheduled", {})
    counters.hear("kube.found", {})
    counters.hear("slot.missed", {"reason": "nobody looked: the agent was down", "count": 3})
    text = page(counters)
    assert value(text, "edgesched_failures_total", reason="unschedulable") == 2
    assert value(text, "edgesched_failures_total", reason="OOMKilled") == 1
    assert value(text, "edgesched_launches_total") == 1
    assert value(text, "edgesched_slots_missed_total", reason="nobody looked") == 3
    assert complaints(text) == []


def test_reasons_are_bounded() -> None:
    """Somebody else's words cannot fill the memory of Prometheus."""
    counters = Counters()
    for number in range(1000):
        counters.hear("plugin.failed", {"reason": f"reason {chr(97 + number % 26)}{chr(97 + number // 26)}"})
    text = page(counters)
    assert len([line for line in text.splitlines() if line.startswith("edgesched_failures_total{")]) == MOST_REASONS + 1
    assert value(text, "edgesched_failures_total", reason="other") == 1000 - MOST_REASONS


def test_requests_are_timed_also_when_they_fail() -> None:
    """Latency is told by verb; a request that raises took its time, too."""
    counters = Counters()
    with counters.asking("create"):
        pass
    with pytest.raises(TimeoutError), counters.asking("create"):
        raise TimeoutError
    text = page(counters)
    assert value(text, "edgesched_kube_request_seconds_count", verb="create") == 2
    assert value(text, "edgesched_kube_request_seconds_bucket", verb="create", le="+Inf") == 2
    assert complaints(text) == []


def test_the_age_of_the_outbox() -> None:
    """Seconds; nothing waits, no age; a clock that was set back makes none below zero."""
    assert outbox_age_s(0, 5) == 0
    assert outbox_age_s(NS_PER_S, 4 * NS_PER_S) == 3
    assert outbox_age_s(NS_PER_S, 0) == 0


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent with one rule that fires each second and one that is unknown, and no peer for its events."""
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    with SimCluster(Scenario((Outcome(run_s=0.1),))) as cluster:
        flags = ["--job", str(job), "--node", "W023", "--kube-server", cluster.url, "--wes=false"]
        away = ["--events", "cloud", "--goalstream-url", "http://127.0.0.1:1"]
        agent = build(load_config([*flags, *away, "--http-listen", "127.0.0.1:0"]), notice=Notices(), parts=Parts())
        agent.start()
        yield agent
        agent.stop()


def test_a_running_agent_tells_all_that_the_table_promises(agent: Agent) -> None:
    """Each metric of the table is on the page, and those that must have moved have moved."""

    def text() -> str:
        return agent.pages.answer("GET", "/metrics", {}, b"")[2].decode()

    wait_until(lambda: value(text(), "edgesched_completions_total"), 60, what="a run to complete")
    wait_until(lambda: value(text(), "edgesched_outbox_age_seconds"), 60, what="the outbox to grow old")
    last = text()
    assert complaints(last) == []
    told = {family for family in re.findall(r"^# TYPE (\S+) ", last, re.MULTILINE) if family.startswith("edgesched_")}
    assert told == set(TABLE)
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)", last, re.MULTILINE))
    assert {name: kinds[name] for name in TABLE} == {name: row.kind for name, row in TABLE.items()}
    assert value(last, "edgesched_rules_by_verdict", verdict="unknown") == 1
    for name in ("rule_evaluations", "slots_opened", "slots_claimed", "launches", "kube_watch_reconnects"):
        assert value(last, f"edgesched_{name}_total"), name
    opened, claimed = (value(last, f"edgesched_slots_{name}_total") or 0 for name in ("opened", "claimed"))
    assert opened >= claimed
    assert value(last, "edgesched_kube_request_seconds_count", verb="create")
    assert (value(last, "edgesched_goals_age_seconds", source="files") or -1) >= 0
    assert (value(last, "edgesched_outbox_waiting") or 0) > 0
    assert (value(last, "process_resident_memory_bytes") or 0) > 10_000_000
    assert value(last, "edgesched_clock_jumps_total") == 0
    assert value(last, "edgesched_mailbox_dropped_total") == 0


def test_the_handbook_describes_every_metric() -> None:
    """`docs/metrics.md` is made from the table: make docs-metrics."""
    from tools.metrics import text

    assert (ROOT / "docs" / "metrics.md").read_text() == text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n", "a_total: counters, and only they, end in _total"),
        (
            "# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n",
            "a_ms: no base unit (one of seconds, bytes, ratio, info, total)",
        ),
        ("# HELP a A.\n# TYPE a gauge\na 1\na 1\n", "aNone: a sample twice"),
        ("# HELP a A.\n# TYPE a gauge\nb 1\n", "b: a sample outside its family"),
        ("# HELP a A.\n# TYPE a gauge\na{x=1} 1\n", "cannot be read: a{x=1} 1"),
    ],
)
def test_the_check_can_fail(text: str, told: str) -> None:
    """Each rule of the check finds what it is for."""
    assert complaints(text) == [told]
