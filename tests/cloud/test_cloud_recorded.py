"""Our API, goals and `sesctl` against what was recorded of the reference (shared/reference/protocol.md)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgesched.adapters.sse import BlockReader
from edgesched.cli import sesctl_text
from edgesched.core.jobs import goals_from_json
from tests.cloud.api import Api, Cloud

CUT = ("…", "10b9e74e-…")
"""Where the sheet shortens."""


@pytest.fixture
def sheet(shared: Path) -> str:
    """The fact sheet."""
    return (shared / "reference" / "protocol.md").read_text(encoding="utf-8")


def block(sheet: str, heading: str) -> str:
    """The first code block below a heading."""
    found = re.search(rf"^#+ {re.escape(heading)}.*?^```\w*\n(.*?)^```", sheet, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def same(recorded: Any, ours: Any, path: str = "") -> None:
    """Fail unless our document has the same keys in the same order and the same values; ids and times differ."""
    if isinstance(recorded, dict):
        assert isinstance(ours, dict), path
        assert list(recorded) == list(ours) or set(recorded.values()) & set(CUT), (path, list(recorded), list(ours))
        for key, value in recorded.items():
            same(value, ours[key], f"{path}.{key}")
    elif isinstance(recorded, list):
        assert isinstance(ours, list), path
        assert len(recorded) == len(ours), path
        for index, (one, other) in enumerate(zip(recorded, ours, strict=True)):
            same(one, other, f"{path}[{index}]")
    elif recorded in CUT:
        assert isinstance(ours, str), path
    elif isinstance(recorded, str) and re.fullmatch(r"[0-9a-f-]{36}", recorded):
        assert re.fullmatch(r"[0-9a-f-]{36}", ours), path
    elif isinstance(recorded, str) and recorded.endswith("Z"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z", ours), path
    else:
        assert recorded == ours, path


def test_a_job_is_answered_as_recorded(cloud: Cloud, sheet: str) -> None:
    """The recorded job, sent to our cloud and submitted there, comes back with the recorded keys and values."""
    recorded = json.loads(block(sheet, "jobs/{id}/status"))
    alice = cloud.user("alice", "W023")
    job_id = alice.submitted(json.dumps(recorded))
    answer = alice.get(f"/jobs/{job_id}/status")
    same(recorded, answer.json)
    assert answer.text == json.dumps(answer.json, indent=1, ensure_ascii=False) + "\n"


def test_a_created_job_is_answered_to_the_letter(cloud: Cloud, sheet: str) -> None:
    """Blanks, order and line ends."""
    created = cloud.user("alice", "W023").get("/create?name=myjob")
    assert created.text.replace('"1"', '"56"') == block(sheet, "create")


@pytest.mark.parametrize(("indent", "blank"), [(1, "\n"), (2, "")], ids=["first", "later"])
def test_goals_of_the_reference_are_read_like_ours(cloud: Cloud, sheet: str, indent: int, blank: str) -> None:
    """A stream of the reference: several lines without prefix. The same goal comes out as over our own stream."""
    recorded = json.loads(block(sheet, "jobs/{id}/status"))["science_goal"]
    alice = cloud.user("alice", "W023")
    alice.submitted(block(sheet, "jobs/{id}/status"))
    (ours,) = alice.goals("W023")
    recorded["sub_goals"][0]["plugins"] = [
        {**plugin, "goal_id": recorded["id"]} for plugin in ours["sub_goals"][0]["plugins"]
    ]
    text = json.dumps([recorded], indent=indent).replace("<", "\\u003c" if indent == 2 else "<")
    sent = f"event: sys.scheduler.status.goal.updated\ndata: {text}\n{blank}\n"
    (event,) = BlockReader(1 << 20).feed(sent.encode())
    (theirs,), warnings = goals_from_json(event.payload)
    (own,), _ = goals_from_json(json.dumps([ours]).replace(ours["id"], recorded["id"]))
    assert warnings == []
    assert theirs == own


def test_lists_and_details_are_printed_as_recorded(sheet: str) -> None:
    """`sesctl stat`, with and without a job, to the letter."""
    now_ns = 1_795_345_131_124_638_418  # the recorded moment
    since = {13: "2026-11-22T10:58:38.124638418Z", 0: "2026-11-22T10:58:51.124638418Z"}

    def job(job_id: str, name: str, state: str, updated: str) -> dict[str, Any]:
        return {
            "job_id": job_id,
            "name": name,
            "user": "alice",
            "state": {"last_state": state, "last_updated": updated},
        }

    jobs = {"1": job("1", "myjob", "Suspended", since[0]), "7": job("7", "demo", "Running", since[13])}
    table = sesctl_text.job_table(jobs, now_ns, everything=False)
    head, *rows = block(sheet, "3.3 `stat` list output").splitlines()
    # the reference's rows stand in random order, ours in that of the ids
    assert table.splitlines() == [head, *sorted(rows, key=lambda row: int(row.split()[0]))]

    document = json.loads(block(sheet, "jobs/{id}/status"))
    document |= {"email": "user@example.org", "notification_on": ["Running", "Completed"]}
    details = block(sheet, "3.4 `stat --job-id` output")
    wanted = re.sub(r"^  (Started|Completed): …\n", "", details, flags=re.MULTILINE)
    assert sesctl_text.job_details(document) == wanted.replace("784f-43d1-938e", "784f-43d1-538e")


def test_a_recorded_event_moves_the_job(cloud: Cloud, sheet: str) -> None:
    """A message as a node of the reference writes it: no id, no meta, no job id."""
    alice = cloud.user("alice", "W023")
    job_id = alice.submitted(block(sheet, "jobs/{id}/status"))
    section = sheet[sheet.index("Example, `plugin.scheduled`") :]
    message = json.loads(re.sub(r"\n\s*", "", section.partition("```json\n")[2].partition("```")[0]))
    fields = {**json.loads(message["val"]), "goal_id": alice.goal_id(job_id)}
    message["val"] = json.dumps(fields, separators=(",", ":"), sort_keys=True)
    node = cloud.node("W023")
    for _ in range(2):
        node.report("W023", message)
    (run,) = alice.get(f"/jobs/{job_id}/runs").json["runs"]
    assert (run["plugin"], run["run"], run["state"], run["pod"]) == (
        "image-sampler", "image-sampler-BpLnfg", "scheduled", "image-sampler-56",
    )  # fmt: skip
    assert run["queued"] == "2026-11-22T11:02:43.710966968Z"
    assert len(Api(cloud.url).query(start="2000-01-01T00:00:00Z")) == 1
