"""The ConfigMap of goals: the administrators' goals are in force, the copy of the stream's is no news."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from edgesched.adapters.kube import KubeApi, KubeGoalCopy, KubeGoals
from edgesched.adapters.kube.goals import CONFIG_MAP, HASH
from edgesched.core.model import Plugin, PluginSpec, ScienceGoal, SubGoal
from edgesched.core.plan.events import GoalsReceived
from tests.kube.adapter.runs import SES, TUNING
from tests.kube.adapter.worlds import Collector, World
from tests.unit.kube.script import Notices, running
from tests.waiting import wait_until

PATH = f"{SES}/configmaps/{CONFIG_MAP}"


def goal(job_id: str) -> ScienceGoal:
    """Make a goal of one plugin."""
    plugins = (Plugin("sampler", PluginSpec("waggle/sampler:1.0.0")),)
    return ScienceGoal(f"goal-{job_id}", job_id, "job", (SubGoal("W023", plugins, ("schedule(sampler): True",)),))


def by_hand(world: World, content: str | None, method: str = "POST") -> None:
    """Write the ConfigMap as an administrator."""
    body = {"metadata": {"name": CONFIG_MAP}, "data": {} if content is None else {"goals": content}}
    world.call(method, PATH if method == "PUT" else f"{SES}/configmaps", body)


WIRE_GOAL = json.dumps(
    [
        {
            "id": "g-7", "job_id": "7", "name": "n",
            "sub_goals": [{"name": "W023", "plugins": [{"name": "p", "pluginSpec": {"image": "a/b:1"}}],
                           "science_rules": ["schedule(p): True"]}],
        }
    ]
)  # fmt: skip


class Source:
    """The goal source and what it told."""

    def __init__(self, api: KubeApi) -> None:
        self.events = Collector()
        self.notices = Notices()
        self.goals = KubeGoals(api, namespace="ses", emit=self.events, notice=self.notices, tuning=TUNING)

    def told(self) -> list[tuple[list[str], bool]]:
        """Return the job ids of each set, and whether it was a suspect first list."""
        return [([each.job_id for each in event.goals], event.first) for event in self.events.of(GoalsReceived)]


@pytest.fixture
def source(api: KubeApi) -> Iterator[Source]:
    """Follow the ConfigMap during a test."""
    followed = Source(api)
    with running(followed.goals):
        yield followed


def test_goals_written_by_hand_are_in_force_until_changed(world: World, source: Source) -> None:
    """An administrator's list is told when it is written, changed and withdrawn."""
    wait_until(lambda: source.told() == [([], True)])
    by_hand(world, WIRE_GOAL)
    wait_until(lambda: source.told()[1:] == [(["7"], False)])
    by_hand(world, WIRE_GOAL.replace('"7"', '"8"'), "PUT")
    wait_until(lambda: source.told()[2:] == [(["8"], False)])
    by_hand(world, "[]", "PUT")
    wait_until(lambda: source.told()[3:] == [([], False)])
    [event] = [each for each in source.events.of(GoalsReceived) if each.goals and each.goals[0].job_id == "7"]
    assert event.source == "configmap"
    assert event.goals[0].sub_goals[0].plugins[0].spec.image == "a/b:1"


def test_a_deleted_config_map_is_a_suspect_empty_list(world: World, source: Source) -> None:
    """`kubectl replace --force` deletes and creates: the gap must not end runs at once."""
    by_hand(world, WIRE_GOAL)
    wait_until(lambda: (["7"], False) in source.told() or (["7"], True) in source.told())
    world.call("DELETE", PATH)
    wait_until(lambda: source.told()[-1] == ([], True))
    by_hand(world, WIRE_GOAL)
    wait_until(lambda: source.told()[-1] == (["7"], False))


def test_content_that_cannot_be_read_changes_nothing(world: World, source: Source) -> None:
    """A typing error in the list leaves the goals in force and is told with its place."""
    by_hand(world, WIRE_GOAL)
    wait_until(lambda: source.told() and source.told()[-1][0] == ["7"])
    by_hand(world, WIRE_GOAL[:-1], "PUT")
    wait_until(lambda: source.notices.named("goals.refused"))
    assert source.told()[-1][0] == ["7"]
    by_hand(world, WIRE_GOAL.replace('"7"', '"9"'), "PUT")
    wait_until(lambda: source.told()[-1][0] == ["9"])


