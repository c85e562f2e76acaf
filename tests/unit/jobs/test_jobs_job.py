"""Job files: spellings of keys, raw text, wrong types, damaged layouts."""

import json
from pathlib import Path

import pytest

from edgesched.core.jobs import ParsedJob, parse_job
from edgesched.core.model import Job, Plugin, PluginSpec

TUTORIAL = Path(__file__).parents[3] / "examples/tutorial/myjob.yaml"


def problems(parsed: ParsedJob) -> list[tuple[int, int, str]]:
    """Return place and code of each finding."""
    return [(finding.line, finding.column, finding.code) for finding in parsed.findings]


def test_the_tutorials_job() -> None:
    """The job that every newcomer types first is read whole, lower-case successcriteria included."""
    parsed = parse_job(TUTORIAL.read_text(), str(TUTORIAL))
    assert parsed.findings == ()
    assert parsed.job == Job(
        name="myjob",
        plugins=(
            Plugin(
                "image-sampler",
                PluginSpec(
                    image="registry.sagecontinuum.org/theone/imagesampler:0.3.0", args=("-stream", "bottom_camera")
                ),
            ),
        ),
        nodes=("W023",),
        science_rules=("schedule(image-sampler): cronjob('image-sampler', '* * * * *')",),
        success_criteria=("WallClock(1d)",),
    )


FULL = """\
name: j
email: a@b.org
{notificationOn}: [Running]
{nodeTags}: [camera]
{scienceRules}: ["schedule(p): True"]
{successCriteria}: [WallClock(1d)]
plugins:
- name: p
  {pluginSpec}:
    image: x:1.0.0
    args: [-t, 60, 1.50, yes]
    privileged: true
    selector: {{resource.gpu: true}}
    env: {{N: 1, EMPTY: }}
    develop: no
    resource: {{limit.cpu: 1}}
    volume: {{}}
    entrypoint: /bin/sh
    node: n1
    job: upload
"""
CAMEL = ("notificationOn", "nodeTags", "scienceRules", "successCriteria", "pluginSpec")
SNAKE = ("notification_on", "node_tags", "science_rules", "success_criteria", "plugin_spec")


@pytest.mark.parametrize("spelling", [CAMEL, SNAKE, tuple(key.lower() for key in CAMEL)])
def test_keys_in_camel_snake_and_lower_case(spelling: tuple[str, ...]) -> None:
    """Three spellings of each key mean the same, and text fields keep the text that was written."""
    parsed = parse_job(FULL.format(**dict(zip(CAMEL, spelling, strict=True))))
    assert parsed.findings == ()
    spec = PluginSpec(
        image="x:1.0.0",
        args=("-t", "60", "1.50", "yes"),
        privileged=True,
        node="n1",
        job="upload",
        selector={"resource.gpu": "true"},
        entrypoint="/bin/sh",
        env={"N": "1", "EMPTY": ""},
        resource={"limit.cpu": "1"},
    )
    assert parsed.job == Job(
        "j", (Plugin("p", spec),), (), ("camera",), ("schedule(p): True",), ("WallClock(1d)",), "a@b.org", ("Running",)
    )


def test_the_cloud_schedulers_answer_can_be_sent_back() -> None:
    """What the server manages is accepted and ignored, whatever it holds."""
    answer = {
        "name": "myjob",
        "job_id": "1",
        "user": "alice",
        "plugins": [{"name": "p", "plugin_spec": {"image": "x:1.0.0"}, "goal_id": "10b9", "job_id": "1"}],
        "node_tags": None,
        "nodes": {"W023": None},
        "science_rules": ["schedule(p): True"],
        "success_criteria": None,
        "science_goal": {"id": "10b9", "sub_goals": [{"name": "W023", "surprise": [1]}]},
        "state": {"last_state": "Submitted", "last_started": None},
    }
    parsed = parse_job(json.dumps(answer, indent=1))
    assert parsed.findings == ()
    assert parsed.job == Job("myjob", (Plugin("p", PluginSpec("x:1.0.0")),), ("W023",), (), ("schedule(p): True",))


def test_all_faults_are_collected_each_at_its_place() -> None:
    """One wrong field does not hide the next; the rest of the job is read."""
    text = "nam: j\nplugins:\n- name: p\n  image: x\n  pluginSpec: {args: -x, privileged: 'true', env: [A]}\n"
    text += "nodes: [W023]\n"
    parsed = parse_job(text)
    assert problems(parsed) == [
        (1, 1, "job.key.unknown"),
        (4, 3, "job.key.unknown"),
        (5, 22, "job.type"),
        (5, 38, "job.type"),
        (5, 51, "job.type"),
        (6, 8, "job.type"),
    ]
    assert "did you mean name?" in parsed.findings[0].hint
    assert "image belongs under a plugin's pluginSpec" in parsed.findings[1].hint
    assert "`W023:`" in parsed.findings[5].hint
    assert parsed.job.plugins[0].name == "p"


def test_a_wrong_type_names_the_field() -> None:
    """The message begins with the path of the field and says what was found."""
    (finding,) = parse_job("plugins:\n- name: p\n  pluginSpec:\n    args: [{a: 1}]\n").findings
    assert finding.message == "plugins[0].pluginSpec.args[0] must be text, found a map"


@pytest.mark.parametrize("key", ["nodesTags", "nodesTag", "scienceRule", "SuccessCriteria", "plugin"])
def test_misspelt_keys_get_a_suggestion(key: str) -> None:
    """Keys that are nearly right name the right one."""
    (finding,) = parse_job(f"{key}: []\n").findings
    assert finding.hint.startswith("did you mean ")


def test_one_attribute_in_two_spellings_is_an_error() -> None:
    """Nobody can know which of the two was meant."""
    parsed = parse_job("scienceRules: [a]\nscience_rules: [b]\n")
    assert problems(parsed) == [(2, 1, "job.key.twice")]
    assert parsed.job.science_rules == ("a",)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_job_without_indentation_is_recognised(wrapped: bool) -> None:
    """The tutorial's text as it comes out of a copy is one finding with the remedy, not a list of consequences."""
    text = "\n".join(line.strip() for line in TUTORIAL.read_text().splitlines()) + "\n"
    if wrapped:
        text = f"cat << EOF > myjob.yaml\n{text}EOF\n"
    codes = [finding.code for finding in parse_job(text).findings]
    assert codes == (["job.heredoc"] if wrapped else []) + ["job.indentation"]


@pytest.mark.parametrize(
    "text", ["cat << EOF > j.yaml\nname: j\n", "cat <<'EOF' >j.yaml\n---\nname: j\n", "name: j\nEOF\n"]
)
def test_the_shells_lines_are_recognised(text: str) -> None:
    """`cat << EOF` and `EOF` belong to the shell, not to the job."""
    assert [finding.code for finding in parse_job(text).findings] == ["job.heredoc"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "job.empty"),
        ("---\n# nothing\n", "job.empty"),
        ("hello", "job.type"),
        ("- a\n- b\n", "job.type"),
        ("42", "job.type"),
    ],
)
def test_texts_that_are_no_job(text: str, code: str) -> None:
    """Anything but a map is one finding."""
    assert [finding.code for finding in parse_job(text).findings] == [code]


def test_a_node_at_the_left_margin_gets_its_remedy() -> None:
    """A VSN that lost its indentation is not compared with attribute names."""
    (finding,) = parse_job("name: j\nnodes:\nW023:\n").findings
    assert finding.hint == "if W023 is a node, indent it by 2 blanks under nodes"


def test_places_of_fields() -> None:
    """A path leads to its node, or to the nearest node around it that is in the file."""
    parsed = parse_job("name: j\nplugins:\n- name: p\n  pluginSpec:\n    env: {A: b}\n")
    assert parsed.place("plugins", 0, "pluginSpec", "env", "A") == (5, 14)
    assert parsed.key_place("plugins", 0, "pluginSpec", "env", "A") == (5, 11)
    assert parsed.place("plugins", 0, "pluginSpec", "image") == (5, 5)
    assert parsed.place("scienceRules", 3) == (1, 1)
