"""Signals: the first asks for the stop, the second ends the process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
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
    threading.Event().wait(float(sys.argv[1]))
print("ended", flush=True)
"""


def start(stop_s: float) -> subprocess.Popen[str]:
    """Start a process that waits for signals and takes `stop_s` to stop; wait until it waits."""
    process = subprocess.Popen([sys.executable, "-c", CODE, str(stop_s)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_ends_the_wait_at_once(number: signal.Signals) -> None:
    """The main thread goes on with the stop, by itself and without a traceback."""
    with start(0) as process:
        began_s = time.monotonic()
        process.send_signal(number)
        out, _ = process.communicate(timeout=10)
        assert (out, process.returncode) == (f"{number.name}\nended\n", 0)
        assert time.monotonic() - began_s < 5


def test_the_second_signal_ends_the_process() -> None:
    """A stop that takes too long for somebody is cut short."""
    with start(60) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "SIGINT\n"
        pause = threading.Event()
        began_s = time.monotonic()
        while process.poll() is None and time.monotonic() - began_s < 10:
            process.send_signal(signal.SIGTERM)
            pause.wait(0.05)
        assert process.wait(10) == 128 + signal.SIGTERM


def test_an_echo_of_the_first_signal_is_not_the_second() -> None:
    """`timeout` signals the process and its group at once; that is one wish."""
    with start(0.5) as process:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=10)
        assert out.endswith("ended\n")
        assert process.returncode == 0
