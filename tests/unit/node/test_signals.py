"""Signals: the first asks for the stop, the second ends the process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

CODE = """
import sys, threading
from edgesched.node.signals import StopSignals
with StopSignals() as signals:
    print("waiting", flush=True)
    while not (name := signals.wait(60)):
        pass
    print(name, flush=True)
    if sys.argv[1:] == ["slow"]:
        threading.Event().wait(60)
print("ended", flush=True)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a process that waits for signals, and wait until it does."""
    process = subprocess.Popen([sys.executable, "-c", CODE, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_ends_the_wait_at_once(number: signal.Signals) -> None:
    """The main thread goes on with the stop, by itself and without a traceback."""
    with start() as process:
        began_s = time.monotonic()
        process.send_signal(number)
        out, _ = process.communicate(timeout=10)
        assert (out, process.returncode) == (f"{number.name}\nended\n", 0)
        assert time.monotonic() - began_s < 5


def test_the_second_signal_ends_the_process() -> None:
    """A stop that takes too long for somebody is cut short."""
    with start("slow") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "SIGINT\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 128 + signal.SIGTERM
