"""The cloud scheduler's part of `edgesched standalone`: start it, make the two tokens, submit the jobs, tell how to
use it.

The jobs go the way of every job: created and submitted by the user `theone`, streamed to the node. A job whose file is
edited is replaced where it stands: what did not change goes on; a file with errors leaves the job as it is. The uplink
stores what pods publish on the broker, as the shovel of a real node would, so the data query has it.
"""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgesched.adapters.tempfolder import TempFolder
from edgesched.cli.check import check_file, format_finding
from edgesched.cloud.embedded import EmbeddedCloud
from edgesched.errors import EdgeSchedError, RefusedError

USER: Final = "theone"
PORT: Final = 9770
_ROUTINE: Final = re.compile(r"\S+ \S+ (?:DEBUG|INFO) ")
_STAMP: Final = re.compile(r"\S+ \S+ (?=(?:WARNING|ERROR|CRITICAL) )")


@dataclass(frozen=True, slots=True)
class StartedCloud:
    """A cloud that serves. `jobs`: job ids by name of the file; `refused`: why a file was not taken, one line each."""

    cloud: EmbeddedCloud
    url: str
    user_token: str
    node_token: str
    jobs: Mapping[str, str]
    refused: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What a user types in a second terminal. That one may know nothing of the environment that we run in."""
        lines = (f"export SES_HOST={self.url}", f"export SES_USER_TOKEN={self.user_token}")
        programs = Path(sys.executable).parent
        if shutil.which("sesctl") or not (programs / "sesctl").exists():
            return lines
        return (*lines, f"export PATH={shlex.quote(str(programs))}:$PATH")


def start_cloud(
    parts: ExitStack,
    *,
    vsn: str,
    nodes: Iterable[str] = (),
    jobs: Iterable[Path],
    mqtt_uri: str,
    data_dir: Path | None = None,
    port: int | None = None,
    say: Callable[[str], None],
) -> StartedCloud:
    """Start a cloud that ends with `parts`, and submit job files to it.

    `nodes`: where the user may schedule besides `vsn`. `port`: None for 9770 when it is free, else another one.
    `data_dir`: None for a folder that goes with the cloud. `say`: told what the cloud logs, routine left out.
    Raises CloudUnavailableError when it does not start.
    """
    folder = data_dir or parts.enter_context(TempFolder("cloud"))
    flags = ["--uplink", mqtt_uri, "--uplink-vsn", vsn]
    cloud = EmbeddedCloud(folder, port=_port() if port is None else port, flags=flags, log=_Troubles(say))
    parts.callback(cloud.stop)
    user_token, node_token = cloud.user_token(USER, [vsn, *nodes]), cloud.node_token(vsn)
    cloud.start()
    taken: dict[str, str] = {}
    refused = []
    for path in jobs:
        try:
            taken[str(path)] = str(cloud.submit(path.read_text(encoding="utf-8"), user_token)["job_id"])
        except RefusedError as error:
            refused.append(f"{path}: {error.message}")
    return StartedCloud(cloud, cloud.url, user_token, node_token, taken, tuple(refused))


class _Troubles:
    """Takes the lines of the cloud's log and passes on those that are no routine, without their time."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def __call__(self, line: str) -> None:
        if not _ROUTINE.match(line):
            self._say(f"cloud: {_STAMP.sub('', line)}")


class EditedJobs:
    """Has the cloud take over job files that were edited. `look` is called now and then."""

    def __init__(self, started: StartedCloud, files: Iterable[Path], say: Callable[[str], None]) -> None:
        self._started = started
        self._say = say
        self._job_ids = dict(started.jobs)
        self._seen = {path: _version(path) for path in files}

    def look(self) -> None:
        """Take over what has changed since the last look."""
        for path, seen in self._seen.items():
            version = _version(path)
            if version is None or version == seen:  # editors take a file away for a moment
                continue
            self._seen[path] = version
            try:
                self._take(path)
            except EdgeSchedError as error:
                self._say(f"{path}: not taken over: {error.message}")

    def _take(self, path: Path) -> None:
        checked = check_file(str(path))
        for finding in checked.findings:
            self._say(format_finding(str(path), finding))
        if not checked.ok:
            return
        started, job_id = self._started, self._job_ids.get(str(path))
        if job_id is None:
            self._job_ids[str(path)] = str(started.cloud.submit(checked.text, started.user_token)["job_id"])
        else:
            started.cloud.replace(job_id, checked.text, started.user_token)


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file's content, None when it cannot be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _port() -> int:
    """Return the usual port when nobody has it, else 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT
