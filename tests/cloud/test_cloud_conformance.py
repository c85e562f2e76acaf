"""Real jobs: each is created and submitted, or refused with the place of every fault."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.cloud.api import Cloud


def test_every_real_job_is_taken_or_told_what_is_wrong(cloud: Cloud, shared: Path) -> None:
    """A job that is created is submitted too, unless it is a draft; a refusal names lines."""
    user = cloud.user("u", "*")
    files = sorted((shared / "conformance" / "jobs").glob("*.yaml"))
    assert len(files) >= 70
    taken, refused = [], []
    for file in files:
        text = file.read_text(encoding="utf-8")
        created = user.post("/create", text)
        assert created.status in (200, 400), (file.name, created.text)
        answer = user.get(f"/submit?id={created.json['job_id']}") if created.status == 200 else created
        if answer.status == 200:
            taken.append(file.name)
            continue
        refused.append(file.name)
        assert answer.json["errors"], file.name
        for error in answer.json["errors"]:
            assert error["message"]
            assert error.get("line", 0) > 0 or error["code"] in ("job.nodes.none", "job.plugins.none"), (
                file.name,
                error,
            )
    assert len(taken) >= 40, f"taken {len(taken)}, refused: {refused}"
    jobs = user.get("/jobs/list").json
    for job in jobs.values():
        if job["state"]["last_state"] == "Submitted":
            assert len(job["science_goal"]["sub_goals"]) == len(job["nodes"])


def test_what_is_taken_is_what_was_written(cloud: Cloud, shared: Path) -> None:
    """Names, images and rules of the stored jobs are those of the files."""
    user = cloud.user("u", "*")
    compared = 0
    for file in sorted((shared / "conformance" / "jobs").glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        answer = user.post("/create", text)
        if answer.status != 200:
            continue
        written = next(iter(yaml.safe_load_all(text)))
        stored = user.job(answer.json["job_id"])
        assert stored["name"] == str(written["name"])
        assert [plugin["name"] for plugin in stored["plugins"]] == [plugin["name"] for plugin in written["plugins"]]
        assert stored["science_rules"] == written["scienceRules"]
        assert list(stored["nodes"] or {}) == [str(node) for node in written.get("nodes") or {}]
        compared += 1
    assert compared >= 40
