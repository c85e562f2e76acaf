"""The API against a model of job states, under random sequences of requests and reports."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.cloud.api import Api, Cloud, event, job_text

NODES = ("A", "B")
IN_FORCE = ("Submitted", "Running")


class ModelJob:
    """What the model knows of a job."""

    def __init__(self, name: str, nodes: tuple[str, ...]) -> None:
        self.name = name
        self.nodes = nodes
        self.state = "Created"
        self.goal_id = ""
        self.met: set[str] = set()


class JobMachine(RuleBasedStateMachine):
    """Requests of two users and reports of two nodes; the cloud and the model must always agree."""

    cloud: Cloud
    users: dict[str, Api]
    nodes: dict[str, Api]
    names: Iterator[int]

    jobs = Bundle("jobs")

    @initialize()
    def begin(self) -> None:
        self.model: dict[str, ModelJob] = {}
        self.past: list[str] = []

    @rule(target=jobs, nodes=st.sampled_from([("A",), ("B",), ("A", "B"), ()]), send=st.booleans())
    def create(self, nodes: tuple[str, ...], send: bool) -> object:
        name = f"m{next(self.names)}"
        path = "/submit" if send else "/create"
        answer = self.users["owner"].post(path, job_text(name, nodes=nodes))
        if send and not nodes:
            assert answer.status == 400
            return multiple()
        assert answer.status == 200, answer.text
        job_id = str(answer.json["job_id"])
        assert job_id not in self.model
        self.model[job_id] = ModelJob(name, nodes)
        if send:
            self._now_submitted(job_id)
        return job_id

    def _now_submitted(self, job_id: str) -> None:
        job = self.model[job_id]
        if job.goal_id:
            self.past.append(job.goal_id)
        job.state, job.met = "Submitted", set()
        job.goal_id = self.users["owner"].goal_id(job_id)
        assert job.goal_id not in self.past

    @rule(job_id=jobs, dry_run=st.booleans())
    def submit(self, job_id: str, dry_run: bool) -> None:
        job = self.model[job_id]
        answer = self.users["owner"].get(f"/submit?id={job_id}&dryrun={'true' if dry_run else 'false'}")
        if not job.nodes:
            assert answer.status == 400
        elif dry_run:
            assert answer.status == 200
        elif job.state == "Removed":
            assert answer.status == 409
        else:
            assert answer.json == {"job_id": job_id, "state": "Submitted"}
            self._now_submitted(job_id)

    @rule(job_id=jobs, nodes=st.sampled_from([("A",), ("A", "B")]))
    def edit(self, job_id: str, nodes: tuple[str, ...]) -> None:
        job = self.model[job_id]
        answer = self.users["owner"].post(f"/edit?id={job_id}", job_text(job.name, nodes=nodes))
        if job.state == "Removed":
            assert answer.status == 409
            return
        assert answer.json == {"job_id": job_id, "state": "Drafted"}
        if job.goal_id:
            self.past.append(job.goal_id)
        job.state, job.nodes, job.goal_id = "Drafted", nodes, ""

    @rule(job_id=jobs, nodes=st.sampled_from([("A",), ("A", "B"), ()]))
    def replace(self, job_id: str, nodes: tuple[str, ...]) -> None:
        """In force it goes on as another goal, elsewhere it is an edit."""
        job = self.model[job_id]
        answer = self.users["owner"].request("PUT", f"/api/v1/jobs/{job_id}", job_text(job.name, nodes=nodes))
        if job.state == "Removed":
            assert answer.status == 409
        elif job.state not in IN_FORCE:
            assert answer.json["state"] == "Drafted"
            if job.goal_id:
                self.past.append(job.goal_id)
            job.state, job.nodes, job.goal_id = "Drafted", nodes, ""
        elif not nodes:
            assert answer.status == 400
        else:
            assert answer.json == {"job_id": job_id, "state": "Submitted"}
            job.nodes = nodes
            self._now_submitted(job_id)

    @rule(job_id=jobs, force=st.booleans())
    def remove(self, job_id: str, force: bool) -> None:
        job = self.model[job_id]
        answer = self.users["owner"].get(f"/jobs/{job_id}/rm?force={'true' if force else 'false'}")
        if job.state == "Running" and not force:
            assert answer.status == 409
        else:
            assert answer.json == {"job_id": job_id, "state": "Removed"}
            job.state = "Removed"

    @rule(job_id=jobs)
    def suspend(self, job_id: str) -> None:
        job = self.model[job_id]
        answer = self.users["owner"].get(f"/jobs/{job_id}/rm?suspend=true")
        if job.state in (*IN_FORCE, "Suspended"):
            assert answer.json == {"job_id": job_id, "state": "Suspended"}
            job.state = "Suspended"
        else:
            assert answer.status == 409

    @rule(job_id=jobs, request=st.sampled_from(["submit?id=%s", "jobs/%s/rm?force=true", "jobs/%s/rm?suspend=true"]))
    def meddle(self, job_id: str, request: str) -> None:
        """Another user asks for the same, in vain."""
        assert self.users["other"].get("/" + request % job_id).status == 403
        assert self.users["other"].request("PUT", f"/api/v1/jobs/{job_id}", job_text()).status == 403

    @rule(
        job_id=jobs, vsn=st.sampled_from(NODES), what=st.sampled_from(["received", "updated", "completed", "removed"])
    )
    def report(self, job_id: str, vsn: str, what: str) -> None:
        job = self.model[job_id]
        if not job.goal_id:
            return
        number = next(self.names)
        self.nodes[vsn].report(vsn, event(f"goal.{what}", number, number, goal_id=job.goal_id))
        if vsn not in job.nodes or job.state not in IN_FORCE or what == "removed":
            return
        job.state = "Running"
        if what == "completed":
            job.met.add(vsn)
        if job.met == set(job.nodes):
            job.state = "Completed"

    @rule(vsn=st.sampled_from(NODES), pick=st.integers(0, 1000))
    def report_the_past(self, vsn: str, pick: int) -> None:
        """A report about a goal that another one replaced."""
        if self.past:
            number = next(self.names)
            goal_id = self.past[pick % len(self.past)]
            self.nodes[vsn].report(vsn, event("goal.received", number, number, goal_id=goal_id))

    @invariant()
    def the_cloud_agrees(self) -> None:
        stored = self.users["owner"].get("/jobs/list").json
        for job_id, job in self.model.items():
            assert (stored[job_id]["name"], stored[job_id]["state"]["last_state"]) == (job.name, job.state)
        for vsn in NODES:
            expected = [
                (job_id, job.goal_id)
                for job_id, job in sorted(self.model.items(), key=lambda item: int(item[0]))
                if vsn in job.nodes and job.state in IN_FORCE
            ]
            found = [(goal["job_id"], goal["id"]) for goal in self.users["owner"].goals(vsn)]
            assert [pair for pair in found if pair[0] in self.model] == expected

    def teardown(self) -> None:
        """Leave no goal of this run behind for the next one."""
        for job_id in getattr(self, "model", {}):
            self.users["owner"].get(f"/jobs/{job_id}/rm?force=true")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [12, pytest.param(150, marks=pytest.mark.slow)])
def test_the_api_follows_the_model(cloud: Cloud, examples: int) -> None:
    """Whatever is asked in whatever order, state, goals in force and refusals are those of the model."""

    class Machine(JobMachine):
        users = {"owner": cloud.user("owner", *NODES), "other": cloud.user("other", *NODES)}  # noqa: RUF012
        nodes = {vsn: cloud.node(vsn) for vsn in NODES}  # noqa: RUF012
        names = itertools.count(1)

    Machine.cloud = cloud
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
