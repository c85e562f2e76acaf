"""Science goals: made from jobs, on the wire and back, compared, merged."""

import json

import pytest

from edgesched.core.jobs import (
    diff_goals,
    file_job_id,
    goal_to_json,
    goals_from_json,
    goals_to_json,
    job_to_goal,
    merge_goals,
)
from edgesched.core.model import Job, Plugin, PluginSpec, ScienceGoal, SubGoal
from edgesched.errors import GoalError

JOB = Job(
    "j",
    (Plugin("p", PluginSpec("x:1.0.0", args=("-t", "60"))),),
    ("W023", "W024"),
    (),
    ("schedule(p): True",),
    ("24h",),
)


def goal(job_id: str, goal_id: str = "g") -> ScienceGoal:
    """Return a small goal."""
    return ScienceGoal(goal_id, job_id)


def test_a_job_becomes_a_sub_goal_a_node() -> None:
    """Every node gets all plugins and rules; success criteria travel as conditions."""
    made = job_to_goal(JOB, job_id="56", goal_id="45af")
    assert made == ScienceGoal(
        "45af", "56", "j", tuple(SubGoal(vsn, JOB.plugins, JOB.science_rules) for vsn in ("W023", "W024")), ("24h",)
    )


def test_a_goal_id_of_a_file_follows_its_content() -> None:
    """The same job has the same goal id in every process, another content another one."""
    ids = {job_to_goal(job, job_id="f-1").goal_id for job in (JOB, JOB, Job("other"))}
    assert len(ids) == 2
    assert job_to_goal(Job("j"), job_id="f-1").goal_id == "8df2d70d-af18-ad82-6606-200a19b5fabe"


def test_a_files_job_id_follows_its_path() -> None:
    """Two files never share a job id; an edit keeps it."""
    first, second = file_job_id("/jobs/a.yaml"), file_job_id("/jobs/b.yaml")
    assert first != second
    assert first == file_job_id("/jobs/a.yaml")
    assert first.startswith("f-")
    assert len(first) == 10


def test_the_wire_form() -> None:
    """Keys, order and omissions are those of the reference's encoder; one line without blanks."""
    made = job_to_goal(Job("j", (Plugin("p", PluginSpec("x:1")),), ("W023",), (), ("r",)), job_id="1", goal_id="g")
    assert goal_to_json(made) == (
        '{"id":"g","job_id":"1","name":"j","sub_goals":[{"name":"W023",'
        '"plugins":[{"name":"p","plugin_spec":{"image":"x:1"},"goal_id":"g"}],"science_rules":[{"rule":"r"}]}]}'
    )


def test_empty_lists_on_the_wire() -> None:
    """A goal without nodes leaves the list out; a sub-goal without plugins and rules says null; no goals are []."""
    assert goal_to_json(ScienceGoal("g", "1")) == '{"id":"g","job_id":"1"}'
    assert '"plugins":null,"science_rules":null' in goal_to_json(ScienceGoal("g", "1", "", (SubGoal("W1", (), ()),)))
    assert goals_to_json([]) == "[]"


def test_wire_text_is_one_ascii_line() -> None:
    """Line separators inside a rule cannot break the framing of an event stream."""
    text = goals_to_json([ScienceGoal("g", "1", "a\nb\u2028c\u00e9")])
    assert text.isascii()
    assert len(text.splitlines()) == 1
    assert goals_from_json(text)[0][0].name == "a\nb\u2028c\u00e9"


@pytest.mark.parametrize("content", ["null", "[]", b"[]\n", b"\xef\xbb\xbf[]"])
def test_no_goals(content: str | bytes) -> None:
    """`null` and `[]` are the empty list, as the reference's two endpoints write it."""
    assert goals_from_json(content) == ([], [])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not JSON"),
        ('[{"id":', "may be cut short"),
        ("{}", "must be a JSON list, found an object"),
        (b"\xff", "not UTF-8 at byte 0"),
        ("[" * 100_000, "nested too deeply"),
        (" " * (8 * 1024 * 1024 + 1), "at most 8,388,608"),
        ("[" + "0," * 10_000 + "0]", "10,001 goals"),
    ],
)
def test_a_text_that_is_no_list_is_refused(content: str | bytes, words: str) -> None:
    """A garbled answer must not be taken for an empty list: that would end all jobs."""
    with pytest.raises(GoalError) as caught:
        goals_from_json(content)
    assert words in str(caught.value)


def test_keys_are_read_in_any_case_and_numbers_as_text() -> None:
    """Other encoders' spellings and types mean the same."""
    wire = {
        "ID": "g",
        "JobID": 56,
        "subGoals": [
            {
                "Name": "W023",
                "plugins": [
                    {"name": "p", "pluginSpec": {"Image": "x", "args": [60, 1.50, "a"], "selector": {"g": True}}}
                ],
                "scienceRules": ["schedule(p): True", {"Rule": "r2"}],
            }
        ],
    }
    goals, findings = goals_from_json(json.dumps([wire]).replace("1.5", "1.50"))
    assert findings == []
    spec = PluginSpec("x", args=("60", "1.50", "a"), selector={"g": "true"})
    sub_goal = SubGoal("W023", (Plugin("p", spec),), ("schedule(p): True", "r2"))
    assert goals == [ScienceGoal("g", "56", "", (sub_goal,))]


