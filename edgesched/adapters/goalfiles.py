"""Goals from job files and folders of job files, read again when they change.

Files are looked at every second (time of change, size, inode): that needs no kernel interface, works on network mounts
and in containers, and a ConfigMap mount, which is replaced by swapping a symbolic link, is noticed as well.

A file that becomes bad must not stop what runs: its last good goal stays in force and the log says so with file, line
and column. A file must be gone twice in a row to count as removed, because editors save by deleting and renaming. A
file's job id is made of its path, so edits keep it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgesched.core.findings import Finding, has_errors
from edgesched.core.jobs import check_job, file_job_id, job_to_goal, parse_job
from edgesched.core.model import ScienceGoal
from edgesched.core.plan.events import GoalsReceived
from edgesched.ports import Emit, Notice

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
POLL_S: Final = 1.0
LARGEST_FILE: Final = 256 * 1024
MOST_FINDINGS: Final = 20
"""Lines of log for one reading of one file."""

Signature = tuple[int, int, int]


@dataclass(slots=True)
class _File:
    """A job file: how it looked when it was last read, and the goal that is in force for it."""

    signature: Signature | None = None
    goal: ScienceGoal | None = None
    missing: bool = False


class GoalFiles:
    """`Source` of `GoalsReceived("files", ...)`: the goals of `paths`, files or folders.

    The first list of a process is `first`: what it lacks may have been lost with a mount that is not there yet. With
    `vsn` given, a job that does not name this node is told, because it will do nothing here.
    """

    def __init__(
        self, paths: Iterable[Path], emit: Emit, notice: Notice, *, vsn: str = "", poll_s: float = POLL_S
    ) -> None:
        self._paths = tuple(Path(os.path.abspath(path)) for path in paths)
        self._emit = emit
        self._notice = notice
        self._vsn = vsn
        self._poll_s = poll_s
        self._files: dict[Path, _File] = {}
        self._emitted = False

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Look at the files until `stop` is set."""
        while not stop.is_set():
            beat()
            self.look()
            stop.wait(self._poll_s)

    def look(self) -> None:
        """Look at all files once and emit the list of goals when it has changed, always at the first look."""
        present = self._present()
        changed = not self._emitted
        for path in [path for path in self._files if path not in present]:
            file = self._files[path]
            if file.missing or not self._emitted:
                del self._files[path]
                changed = changed or file.goal is not None
                self._notice("goals.file_removed", file=str(path))
            file.missing = True
        for path, signature in present.items():
            file = self._files.setdefault(path, _File())
            file.missing = False
            if file.signature != signature:
                file.signature = signature
                changed = self._read(path, file) or changed
        if changed:
            goals = tuple(file.goal for file in self._files.values() if file.goal is not None)
            self._emit(GoalsReceived("files", goals, first=not self._emitted))
            self._emitted = True

    def _present(self) -> dict[Path, Signature]:
        """Return the files that exist, in the order of the paths, folders sorted by name."""
        found: dict[Path, Signature] = {}
        for path in self._paths:
            for each in self._inside(path) if path.is_dir() else (path,):
                try:
                    status = each.stat()
                except OSError as error:
                    if path == each:
                        self._notice("goals.file_unreadable", level="error", file=str(each), error=error.strerror or "")
                    continue
                found[each] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found

    def _inside(self, folder: Path) -> list[Path]:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            self._notice("goals.file_unreadable", level="error", file=str(folder), error=error.strerror or "")
            return []
        paths = (folder / name for name in names if not name.startswith("."))
        return [path for path in paths if path.suffix.lower() in SUFFIXES and not path.is_dir()]

    def _read(self, path: Path, file: _File) -> bool:
        """Read a file that is new or changed; return whether its goal changed."""
        text = self._text(path)
        if text is None:
            return False
        parsed = parse_job(text, str(path))
        findings = check_job(text, str(path)) if parsed.is_job else list(parsed.findings)
        self._tell(path, findings)
        if not parsed.is_job:
            kept = "its last good content stays in force" if file.goal is not None else "it has no goal"
            self._notice("goals.file_refused", level="error", file=str(path), reason=kept)
            return False
        goal = job_to_goal(parsed.job, job_id=file_job_id(str(path)))
        changed = goal != file.goal
        file.goal = goal
        if changed:
            self._notice(
                "goals.file_read", file=str(path), job=goal.job_id, name=goal.name, faulty=has_errors(findings)
            )
            if self._vsn and self._vsn.lower() not in (name.lower() for name in parsed.job.nodes):
                self._notice(
                    "goals.not_for_this_node",
                    level="warning",
                    file=str(path),
                    node=self._vsn,
                    nodes=", ".join(parsed.job.nodes),
                    hint=f"add {self._vsn} under nodes, or set --node",
                )
        return changed

    def _text(self, path: Path) -> str | None:
        try:
            with path.open("rb") as opened:
                raw = opened.read(LARGEST_FILE + 1)
            if len(raw) > LARGEST_FILE:
                self._notice("goals.file_unreadable", level="error", file=str(path), error="larger than 256 KiB")
                return None
            return raw.decode("utf-8-sig")
        except OSError as error:
            self._notice("goals.file_unreadable", level="error", file=str(path), error=error.strerror or "")
        except UnicodeDecodeError as error:
            self._notice(
                "goals.file_unreadable", level="error", file=str(path), error=f"not UTF-8 at byte {error.start}"
            )
        return None

    def _tell(self, path: Path, findings: list[Finding]) -> None:
        for finding in findings[:MOST_FINDINGS]:
            self._notice(
                "goals.finding",
                level=finding.severity,
                at=f"{path}:{finding.line}:{finding.column}",
                code=finding.code,
                message=finding.message,
                **({"hint": finding.hint} if finding.hint else {}),
            )
        if len(findings) > MOST_FINDINGS:
            self._notice(
                "goals.finding", level="warning", at=str(path), message=f"{len(findings) - MOST_FINDINGS} more"
            )