def test_the_copy_of_the_stream_is_no_news(world: World, api: KubeApi, source: Source) -> None:
    """What the agent writes for other readers does not come back as goals of administrators."""
    wait_until(lambda: source.told() == [([], True)])
    copy = KubeGoalCopy(api, namespace="ses", notice=Notices())
    with running(copy):
        copy.put([goal("1"), goal("2")])
        wait_until(lambda: len(world.items(f"{SES}/configmaps")) == 1)
        copy.put([goal("3")])
        wait_until(lambda: "goal-3" in world.call("GET", PATH)["data"]["goals"])
    stored = world.call("GET", PATH)
    assert [each["job_id"] for each in json.loads(stored["data"]["goals"])] == ["3"]
    assert len(stored["metadata"]["annotations"][HASH]) == 64
    by_hand(world, WIRE_GOAL, "PUT")
    wait_until(lambda: source.told()[1:] == [(["7"], False)])


def test_the_copy_does_not_write_over_administrators(world: World, api: KubeApi) -> None:
    """Goals that were edited by hand stay in force although the stream changes."""
    notices = Notices()
    copy = KubeGoalCopy(api, namespace="ses", notice=notices)
    by_hand(world, WIRE_GOAL)
    copy.write("[]")
    assert world.call("GET", PATH)["data"]["goals"] == WIRE_GOAL
    copy.write("[]")
    assert len(notices.named("goals.not_copied")) == 1
    by_hand(world, "", "PUT")
    copy.write("[]")
    assert world.call("GET", PATH)["data"]["goals"] == "[]"


def test_an_edit_of_the_copy_is_the_administrators(world: World, api: KubeApi, source: Source) -> None:
    """An administrator who edits the agent's copy, annotation and all, has taken it over."""
    KubeGoalCopy(api, namespace="ses", notice=Notices()).write("[]")
    stored = world.call("GET", PATH)
    stored["data"]["goals"] = WIRE_GOAL
    world.call("PUT", PATH, stored)
    wait_until(lambda: source.told() and source.told()[-1][0] == ["7"])


def test_the_copy_of_the_reference_is_replaced(world: World, api: KubeApi, source: Source) -> None:
    """Goals that the reference left there are the stream's of that time: no news, and overwritten."""
    if world.kind == "sim":
        fields = [{"manager": "nodescheduler", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {"f:goals": {}}}}]
        body = {"metadata": {"name": CONFIG_MAP, "managedFields": fields}, "data": {"goals": WIRE_GOAL}}
        world.call("POST", f"{SES}/configmaps", body)
        if not world.call("GET", PATH)["metadata"].get("managedFields"):
            return
    else:
        body = {"metadata": {"name": CONFIG_MAP}, "data": {"goals": WIRE_GOAL}}
        world.call("POST", f"{SES}/configmaps?fieldManager=nodescheduler", body)
    wait_until(source.told)
    assert source.told() == [([], True)]
    KubeGoalCopy(api, namespace="ses", notice=Notices()).write("[]")
    assert world.call("GET", PATH)["data"]["goals"] == "[]"


def test_other_keys_and_labels_survive_the_copy(world: World, api: KubeApi) -> None:
    """The agent writes its key and its annotation and nothing else."""
    body = {
        "metadata": {"name": CONFIG_MAP, "labels": {"l": "1"}, "annotations": {"a": "1"}},
        "data": {"note": "keep me"},
    }
    world.call("POST", f"{SES}/configmaps", body)
    KubeGoalCopy(api, namespace="ses", notice=Notices()).write("[]")
    stored = world.call("GET", PATH)
    assert stored["data"] == {"note": "keep me", "goals": "[]"}
    assert stored["metadata"]["labels"] == {"l": "1"}
    assert stored["metadata"]["annotations"]["a"] == "1"