def test_a_fault_costs_the_smallest_part_that_holds_it() -> None:
    """A bad rule, plugin, sub-goal or goal is named by its path and loses nothing beside it."""
    good = {"name": "p", "plugin_spec": {"image": "x"}}
    wire = [
        7,
        {"name": "no id"},
        {
            "id": "g",
            "job_id": "1",
            "sub_goals": [
                {
                    "name": "W023",
                    "plugins": [good, {"name": "q"}, {"plugin_spec": {}}],
                    "science_rules": [{"rule": "r"}, 5.5, {}],
                },
                {"plugins": []},
            ],
            "conditions": "24h",
        },
    ]
    goals, findings = goals_from_json(json.dumps(wire))
    assert goals == [ScienceGoal("g", "1", "", (SubGoal("W023", (Plugin("p", PluginSpec("x")),), ("r", "5.5", "")),))]
    assert [finding.message.split(":")[0] for finding in findings if finding.severity == "error"] == [
        "goals[0]",
        "goals[1]",
        "goals[2].sub_goals[0].plugins[1].plugin_spec",
        "goals[2].sub_goals[0].plugins[2]",
        "goals[2].sub_goals[1]",
        "goals[2].conditions",
    ]


def test_a_goal_without_an_id_stays_in_force() -> None:
    """Left out, its job would count as removed; the same content has the same id in the next list."""
    text = '[{"job_id":"1","name":"a"},{"id":"g"}]'
    goals, findings = goals_from_json(text)
    assert [(goal.job_id, bool(goal.goal_id)) for goal in goals] == [("1", True), ("g", True)]
    assert [finding.code for finding in findings] == ["goal.id", "goal.job"]
    assert goals_from_json(text)[0] == goals


def test_unknown_keys_are_one_warning() -> None:
    """A newer cloud may send more; it is said once, with examples."""
    wire = [{"id": "g", "job_id": "1", "priority": 5, **{f"new{number}": 0 for number in range(9)}}]
    goals, findings = goals_from_json(json.dumps(wire))
    assert [goal.goal_id for goal in goals] == ["g"]
    assert [(finding.severity, finding.code) for finding in findings] == [("warning", "goal.key.unknown")]
    assert findings[0].message.startswith("10 unknown keys ignored: goals[0].priority, ")


def test_of_two_goals_of_one_job_the_last_counts() -> None:
    """A cloud that lists a job twice is told so; the newer entry is in force."""
    goals, findings = goals_from_json('[{"id":"a","job_id":"1"},{"id":"b","job_id":"1"}]')
    assert [goal.goal_id for goal in goals] == ["b"]
    assert [finding.code for finding in findings] == ["goal.duplicate"]


def test_half_characters_are_replaced() -> None:
    """A lone surrogate could be stored and logged nowhere."""
    goals, _ = goals_from_json('[{"id":"g","job_id":"1","name":"a\\ud800b"}]')
    assert goals[0].name == "a\ufffdb"


def test_findings_of_a_flood_are_bounded() -> None:
    """Ten thousand bad goals are not ten thousand log lines."""
    _, findings = goals_from_json("[" + ",".join("7" * 1 for _ in range(9_999)) + "]")
    assert len(findings) == 51
    assert findings[-1].message == "9949 more findings"


def test_difference_of_two_sets() -> None:
    """Added, updated and removed are told apart by job id; equal goals are in none of them."""
    old = [goal("1"), goal("2"), goal("3")]
    new = [goal("4"), goal("2", "other"), goal("3")]
    diff = diff_goals(old, new)
    assert (diff.added, diff.removed) == ((goal("4"),), (goal("1"),))
    assert diff.updated == ((goal("2"), goal("2", "other")),)
    assert not diff_goals(old, list(reversed(old)))


def test_the_same_goal_id_with_other_content_is_an_update() -> None:
    """The reference compares ids only and keeps the old content."""
    changed = ScienceGoal("g", "1", "renamed")
    assert diff_goals([goal("1")], [changed]).updated == ((goal("1"), changed),)


def test_sources_are_united_by_precedence() -> None:
    """Stream before ConfigMap before files, whatever the order of arrival; the loser is reported."""
    merged = merge_goals(
        {"files": [goal("1", "f"), goal("2", "f")], "stream": [goal("1", "s")], "configmap": [goal("3", "c")]}
    )
    assert [made.goal_id for made in merged.goals] == ["s", "c", "f"]
    assert merged.sources == {"1": "stream", "3": "configmap", "2": "files"}
    assert [(conflict.job_id, conflict.kept, conflict.dropped) for conflict in merged.conflicts] == [
        ("1", "stream", "files")
    ]
