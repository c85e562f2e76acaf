"""`edgesched eval`: one condition or a batch, on recorded measurements."""

import json
from pathlib import Path

import pytest

from edgesched.cli.main import main

NOW = "2023-03-15T10:20:30Z"
HOT = {"name": "env.temperature", "timestamp": "2023-03-15T10:20:00Z", "value": 31.5, "meta": {"sensor": "bme680"}}


@pytest.fixture
def recording(tmp_path: Path) -> str:
    """A file with one measurement half a minute before NOW."""
    file = tmp_path / "m.ndjson"
    file.write_text(json.dumps(HOT) + "\n")
    return str(file)


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ("avg(v('env.temperature')) > 30", "true"),
        ("avg(v('env.temperature')) > 32", "false"),
        ("avg(v('env.nothing')) > 32", "unknown: no data for env.nothing in the last 1m"),
        ("time('hour') == 10", "true"),
    ],
)
def test_a_verdict_is_one_line_and_exit_0(
    condition: str, answer: str, recording: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """True, false or unknown with the reason; unknown is an answer too."""
    assert main(["eval", "--now", NOW, "--measurements", recording, condition]) == 0
    assert capsys.readouterr().out == f"{answer}\n"


@pytest.mark.parametrize(
    ("condition", "words"),
    [("avg(v('a')", "never closed"), ("avrage(v('a')) > 1", "no function avrage"), ("1 / 0 > 1", "division by zero")],
)
def test_an_error_is_one_line_on_stderr_and_exit_1(
    condition: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Syntax, names and failures of the evaluation."""
    assert main(["eval", "--now", NOW, condition]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_json(recording: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One document with result and reason."""
    main(["eval", "--json", "--now", NOW, "--measurements", recording, "any(v('x') > 1)"])
    assert json.loads(capsys.readouterr().out) == {"result": "unknown", "reason": "no data for x in the last 1m"}


def test_the_site_is_for_sun_times(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a position daylight is unknown, with one it is not."""
    main(["eval", "--now", "2023-06-21T12:00:00Z", "daylight()"])
    main(["eval", "--now", "2023-06-21T12:00:00Z", "--site", "50.1,8.7", "daylight()"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("unknown: ")
    assert second == "true"


def test_a_batch_answers_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON line for each line, faults included; data sets by name or measurements in the line."""
    batch, datasets = tmp_path / "b.jsonl", tmp_path / "d.json"
    cases = [
        {"id": "a", "now": NOW, "dataset": "hot", "condition": "avg(v('env.temperature')) > 30"},
        {"id": "b", "now": NOW, "measurements": [HOT], "condition": "avg(v('env.temperature')) > 40"},
        {"id": "c", "now": NOW, "measurements": [], "condition": "avg(v('env.temperature')) > 40"},
        {"id": "d", "now": NOW, "condition": "1 <"},
        {"id": "e", "now": NOW, "dataset": "cold", "condition": "True"},
        {"id": "f", "now": "noon", "condition": "True"},
        {"id": 7, "now": NOW},
    ]
    batch.write_text("\n".join(map(json.dumps, cases)) + "\n\n")
    datasets.write_text(
        json.dumps({"hot": {"now": NOW, "measurements": [HOT, {"name": "env.temperature", "value": None}]}})
    )
    assert main(["eval", "--batch", str(batch), "--datasets", str(datasets)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(answer["id"], answer["result"]) for answer in answers] == [
        ("a", "true"),
        ("b", "false"),
        ("c", "unknown"),
        ("d", "error"),
        ("e", "error"),
        ("f", "error"),
        (7, "error"),
    ]
    assert answers[4]["reason"] == "no data set 'cold'"
    assert all(answer["reason"] for answer in answers[2:])


def test_a_line_that_is_no_json_ends_the_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File and line are named, exit 1."""
    batch = tmp_path / "b.jsonl"
    batch.write_text('{"id": 1, "now": "2023-03-15", "condition": "True"}\n{oops\n')
    assert main(["eval", "--batch", str(batch)]) == 1
    assert f"{batch}:2: not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--batch", "b", "True"],
        ["--datasets", "d", "True"],
        ["--batch", "b", "--now", NOW],
        ["--site", "x", "True"],
    ],
)
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    """Flags that contradict each other."""
    with pytest.raises(SystemExit) as caught:
        main(["eval", *arguments])
    assert caught.value.code == 2
