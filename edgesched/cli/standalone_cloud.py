"""The cloud scheduler's part of `edgesched standalone`: start it, make the two tokens, submit the jobs, tell how to
use it.

The jobs go the way of every job: created and submitted by the user `theone`, streamed to the node. The uplink stores
what pods publish on the broker, as the shovel of a real node would, so the data query has it.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgesched.cloud.embedded import EmbeddedCloud
from edgesched.errors import RefusedError

USER: Final = "theone"
PORT: Final = 9770


@dataclass(frozen=True, slots=True)
class StartedCloud:
    """A cloud that serves. `jobs`: job ids by name of the file; `refused`: why a file was not taken, one line each."""

    url: str
    user_token: str
    node_token: str
    jobs: Mapping[str, str]
    refused: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What a user types in a second terminal."""
        return (f"export SES_HOST={self.url}", f"export SES_USER_TOKEN={self.user_token}")


def start_cloud(
    parts: ExitStack,
    *,
    vsn: str,
    jobs: Iterable[Path],
    mqtt_uri: str,
    data_dir: Path | None = None,
    port: int | None = None,
    log: Callable[[str], None] | None = None,
) -> StartedCloud:
    """Start a cloud that ends with `parts`, and submit job files to it.

    `port`: None for 9770 when it is free, else another one. `data_dir`: None for a folder that goes with the cloud.
    Raises CloudUnavailableError when it does not start.
    """
    folder = data_dir or Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="edgesched-cloud-")))
    flags = ["--uplink", mqtt_uri, "--uplink-vsn", vsn]
    cloud = EmbeddedCloud(folder, port=_port() if port is None else port, flags=flags, log=log)
    parts.callback(cloud.stop)
    user_token, node_token = cloud.user_token(USER, [vsn]), cloud.node_token(vsn)
    cloud.start()
    taken: dict[str, str] = {}
    refused = []
    for path in jobs:
        try:
            taken[str(path)] = str(cloud.submit(path.read_text(encoding="utf-8"), user_token)["job_id"])
        except RefusedError as error:
            refused.append(f"{path}: {error.message}")
    return StartedCloud(cloud.url, user_token, node_token, taken, tuple(refused))


def _port() -> int:
    """Return the usual port when nobody has it, else 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT
