"""The text of `/metrics` and what is counted."""

from __future__ import annotations

import pytest

from edgesched.node.metrics import MOST_REASONS, Counters, Metric
from tests.unit.node.promlint import complaints


def page(counters: Counters) -> str:
    """The counters as text."""
    return "".join(each.text() for each in counters.metrics())


def test_every_counter_is_there_before_it_counts() -> None:
    """A counter that appears with its first event is missed by `increase()`; those without a label begin at 0."""
    text = page(Counters())
    assert complaints(text) == []
    assert "edgesched_launches_total 0\n" in text
    assert "# TYPE edgesched_failures_total counter\n" in text


def test_lines_of_the_log_are_counted_by_reason() -> None:
    """Details that differ from run to run do not make a reason of their own."""
    counters = Counters()
    for reason in ("OOMKilled", "Error", "unschedulable: 0/1 nodes", "unschedulable: 0/2 nodes"):
        counters.hear("plugin.failed", {"reason": reason})
    counters.hear("plugin.scheduled", {})
    counters.hear("kube.found", {})
    text = page(counters)
    assert 'edgesched_failures_total{reason="unschedulable"} 2\n' in text
    assert 'edgesched_failures_total{reason="OOMKilled"} 1\n' in text
    assert "edgesched_launches_total 1\n" in text
    assert complaints(text) == []


def test_reasons_are_bounded() -> None:
    """Somebody else's words cannot fill the memory of Prometheus."""
    counters = Counters()
    for number in range(1000):
        counters.hear("plugin.failed", {"reason": f"reason {chr(97 + number % 26)}{chr(97 + number // 26)}"})
    lines = [line for line in page(counters).splitlines() if line.startswith("edgesched_failures_total{")]
    assert len(lines) == MOST_REASONS + 1
    assert f'edgesched_failures_total{{reason="other"}} {1000 - MOST_REASONS}' in lines


def test_labels_are_escaped() -> None:
    """A quote or a line break in a name does not end a sample."""
    text = Metric("a", "gauge", "About.", {(("x", 'say "hi"\\\n'),): 1.0}).text()
    assert text.endswith('a{x="say \\"hi\\"\\\\\\n"} 1\n')
    assert complaints(text) == []


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
