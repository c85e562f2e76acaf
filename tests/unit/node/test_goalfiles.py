"""Goals from job files: edits, mistakes, folders, removal."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from edgesched.adapters.goalfiles import GoalFiles
from edgesched.core.model import ScienceGoal
from edgesched.core.plan.events import GoalsReceived
from tests.unit.node.fakes import Answers, Notices
from tests.waiting import wait_until

JOB = """\
name: {name}
plugins:
- name: sampler
  pluginSpec:
    image: registry.sagecontinuum.org/theone/imagesampler:0.3.0
nodes:
  W023:
scienceRules:
- "schedule(sampler): cronjob('sampler', '{cron}')"
"""


def job(name: str = "myjob", cron: str = "* * * * *") -> str:
    """Return the text of a job."""
    return JOB.format(name=name, cron=cron)


class Rig:
    """Goal files over a folder, looked at by hand."""

    def __init__(self, *paths: Path) -> None:
        self.events = Answers()
        self.notices = Notices()
        self.files = GoalFiles(paths, self.events, self.notices)

    def look(self) -> list[GoalsReceived]:
        """Look once; return the lists that this look emitted."""
        before = len(self.events.events)
        self.files.look()
        return [event for event in self.events.events[before:] if isinstance(event, GoalsReceived)]

    def goals(self) -> dict[str, ScienceGoal]:
        """The goals in force, by the job's name."""
        last = self.events.events[-1]
        assert isinstance(last, GoalsReceived)
        return {goal.name: goal for goal in last.goals}


def test_the_first_look_emits_a_list_even_without_goals(tmp_path: Path) -> None:
    """The planner must know that the files were read."""
    (event,) = Rig(tmp_path).look()
    assert event == GoalsReceived("files", (), first=True)


def test_a_file_is_a_goal_and_is_not_emitted_again(tmp_path: Path) -> None:
    """One list for what is there; silence while nothing changes."""
    path = tmp_path / "job.yaml"
    path.write_text(job())
    rig = Rig(path)
    (event,) = rig.look()
    assert event.first
    assert [goal.name for goal in event.goals] == ["myjob"]
    assert event.goals[0].job_id.startswith("f-")
    assert rig.look() == []


def test_an_edit_keeps_the_job_id_and_changes_the_goal_id(tmp_path: Path) -> None:
    """Run history and ledger belong to the job id, so an edit must keep it."""
    path = tmp_path / "job.yaml"
    path.write_text(job())
    rig = Rig(path)
    rig.look()
    before = rig.goals()["myjob"]
    path.write_text(job(cron="*/5 * * * *"))
    (event,) = rig.look()
    after = event.goals[0]
    assert not event.first
    assert after.job_id == before.job_id
    assert after.goal_id != before.goal_id
    path.write_text(job(cron="*/5 * * * *") + "# a comment\n")
    assert rig.look() == []


def test_a_file_that_becomes_bad_keeps_its_last_good_goal(tmp_path: Path) -> None:
    """A slip of the editor must not stop what runs; the log names file, line and column."""
    path = tmp_path / "job.yaml"
    path.write_text(job())
    rig = Rig(path)
    rig.look()
    path.write_text(job().replace("plugins:", "plugin:"))
    assert rig.look() == []
    assert "myjob" in rig.goals()
    assert rig.notices.named("goals.finding")[0]["at"] == f"{path}:2:1"
    assert rig.notices.named("goals.file_refused")[0]["reason"] == "its last good content stays in force"
    path.write_text(job("mended"))
    rig.look()
    assert list(rig.goals()) == ["mended"]


