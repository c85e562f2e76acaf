"""The tutorial, followed word by word in a second terminal while `edgesched standalone` runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.e2e import tutorial
from tests.e2e.processes import Command
from tests.waiting import wait_until

SHORT = """\
name: short
plugins:
- name: clicker
  pluginSpec:
    image: registry.sagecontinuum.org/theone/imagesampler:0.3.0
nodes:
  W023:
scienceRules:
- "schedule(clicker): cronjob('clicker', '* * * * *')"
successCriteria:
- WallClock(15s)
"""


@pytest.mark.timeout(180)
def test_the_tutorial_from_ping_to_removal(tmp_path: Path) -> None:
    """Every command answers as the page shows; uploads come back; another job ends by its own criterion."""
    job = tmp_path / "short.yaml"
    job.write_text(SHORT)
    with Command("standalone", "--for", "170s") as command:
        host = command.await_line(r"export SES_HOST=(\S+)")[1]
        token = command.await_line(r"export SES_USER_TOKEN=(\S+)")[1]
        commands = tutorial.follow(host, token)
        assert [each.split()[1] for each in commands] == ["ping", "create", "stat", "submit", "stat", "rm"]
        uploads = [json.loads(line) for line in tutorial.shell(tutorial.query_command(), host, token).splitlines()]
        assert uploads
        for upload in uploads:
            assert (upload["name"], upload["meta"]["task"], upload["meta"]["vsn"]) == (
                "upload",
                "image-sampler",
                "W023",
            )

        answer = json.loads(tutorial.shell(f"sesctl submit --file-path {job}", host, token))
        assert answer["state"] == "Submitted"

        def status() -> str:
            rows = [line.split() for line in tutorial.shell("sesctl stat --show-all", host, token).splitlines()]
            return next(row[3] for row in rows if row[:2] == [answer["job_id"], "short"])

        wait_until(lambda: status() == "Completed", 60, what="the end of the short job")
        children = command.descendants()
        assert len(children) >= 2, "broker and cloud"
        assert command.end(signal.SIGINT) == 0
        assert "Traceback" not in command.text
    wait_until(lambda: not any(child.is_running() for child in children))
