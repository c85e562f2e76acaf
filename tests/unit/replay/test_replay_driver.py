"""Jobs on recorded history: what fires when, what it waits for, what is missed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgesched.cli.main import main
from edgesched.core.jobs import job_to_goal, parse_job
from edgesched.core.model import HOUR_NS, MINUTE_NS, NS_PER_S, Measurement
from edgesched.core.plan.settings import PlanSettings
from edgesched.replay.cluster import PodLives
from edgesched.replay.driver import names_read, replay
from edgesched.replay.moments import Span
from edgesched.replay.story import Story

ROOT = Path(__file__).parents[3]
START = 1_700_000_000 * NS_PER_S - (1_700_000_000 % 3600) * NS_PER_S
RAIN = ROOT / "examples/measurements/rain.ndjson"


def run(
    *rules: str,
    measurements: list[Measurement] | None = None,
    minutes: float = 60,
    run_s: float = 30.0,
    plugins: str = "p",
) -> Story:
    """Replay rules for some time from a full hour on."""
    listed = ", ".join(f"{{name: {name}, pluginSpec: {{image: 'x:1.0.0'}}}}" for name in plugins.split())
    parsed = parse_job(f"name: j\nplugins: [{listed}]\nnodes: {{W023: }}\nscienceRules: {json.dumps(rules)}\n")
    assert parsed.findings == ()
    goal = job_to_goal(parsed.job, job_id="1")
    span = Span(START, START + round(minutes * MINUTE_NS))
    return replay(goal, PlanSettings(vsn="W023"), measurements or [], span, PodLives("W023", run_s=run_s))


def seconds(story: Story) -> list[float]:
    """Return when things fired, in seconds from the start."""
    return [(firing.ts_ns - START) / NS_PER_S for firing in story.firings]


def values(name: str, *pairs: tuple[float, float], **meta: str) -> list[Measurement]:
    """Return measurements at seconds from the start."""
    return [Measurement(name, START + round(at_s * NS_PER_S), value, meta) for at_s, value in pairs]


def test_a_cron_rule_fires_at_each_slot() -> None:
    """Every slot is served at its time, the first one at the very start."""
    story = run("schedule(p): cronjob('p', '*/10 * * * *')")
    assert seconds(story) == [0, 600, 1200, 1800, 2400, 3000, 3600]
    assert {firing.outcome for firing in story.firings[:-1]} == {"completed"}
    assert story.firings[-1].outcome == "running"
    assert story.missed == []


def test_a_plugin_that_runs_too_long_misses_slots() -> None:
    """A slot that opens while the plugin runs waits for its end, at most its grace; then it is a recorded miss."""
    story = run("schedule(p): cronjob('p', '* * * * *')", minutes=4.5, run_s=200)
    assert seconds(story) == [0, 212]
    assert [(missed.slot, missed.reason) for missed in story.missed] == [
        ("22:01:00", "still running"),
        ("22:02:00", "still running"),
    ]


def test_a_measurement_fires_at_its_own_time() -> None:
    """The rule fires when the measurement arrives, a nanosecond after its time, and not before."""
    story = run("schedule(p): any(v('a.b') > 3)", measurements=values("a.b", (30, 1), (90, 5), (100, 7)), minutes=5)
    assert [round(at, 3) for at in seconds(story)] == [90, 132]
    assert story.firings[0].ts_ns == START + 90 * NS_PER_S + 1
    assert "1 values" not in story.firings[0].values
    assert story.firings[0].why == "any(v('a.b') > 3)"


def test_measurements_before_the_span_fill_the_windows() -> None:
    """A replay that begins in the middle of a recording knows what came before."""
    before = values("a.b", (-30, 5))
    assert seconds(run("schedule(p): any(v('a.b') > 3)", measurements=before, minutes=1, run_s=300)) == [0]


def test_publish_and_set_are_told_with_their_values() -> None:
    """Actions without a plugin are part of the story."""
    hot = values("a.b", (10, 40), (20, 41), (100, 2))
    story = run("publish(env.hot, value=7): last(v('a.b')) > 30", "set(hot, value=yes): last(v('a.b')) > 30",
                measurements=hot, minutes=3)  # fmt: skip
    assert [(firing.action, firing.object, firing.value) for firing in story.firings] == [
        ("publish", "env.hot", "7"),
        ("set", "hot", "yes"),
    ]


def test_a_chain_of_plugins() -> None:
    """The second plugin starts when the first has completed, once for each run of it."""
    story = run(
        "schedule(a): cronjob('a', '0,30 * * * *')", "schedule(b): after('a', since='b')", plugins="a b", minutes=59
    )
    assert [(firing.object, (firing.ts_ns - START) // NS_PER_S) for firing in story.firings] == [
        ("a", 0),
        ("b", 32),
        ("a", 1800),
        ("b", 1832),
    ]


def test_recorded_executions_count_as_runs() -> None:
    """What another job's plugin did on the node is read from the recording."""
    ran = [Measurement("sys.scheduler.plugin.lastexecution", START + 60 * NS_PER_S, "other", {})]
    story = run("schedule(p): after('other', since='p')", measurements=ran, minutes=5)
    assert [round(at, 3) for at in seconds(story)] == [60]


