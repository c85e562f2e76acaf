"""The commands of docs/tutorial.md, run as they stand there, their output compared with what stands there.

Wild are what changes from run to run: job ids, goal ids, times, versions, Submitted or Running, paddings of tables.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
WILD = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "GOAL"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,9})? \+0000 UTC", "TIME"),
    (r'"version": "[0-9.]+"', '"version": "VERSION"'),
    (r"\b(Submitted|Running)\n", "STATE\n"),
    (r"  Started: TIME\n", ""),
    (r" +", " "),
)


@dataclass(frozen=True)
class Step:
    """A command and the output that the page shows."""

    command: str
    output: str


def steps() -> list[Step]:
    """The commands with a `$` before them, in the order of the page."""
    found: list[Step] = []
    for block in re.findall(r"(?:^(?: {4}.*)?\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        lines = [line.removeprefix("    ") for line in block.strip("\n").split("\n")]
        for line in lines:
            if line.startswith("$ "):
                found.append(Step(line.removeprefix("$ "), ""))
            elif lines[0].startswith("$ "):
                found[-1] = Step(found[-1].command, f"{found[-1].output}{line}\n")
    return found


def query_command() -> str:
    """The page's curl."""
    match = re.search(r"^ {4}(curl .*?^ {4}')$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


def shell(command: str, host: str, token: str) -> str:
    """Run a command as the page's reader does, with the programs of this environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "SES_HOST": host, "SES_USER_TOKEN": token, "PATH": path}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def follow(host: str, token: str, *, upload_within_s: float = 150.0) -> list[str]:
    """Follow the page from ping to removal; return the commands. Fails at the first output that differs."""
    job_id, done = "1", []
    for step in steps():
        removal = step.command.startswith("sesctl rm")
        if removal:
            _await_upload(host, token, upload_within_s)
        output = shell(re.sub(r"\b1$", job_id, step.command), host, token)
        if step.command.startswith("sesctl create"):
            found = re.search(r'"job_id": "(\d+)"', output)
            assert found, output
            job_id = found[1]
        assert _plain(output, job_id) == _plain(step.output, "1"), f"{step.command}:\n{output}"
        done.append(step.command)
    return done


def _await_upload(host: str, token: str, within_s: float) -> None:
    def asked() -> str:
        return shell(query_command(), host, token)

    answer = wait_until(asked, within_s, what="an upload of the image-sampler")
    assert '"name":"upload"' in answer.splitlines()[0]


def _plain(text: str, job_id: str) -> str:
    for pattern, word in WILD:
        text = re.sub(pattern, word, text)
    text = re.sub(rf'"job_id": "{job_id}"|Job ID: {job_id}\b|^{job_id} ', "ID ", text, flags=re.MULTILINE)
    if text.startswith("JOB_ID"):  # other jobs may be there too
        head, *rows = text.splitlines()
        text = "\n".join([head, *(row for row in rows if row.startswith("ID "))]) + "\n"
    return text.strip("\n")
