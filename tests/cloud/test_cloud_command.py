"""`edgesched cloud` as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloud.api import Api
from tests.e2e.processes import Command


def edgesched(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "edgesched.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_tokens_are_made_listed_and_revoked(tmp_path: Path) -> None:
    """The token is the last word and is shown once; a running cloud takes it at once."""
    folder = str(tmp_path / "data")
    with Command("cloud", "-data-dir", folder, "--port=0") as cloud:
        url = cloud.await_line(r"listening on (http://\S+)")[1]
        made = edgesched("cloud", "token", "create", "--data-dir", folder, "--user", "theone", "--nodes", "W023,W024")
        token = made.stdout.split()[-1]
        api = Api(url, token)
        assert api.get("/token").json == {
            "kind": "user", "nodes": ["w023", "w024"], "superuser": False, "user": "theone",
        }  # fmt: skip
        node = edgesched("cloud", "token", "create", "--data-dir", folder, "--node", "W023").stdout.split()[-1]
        assert Api(url, node).get("/token").json["vsn"] == "W023"
        listed = edgesched("cloud", "token", "list", "--data-dir", folder, "--json")
        rows = json.loads(listed.stdout)
        assert [(row["kind"], row["subject"], row["revoked"]) for row in rows] == [
            ("user", "theone", None),
            ("node", "W023", None),
        ]
        assert token not in listed.stdout
        assert edgesched("cloud", "token", "revoke", "--data-dir", folder, "1").returncode == 0
        again = edgesched("cloud", "token", "revoke", "--data-dir", folder, "1")
        assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
        assert token not in cloud.text
        assert cloud.end() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--port", "high"], 2, "--port: 'high' does not fit"),
        (["--nothing"], 2, "--nothing"),
        (["--config", "/nonexistent.yaml"], 1, "cannot read /nonexistent.yaml"),
        (["--plugins", "/nonexistent.yaml", "--port", "0"], 1, "cannot read /nonexistent.yaml"),
        (["--data-dir", "/proc/nothing", "--port", "0"], 1, "cannot open the database"),
        (["--host", "203.0.113.1", "--port", "0"], 1, "cannot listen on 203.0.113.1"),
        (["token", "create", "--user", "a b"], 1, "is no user name"),
        (["token", "create"], 2, "--user"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], code: int, reason: str) -> None:
    """Wrong usage is 2, a refusal 1; never a traceback."""
    folder = [] if "--data-dir" in arguments else ["--data-dir", str(tmp_path)]
    done = edgesched("cloud", *([*arguments, *folder] if "token" in arguments else [*folder, *arguments]))
    assert done.returncode == code, done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
