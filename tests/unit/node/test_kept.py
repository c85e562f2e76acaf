"""Answers that are ready before they are asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgesched.node import kept as module
from edgesched.node.kept import Kept
from tests.waiting import wait_until


class Maker:
    """Makes 1, 2, 3...; `busy` lets it fail as an engine that does not answer."""

    def __init__(self) -> None:
        self.count = 0
        self.busy = False

    def __call__(self) -> int:
        if self.busy:
            raise TimeoutError
        self.count += 1
        return self.count


@contextmanager
def running(kept: Kept) -> Iterator[None]:
    """Its thread."""
    stop = threading.Event()
    thread = threading.Thread(target=kept.run, args=(stop, lambda: None))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        kept.nudge()
        thread.join(10)
        assert not thread.is_alive()


def test_nothing_is_made_before_somebody_reads() -> None:
    """An idle agent spends nothing on readers that are not there."""
    maker, other = Maker(), Maker()
    kept = Kept({"a": maker, "b": other})
    with running(kept):
        kept.change()
        assert kept.get("a") == 1
        assert other.count == 0


def test_readers_share_an_answer() -> None:
    """A hundred reads one after the other make it a few times, not a hundred."""
    maker = Maker()
    kept = Kept({"a": maker})
    with running(kept):
        begun_s = time.monotonic()
        for _ in range(100):
            kept.get("a")
        assert maker.count <= 2 + (time.monotonic() - begun_s) / module.FRESH_S


def test_a_change_is_shown_soon() -> None:
    """After the agent acted a reader gets another answer without asking for it, sooner than without a change."""
    maker = Maker()
    kept = Kept({"a": maker})
    with running(kept):
        kept.get("a")
        made_s = time.monotonic()
        kept.change()
        wait_until(lambda: maker.count == 2, 10)
        assert time.monotonic() - made_s >= module.FRESH_S / 2
        assert kept.get("a") >= 2


def test_while_somebody_reads_it_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times in an answer go on although the agent does nothing; when the last reader has gone that ends."""
    monkeypatch.setattr(module, "STEADY_S", 0.02)
    monkeypatch.setattr(module, "LINGER_S", 0.5)
    maker = Maker()
    kept = Kept({"a": maker})
    with running(kept):
        kept.get("a")
        wait_until(lambda: maker.count >= 3, 10)
        wait_until(lambda: kept._answers["a"].value is None, 30, what="the answer to be forgotten")
        assert kept.get("a") == maker.count


def test_a_busy_engine_is_told_and_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds no answer gives up in time; the next one after it has come back gets one."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.3)
    maker = Maker()
    maker.busy = True
    kept = Kept({"a": maker})
    with running(kept):
        with pytest.raises(TimeoutError):
            kept.get("a")
        maker.busy = False
        assert kept.get("a") == 1
