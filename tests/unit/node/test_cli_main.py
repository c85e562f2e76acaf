"""The command line: one line for what is wrong, the right exit code, nothing heavy for light commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgesched import __version__
from edgesched.cli.main import COMMANDS, main
from edgesched.cli.tables import table


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is one line on stdout."""
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"edgesched {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["chekc"], 2, "edgesched: unknown command 'chekc' (did you mean check?)"),
        (["config", "--bogus"], 2, "edgesched: unknown flag --bogus"),
        (["config", "--config", "/nowhere.yaml"], 1, "edgesched: /nowhere.yaml: No such file or directory"),
        (["status", "--url", "http://127.0.0.1:1"], 1, "edgesched: no agent answers at http://127.0.0.1:1: Connection"),
        (["status", "--url", "file:///etc/passwd"], 1, "edgesched: file:///etc/passwd is not an address"),
        (["standalone", "--job", "/nowhere.yaml"], 1, "edgesched: /nowhere.yaml: No such file or directory"),
        (["run", "--job", "/nowhere.yaml", "--kube-server", "http://127.0.0.1:1", "--http-listen", "off"], 1,
         "edgesched: no job file or folder /nowhere.yaml"),
        (["run", "--kubeconfig", "/nowhere"], 1, "edgesched: no cluster: /nowhere does not exist (name one with"),
        (["run", "--kube-server", "http://127.0.0.1:1", "--http-listen", "203.0.113.1:1"], 1,
         "edgesched: cannot listen on 203.0.113.1:1: "),
        (["run", "--kube-server", "http://127.0.0.1:1", "--http-listen", "off", "--events", "mqtt"], 1,
         "edgesched: events go to mqtt but no broker is named"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)  # fmt: skip
def test_mistakes_are_one_line_and_a_code(arguments: list[str], code: int, line: str) -> None:
    """Never a traceback: the place, the reason, the remedy."""
    done = subprocess.run(
        [sys.executable, "-m", "edgesched.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    told = [text for text in done.stderr.splitlines() if text.startswith("edgesched:")]
    assert len(told) == 1
    assert told[0].startswith(line)
    assert "Traceback" not in done.stderr


def test_all_mistakes_of_a_configuration_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each."""
    assert main(["config", "--polcy", "x", "--noodle", "y"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_config_show_names_origins(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each value stands with where it came from, as text and as JSON."""
    path = tmp_path / "agent.yaml"
    path.write_text("policy: gpuaware\nmqttPassword: hunter2hunter2\n")
    assert main(["config", "--show", "--config", str(path), "--node", "W1"]) == 0
    text = capsys.readouterr().out
    assert f"policy = gpuaware  # file {path}:1\n" in text
    assert "vsn = W1  # flag --node\n" in text
    assert f"mqtt_password = ***  # file {path}:2\n" in text
    assert main(["config", "--show", "--json", "--config", str(path)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["policy"] == {"value": "gpuaware", "origin": f"file {path}:1"}
    assert "hunter2" not in text + repr(shown)


def test_without_a_command_help_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """All commands are listed on stderr."""
    assert main([]) == 2
    told = capsys.readouterr().err
    assert all(command in told for command in COMMANDS)


def test_help_of_run_lists_the_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """`edgesched run --help` names every flag."""
    with pytest.raises(SystemExit) as ended:
        main(["run", "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "--goalstream-url" in told
    assert "--admission-privileged" in told


@pytest.mark.parametrize("command", ["version", "config", "status"])
def test_light_commands_load_no_heavy_library(command: str) -> None:
    """What needs no cluster and no broker does not load their libraries."""
    code = (
        "import sys; from edgesched.cli.main import main\n"
        f"main([{command!r}, *([] if {command!r} != 'status' else ['--url', 'http://127.0.0.1:1'])])\n"
        "loaded = {'kubernetes', 'paho', 'aiohttp', 'sqlalchemy', 'asyncio', 'lark'} & set(sys.modules)\n"
        "sys.exit(repr(loaded) if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_tables_fit_and_escape() -> None:
    """Eighty columns; what comes from outside cannot move the cursor."""
    told = table(("NAME", "WHY"), [("a\x1b[2J", "x" * 200), ("", None)])
    lines = told.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in told
    assert lines[1].startswith("a\\x1b[2J")
    assert lines[1].endswith("…")
    assert lines[2].split() == ["-", "-"]
