"""Commands of this project as child processes, their lines read as they come, ended by their own pid."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil

from tests.waiting import wait_until

PYTHON = sys.executable
BIN = Path(PYTHON).parent


class Command:
    """`edgesched ARGUMENTS` as a child. `lines`: what it has written so far, stdout and stderr together."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [PYTHON, "-m", "edgesched.cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)

    def await_line(self, pattern: str, timeout_s: float = 30.0, *, after: int = 0) -> re.Match[str]:
        """Wait for a line that matches, among those from number `after` on."""

        def found() -> re.Match[str] | None:
            assert self.process.poll() is None or any(re.search(pattern, line) for line in self.lines[after:]), (
                f"it ended with {self.process.poll()} before {pattern!r}:\n{self.text}"
            )
            return next((match for line in self.lines[after:] if (match := re.search(pattern, line))), None)

        try:
            return wait_until(found, timeout_s)  # type: ignore[return-value]
        except AssertionError as error:
            raise AssertionError(f"no line matches {pattern!r} within {timeout_s} s:\n{self.text}") from error

    def events(self, name: str) -> list[dict[str, Any]]:
        """The JSON log lines of one event name."""
        found = []
        for line in list(self.lines):
            if line.startswith("{"):
                record = json.loads(line)
                if record["event"] == name:
                    found.append(record)
        return found

    def await_event(self, name: str, timeout_s: float = 30.0, **fields: Any) -> dict[str, Any]:
        """Wait for a log line of that name with these fields."""

        def found() -> dict[str, Any] | None:
            matching = (each for each in self.events(name) if fields.items() <= each.items())
            return next(matching, None)

        try:
            return wait_until(found, timeout_s)  # type: ignore[return-value]
        except AssertionError as error:
            raise AssertionError(f"no event {name} {fields} within {timeout_s} s:\n{self.text}") from error

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 15.0) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.ended(timeout_s)

    def ended(self, timeout_s: float) -> int:
        """Wait for the end and for its last line; return the exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code

    def descendants(self) -> list[psutil.Process]:
        """The processes that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def rss_mib(self) -> float:
        """Resident memory."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def cpu_s(self) -> float:
        """Processor time used so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system


def kubectl(server: str, *arguments: str) -> str:
    """Run kubectl against an address and return what it prints."""
    program = BIN / "kubectl"
    assert program.exists(), "kubectl is missing: make setup"
    done = subprocess.run(
        [str(program), "--server", server, *arguments], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
