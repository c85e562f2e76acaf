"""Whatever text comes in, jobs and goals answer with findings."""

import contextlib
import json
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from edgesched.core.findings import Finding
from edgesched.core.jobs import check_job, goal_to_json, goals_from_json, goals_to_json, parse_criterion, parse_job
from edgesched.core.jobs.document import Mapping, Node, Scalar, read_document
from edgesched.core.model import Plugin, PluginSpec, ScienceGoal, SubGoal
from edgesched.errors import GoalError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PAIRS = st.dictionaries(TEXT, TEXT, max_size=3)
SPEC = st.builds(
    PluginSpec,
    image=TEXT.filter(bool),
    args=st.lists(TEXT, max_size=3).map(tuple),
    privileged=st.booleans(),
    node=TEXT,
    job=TEXT,
    selector=PAIRS,
    entrypoint=TEXT,
    env=PAIRS,
    develop=st.booleans(),
    resource=PAIRS,
    volume=PAIRS,
)
PLUGIN = st.builds(Plugin, name=TEXT.filter(bool), spec=SPEC)
SUB_GOAL = st.builds(
    SubGoal,
    node=TEXT.filter(bool),
    plugins=st.lists(PLUGIN, max_size=2).map(tuple),
    rules=st.lists(TEXT, max_size=2).map(tuple),
)
GOAL = st.builds(
    ScienceGoal,
    goal_id=TEXT.filter(bool),
    job_id=TEXT.filter(bool),
    name=TEXT,
    sub_goals=st.lists(SUB_GOAL, max_size=2).map(tuple),
    conditions=st.lists(TEXT, max_size=2).map(tuple),
)
PIECES = [
    "name: ", "plugins:\n", "- ", "  pluginSpec:\n", "    image: ", "x:1.0.0\n", "nodes:\n", "  W023:\n", "args: [",
    "]", "{", "}", "scienceRules:\n", "'schedule(p): ", "cronjob('p', '* * * * *')'\n", "successCriteria: [24h]\n",
    "&a ", "*a ", "<<: ", "!!str ", "|\n", ">-\n", "\t", "'", '"', "\\", ": ", "\n", "# c\n", "---\n", "...\n", "?",
    "env:\n", "true", "~", "1.5", "{{ x }}", "EOF\n", "\ufeff", "\u2028", "\r\n", "%TAG ! x\n", "@", "`",
]  # fmt: skip
FRAGMENTS = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)
GOAL_KEYS = st.sampled_from(
    [
        "id",
        "job_id",
        "name",
        "sub_goals",
        "plugins",
        "science_rules",
        "rule",
        "plugin_spec",
        "image",
        "args",
        "env",
        "conditions",
    ]
)
GOALISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.ascii_letters, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(GOAL_KEYS, inner, max_size=6),
    max_leaves=30,
)


def assert_sound(findings: list[Finding], text: str) -> None:
    """Every finding is one line with a code and a place inside the text."""
    lines = text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029") + 1
    for finding in findings:
        assert finding.code
        assert finding.message
        assert 0 <= finding.line <= lines


@given(st.one_of(FRAGMENTS, st.text(max_size=60)))
@settings(max_examples=400, deadline=None)
def test_any_text_as_a_job_gives_findings(text: str) -> None:
    """No text makes the reader or the checker raise, and no finding lies outside the text."""
    assert_sound(check_job(text), text)


@given(JSON)
@settings(max_examples=150, deadline=None)
def test_any_json_as_a_job_gives_findings(value: object) -> None:
    """A JSON document of any shape is read without an exception."""
    text = json.dumps(value)
    assert_sound(list(parse_job(text).findings), text)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5), st.sampled_from([None, 1, "\t"]))
@settings(max_examples=200, deadline=None)
def test_json_texts_mean_what_json_says(value: dict[str, str], indent: int | str | None) -> None:
    """The tree has the keys and texts that the json module reads, with any layout."""
    document = read_document(json.dumps(value, indent=indent))
    assert document.findings == ()
    assert isinstance(document.root, Mapping)
    assert {key.text: item.text for key, item in document.root.entries if isinstance(item, Scalar)} == value


@given(FRAGMENTS)
@settings(max_examples=300, deadline=None)
def test_every_visible_character_is_placed_on_itself(text: str) -> None:
    """Where a plain or single-quoted value has a letter, its place in the file has that letter."""
    document = read_document(text)
    if document.root is not None:
        for scalar in scalars(document.root):
            if scalar.style == '"' or scalar.text.isspace():
                continue
            for offset, char in enumerate(scalar.text):
                if char.isalnum():
                    line, column = scalar.place(offset)
                    assert document.source.line(line)[column - 1] == char


def scalars(node: Node) -> list[Scalar]:
    """Return all scalars below a node; keys included."""
    if isinstance(node, Scalar):
        return [node]
    if isinstance(node, Mapping):
        return [found for key, value in node.entries for found in (key, *scalars(value))]
    return [found for item in node.items for found in scalars(item)]


@given(st.lists(GOAL, max_size=3, unique_by=lambda goal: goal.job_id))
@settings(max_examples=200, deadline=None)
def test_goals_survive_the_wire(goals: list[ScienceGoal]) -> None:
    """Written and read again, goals are the same, whatever their texts hold."""
    text = goals_to_json(goals)
    assert goals_from_json(text) == (goals, [])
    assert goals_from_json(text.encode())[0] == goals


@given(st.one_of(st.lists(GOALISH, max_size=3), JSON))
@settings(max_examples=300, deadline=None)
def test_any_json_as_goals_gives_goals_and_findings(value: object) -> None:
    """A list of anything is read; what is read can be written and read again without findings."""
    try:
        goals, findings = goals_from_json(json.dumps(value))
    except GoalError:
        assert not isinstance(value, list | None)
        return
    assert len(findings) <= 52
    assert goals_from_json("[" + ",".join(map(goal_to_json, goals)) + "]") == (goals, [])


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_bytes_as_goals(content: bytes) -> None:
    """Bytes are goals or a GoalError, nothing else."""
    with contextlib.suppress(GoalError):
        goals_from_json(content)


@given(st.text(string.printable, max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_criterion(text: str) -> None:
    """A criterion of any text is one of the five kinds."""
    assert parse_criterion(text) is not None
    assert parse_criterion(f"WallClock({text})") is not None
    assert parse_criterion(f"Until({text})") is not None
