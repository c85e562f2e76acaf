"""Log lines: their two forms, what they hide, and how repeats are counted."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterator

import pytest

from edgesched.node import log


class Lines(io.StringIO):
    """A stream that gives back what was written, line by line."""

    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    def last(self) -> dict[str, object]:
        return dict(json.loads(self.lines()[-1]))


class Seconds:
    """A monotonic clock in the test's hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


SetUp = Callable[..., tuple[Lines, log.LogSink, Seconds]]


@pytest.fixture
def set_up() -> Iterator[SetUp]:
    """Send all logging to a stream, and give logging back to pytest afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def make(form: str = "json", **more: object) -> tuple[Lines, log.LogSink, Seconds]:
        stream, clock = Lines(), Seconds()
        sink = log.set_up(form, stream=stream, monotonic_s=clock, **more)  # type: ignore[arg-type]
        return stream, sink, clock

    yield make
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_text_form(set_up: SetUp) -> None:
    """On a terminal: time, level, event, keys; values with blanks in quotes."""
    stream, _, _ = set_up("text")
    log.notice("plugin.scheduled", plugin="sampler", rule='any(v("t") > 3)', waited_s=0.4, gpu=True, pod=None)
    (line,) = stream.lines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info +plugin\.scheduled +"
        r'plugin=sampler rule="any\(v\(\\"t\\"\) > 3\)" waited_s=0\.4 gpu=true pod=-',
        line,
    )


def test_json_form_is_one_object_a_line(set_up: SetUp) -> None:
    """Elsewhere than on a terminal: JSON with the same words; `auto` chooses it for a file."""
    stream, _, _ = set_up("auto")
    log.notice("goal.received", level="warning", job="56", rules=3, ts="mine")
    line = stream.last()
    assert (line["level"], line["event"], line["job"], line["rules"]) == ("warning", "goal.received", "56", 3)
    assert line["ts_"] == "mine"


def test_a_terminal_gets_text_by_itself(set_up: SetUp) -> None:
    """`auto` on a real terminal is key=value, without a flag."""
    set_up()  # gives logging back afterwards
    keyboard, screen = os.openpty()
    with os.fdopen(screen, "w") as stream:
        log.set_up("auto", stream=stream)
        log.notice("goal.received", job="56")
        assert os.read(keyboard, 1000).rstrip().endswith(b"goal.received                job=56")
    os.close(keyboard)


@pytest.mark.parametrize("form", ["text", "json"])
def test_control_characters_never_reach_the_terminal(set_up: SetUp, form: str) -> None:
    """A name from outside can neither move the cursor nor begin a line of its own."""
    stream, _, _ = set_up(form)
    log.notice("x.y", name="a\x1b[2J\nfake=1\x9b\u202e")
    assert len(stream.lines()) == 1
    assert "\x1b" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()
    shown = stream.lines()[0].replace("\\\\", "\\")
    assert "a\\x1b[2J\\x0afake=1\\x9b\\u202e" in shown


def test_long_values_are_cut(set_up: SetUp) -> None:
    """A megabyte from a plugin is 200 characters in the log."""
    stream, _, _ = set_up()
    log.notice("x.y", text="a" * 1_000_000)
    assert stream.last()["text"] == "a" * 199 + "…"


def test_secrets_are_hidden(set_up: SetUp) -> None:
    """By key, inside URLs, and by value wherever one of the registered secrets occurs."""
    stream, _, _ = set_up(secrets=("hunter2hunter2",))
    log.notice(
        "x.y",
        password="abc",
        http_token="def",
        url="mqtt://user:pa55@host:1883",
        error="login hunter2hunter2 refused",
        nested={"k": ["hunter2hunter2"]},
    )
    written = stream.getvalue()
    for secret in ("abc", "def", "pa55", "hunter2"):
        assert secret not in written
    assert stream.last()["url"] == "mqtt://user:***@host:1883"


def test_repeats_are_told_once_and_then_counted(set_up: SetUp) -> None:
    """The first line comes at once; a minute later one line says how often it came again."""
    stream, sink, clock = set_up()
    for number in range(5):
        log.notice("mqtt.lost", level="warning", broker="b:1883", retry_in_s=0.1 * number)
    log.notice("mqtt.lost", level="warning", broker="other:1883")
    assert len(stream.lines()) == 2
    clock.now += 59
    sink.flush_repeats(clock.now)
    assert len(stream.lines()) == 2
    clock.now += 2
    sink.flush_repeats(clock.now)
    assert len(stream.lines()) == 3
    assert stream.last()["repeated"] == 4
    log.notice("mqtt.lost", level="warning", broker="b:1883")
    assert len(stream.lines()) == 4


def test_counts_come_out_at_the_end(set_up: SetUp) -> None:
    """What was counted when the agent ends is told before it ends."""
    stream, sink, _ = set_up()
    for _ in range(3):
        log.notice("x.y", a=1)
    sink.flush_repeats()
    assert [json.loads(line).get("repeated") for line in stream.lines()] == [None, 2]


def test_different_decisions_never_collapse(set_up: SetUp) -> None:
    """Lines that differ in a name or an id are all told."""
    stream, _, _ = set_up()
    for run in range(10):
        log.notice("plugin.launched", run=f"r-{run}")
    assert len(stream.lines()) == 10


def test_libraries_use_the_same_form(set_up: SetUp) -> None:
    """A warning of urllib3 or paho is an event of that library; below warning they are silent."""
    stream, _, _ = set_up()
    logging.getLogger("urllib3.connectionpool").warning("Retrying %s", "mqtt://u:pw@h")
    logging.getLogger("paho").info("chatter")
    assert len(stream.lines()) == 1
    assert stream.last()["event"] == "log.urllib3.connectionpool"
    assert stream.last()["message"] == "Retrying mqtt://u:***@h"


def test_debug_lines_only_with_debug(set_up: SetUp) -> None:
    """Evaluations are told on demand only."""
    stream, _, _ = set_up()
    log.notice("rule.evaluated", level="debug")
    assert stream.lines() == []
    stream, _, _ = set_up(debug=True)
    log.notice("rule.evaluated", level="debug")
    assert stream.last()["level"] == "debug"


def test_a_log_that_nobody_reads_stops_nothing(set_up: SetUp) -> None:
    """A closed pipe at the other end must not stop the node."""
    stream, _, _ = set_up()
    stream.close()
    log.notice("x.y")
