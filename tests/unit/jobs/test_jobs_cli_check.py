"""`edgesched check`: lines, JSON, excerpts, exit codes."""

import json
from pathlib import Path

import pytest

from edgesched.cli.main import main

ROOT = Path(__file__).parents[3]
TUTORIAL = ROOT / "examples/tutorial/myjob.yaml"
BROKEN = ROOT / "tests/broken_jobs"


def test_a_sound_job_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    """The tutorial's job passes, exit 0."""
    assert main(["check", str(TUTORIAL)]) == 0
    assert capsys.readouterr().out == f"{TUTORIAL}: ok\n"


def test_a_fault_is_one_line_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    """File, line, column, severity, code, message and hint stand in one line that editors understand."""
    file = BROKEN / "unknown-key.yaml"
    assert main(["check", str(file)]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"{file}:8:1: error job.key.unknown unknown key 'scienceRule' (did you mean scienceRules?)"


def test_warnings_alone_are_exit_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that works, if not as meant, is not refused."""
    file = tmp_path / "j.yaml"
    file.write_text(TUTORIAL.read_text().replace("WallClock(1d)", "Repeat(3)"))
    assert main(["check", str(file)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert ": warning criterion.ignored " in line


def test_json_of_several_files(capsys: pytest.CaptureFixture[str]) -> None:
    """One document for all files, findings with their file."""
    broken = str(BROKEN / "empty.yaml")
    assert main(["check", "--json", str(TUTORIAL), broken, "no-such/j.yaml"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert [file["ok"] for file in document["files"]] == [True, False, False]
    assert [(found["file"], found["code"]) for found in document["findings"]] == [
        (broken, "job.empty"),
        ("no-such/j.yaml", "file"),
    ]


def test_manifests_of_the_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    """The pods that a node would make, for looking at before anything runs."""
    assert main(["check", "--json", "--manifests", str(TUTORIAL), str(BROKEN / "empty.yaml")]) == 1
    (manifest,) = json.loads(capsys.readouterr().out)["manifests"]
    assert manifest["kind"] == "Pod"
    assert manifest["spec"]["containers"][0]["args"] == ["-stream", "bottom_camera"]
    assert manifest["metadata"]["labels"]["edgesched.io/agent"] == "W023"


def test_manifests_without_json_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 with the remedy."""
    with pytest.raises(SystemExit) as caught:
        main(["check", "--manifests", str(TUTORIAL)])
    assert caught.value.code == 2
    assert "--manifests needs --json" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "reason"), [(None, "Is a directory"), (b"\xff\xfe", "not UTF-8 at byte 0")])
def test_an_unreadable_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, reason: str
) -> None:
    """Nothing but the reason is said."""
    file = tmp_path / "j.yaml"
    file.mkdir() if content is None else file.write_bytes(content)
    assert main(["check", str(file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"edgesched: {file}: {reason}")
    assert captured.err.count("\n") == 1


def test_a_terminal_gets_the_line_with_a_caret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The place is shown, tabs and all, under the message."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    main(["check", str(BROKEN / "misplaced-key.yaml")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["    image: waggle/x:1.0.0", "    ^"]


def test_hostile_text_cannot_move_the_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of a job come out as text."""
    file = tmp_path / "j.yaml"
    file.write_text('"na\\u001bme": j\n')
    main(["check", str(file)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b" in out