def test_a_bad_file_does_not_hide_the_good_ones(tmp_path: Path) -> None:
    """Each file stands for itself."""
    (tmp_path / "a.yaml").write_text("name: [")
    (tmp_path / "b.yml").write_text(job("good"))
    (tmp_path / "c.json").write_bytes(b"\xff\xfe")
    rig = Rig(tmp_path)
    rig.look()
    assert list(rig.goals()) == ["good"]
    told = {Path(fields.get("file", fields.get("at", "")).split(":")[0]).name for _, _, fields in rig.notices.lines}
    assert {"a.yaml", "c.json"} <= told


def test_a_folder_is_followed(tmp_path: Path) -> None:
    """Files that come into a folder count, those that go are removed; other files and hidden ones are not looked at."""
    (tmp_path / "readme.txt").write_text("no job")
    (tmp_path / ".hidden.yaml").write_text(job("hidden"))
    rig = Rig(tmp_path)
    rig.look()
    assert rig.goals() == {}
    (tmp_path / "b.yaml").write_text(job("b"))
    (tmp_path / "a.yaml").write_text(job("a"))
    rig.look()
    assert list(rig.goals()) == ["a", "b"]
    (tmp_path / "a.yaml").unlink()
    assert rig.look() == []
    rig.look()
    assert list(rig.goals()) == ["b"]


def test_a_file_replaced_by_renaming_is_no_removal(tmp_path: Path) -> None:
    """An editor that saves by deleting and renaming does not end the job in between."""
    path = tmp_path / "job.yaml"
    path.write_text(job())
    rig = Rig(path)
    rig.look()
    path.unlink()
    assert rig.look() == []
    (tmp_path / "new").write_text(job("edited"))
    (tmp_path / "new").rename(path)
    (event,) = rig.look()
    assert [goal.name for goal in event.goals] == ["edited"]


def test_a_config_map_mount_is_followed(tmp_path: Path) -> None:
    """Kubernetes replaces mounted ConfigMaps by swapping a symbolic link; the job keeps its id."""
    for version in ("..v1", "..v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "job.yaml").write_text(job(version.strip(".")))
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "job.yaml").symlink_to("..data/job.yaml")
    rig = Rig(tmp_path)
    rig.look()
    before = rig.goals()["v1"]
    (tmp_path / "..new").symlink_to("..v2")
    os.replace(tmp_path / "..new", tmp_path / "..data")
    rig.look()
    assert rig.goals()["v2"].job_id == before.job_id


@pytest.mark.parametrize("rule", ["schedule(nobody): True", "schedule(sampler): v('x' >"])
def test_a_broken_rule_is_told_and_the_rest_is_in_force(tmp_path: Path, rule: str) -> None:
    """A fault of meaning costs its rule, not the job: the planner refuses that rule alone."""
    path = tmp_path / "job.yaml"
    path.write_text(job() + f'- "{rule}"\n')
    rig = Rig(path)
    rig.look()
    assert "myjob" in rig.goals()
    assert any(fields["at"].startswith(f"{path}:10:") for fields in rig.notices.named("goals.finding"))


def test_a_job_for_another_node_is_told(tmp_path: Path) -> None:
    """A job that will do nothing here must not be silent about it; names are compared without regard to case."""
    path = tmp_path / "job.yaml"
    path.write_text(job())
    notices = Notices()
    GoalFiles([path], Answers(), notices, vsn="w023").look()
    assert not notices.named("goals.not_for_this_node")
    GoalFiles([path], Answers(), notices, vsn="W999").look()
    assert notices.named("goals.not_for_this_node")[0]["nodes"] == "W023"


def test_run_looks_until_the_stop(tmp_path: Path) -> None:
    """The thread notices a new file by itself, beats, and ends at the stop."""
    events = Answers()
    files = GoalFiles([tmp_path], events, Notices(), poll_s=0.01)
    stop, beats = threading.Event(), threading.Event()
    thread = threading.Thread(target=files.run, args=(stop, beats.set))
    thread.start()
    wait_until(lambda: events.events)
    (tmp_path / "job.yaml").write_text(job())
    wait_until(lambda: len(events.events) == 2)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert beats.is_set()