def test_duration_ends_a_run() -> None:
    """A run is completed when its granted time is over, however long the plugin would go on."""
    story = run("schedule(p, duration=1m): cronjob('p', '0 * * * *')", minutes=30, run_s=600)
    (firing,) = story.firings
    assert firing.outcome == "completed"
    assert firing.reason == "duration reached"
    assert firing.launched_ns is not None
    assert firing.ended_ns is not None
    assert 60 <= (firing.ended_ns - firing.launched_ns) / NS_PER_S <= 65


def test_the_verdicts_over_time_add_up() -> None:
    """True, false and unknown together last as long as the replay; unknown comes with its reason."""
    story = run("schedule(p): avg(v('a.b', since='-5m')) > 3", measurements=values("a.b", (600, 5), (660, 5)))
    (rule,) = story.rules
    assert rule.total_s(True) == pytest.approx(360)
    assert sum(rule.total_s(value) for value in (True, False, None)) == pytest.approx(3600)
    assert rule.spells[0].reason.startswith("no data for a.b")


def test_names_that_a_goal_reads() -> None:
    """Criteria count, and recorded executions always."""
    rules = "scienceRules: [\"set(x): any(v('a') > 1)\", broken]\n"
    parsed = parse_job(f"{rules}successCriteria: [\"Until(avg(rate('b')) > 2)\", 24h]\nnodes: {{W1: }}\n")
    assert names_read(job_to_goal(parsed.job, job_id="1")) == {"a", "b", "sys.scheduler.plugin.lastexecution"}


def test_a_month_of_crons_ends_soon() -> None:
    """Time passes from event to event: 43,200 slots of a month are a matter of seconds."""
    story = run("schedule(p): cronjob('p', '*/10 * * * *')", minutes=10 * 24 * 60)
    assert len(story.firings) == 10 * 24 * 6 + 1


def test_the_same_under_any_hash_seed(tmp_path: Path) -> None:
    """Two processes with different hash seeds print the same report and the same picture."""
    outputs = []
    for seed in ("1", "2"):
        picture = tmp_path / f"{seed}.svg"
        command = [sys.executable, "-m", "edgesched.cli.main", "replay", str(ROOT / "examples/tutorial/rain.yaml"),
                   "--measurements", str(RAIN), "--json", "--plot", str(picture)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
        outputs.append((done.stdout, picture.read_bytes()))
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0][0])["rules"][0]["fired"] == 1


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_tells_what_fired(capsys: pytest.CaptureFixture[str]) -> None:
    """Table of actions, then one line a rule."""
    assert main(["replay", str(ROOT / "examples/tutorial/rain.yaml"), "--measurements", str(RAIN)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2023-11-14 22:13:20 to 2023-11-14 22:15:16 UTC on node W023"
    assert [line.split()[2] for line in lines[3:6]] == ["publish", "set", "schedule"]
    assert [line.split()[0] for line in lines[7:]] == ["FIRED", "1", "1", "1"]


def test_the_command_needs_no_measurements_for_crons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A time is enough; the picture is written where it is asked for."""
    picture = tmp_path / "p.png"
    arguments = [
        "--from",
        "2026-07-01",
        "--to",
        "2026-07-01T01:00:00Z",
        "--json",
        "--node",
        "W024",
        "--plot",
        str(picture),
    ]
    assert main(["replay", str(ROOT / "examples/tutorial/myjob.yaml"), *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["node"], report["from"], len(report["fired"])) == ("W024", "2026-07-01T00:00:00Z", 61)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["j.yaml", "--measurements", "no-such.ndjson"], "j.yaml: No such file"),
        (["examples/tutorial/myjob.yaml"], "nothing says which time to replay"),
        (["examples/tutorial/myjob.yaml", "--measurements", "no-such.ndjson"], "no-such.ndjson: No such file"),
        (
            ["examples/tutorial/myjob.yaml", "--from", "2026-07-02", "--to", "2026-07-01"],
            "the end lies before the beginning",
        ),
        (["tests/broken_jobs/empty.yaml", "--from", "2026-07-01"], "there is no job in the file"),
    ],
)
def test_what_cannot_be_replayed(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line on stderr and exit 1."""
    monkeypatch.chdir(ROOT)
    assert main(["replay", *arguments]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "yesterday"], "not a time"),
        (["--plot", "x.jpg"], "--plot takes a file that ends in .svg or .png"),
        (["--site", "north"], "LAT,LON"),
        (["--run-time", "0"], "a length of time"),
        (["--rows", "-1"], "0 or more"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and what the flag takes."""
    with pytest.raises(SystemExit) as caught:
        main(["replay", str(ROOT / "examples/tutorial/myjob.yaml"), *arguments])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_an_hour_is_replayed_when_only_the_beginning_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    """An open end is an hour long."""
    assert main(["replay", str(ROOT / "examples/tutorial/myjob.yaml"), "--from", "1970-01-02", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["to"] == "1970-01-02T01:00:00Z"
    assert len(report["fired"]) == HOUR_NS // MINUTE_NS + 1
