"""The list of log events, and the table of remedies, against the code."""

from __future__ import annotations

from edgesched.node.remedies import CLEARING, TROUBLES, remedy_for, trouble_of
from tools import logs


def test_the_list_is_up_to_date() -> None:
    """Whoever adds an event regenerates the page: make docs-logs."""
    assert logs.PAGE.read_text() == logs.page()


def test_every_trouble_is_an_event_of_the_code() -> None:
    """No remedy for a line that nobody writes, no trouble that waits for a line that never comes."""
    known = set(logs.events())
    assert {row.event for row in TROUBLES} - known == set()
    assert CLEARING - known == set()


def test_errors_have_a_remedy() -> None:
    """What the log calls an error needs a person, so the person is told what to do; exceptions are ours to explain."""
    ours = {
        # defects: the line itself says all there is, report it
        "amqp.defect", "mqtt.defect", "engine.broken", "kube.request_broken",
        # said at the end, when nobody can do anything about it any more
        "state.unwritten",
    }  # fmt: skip
    errors = {event.name for event in logs.events().values() if "error" in "/".join(event.levels).split("/")}
    assert errors - {row.event for row in TROUBLES} == ours


def test_the_first_fitting_row_counts() -> None:
    """A forbidden watch is told apart from a cluster that is away."""
    row = trouble_of("kube.watch.lost", {"error": "403 pods is forbidden"})
    assert row is not None
    assert row.title == "the cluster forbids"
    assert "kubectl apply -k deploy/kubernetes/rbac" in remedy_for("kube.watch.lost", "pods is forbidden")
    assert trouble_of("plugin.queued", {}) is None
    assert remedy_for("plugin.queued", "") == ""
