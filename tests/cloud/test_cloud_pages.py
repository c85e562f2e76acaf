"""The pages without a browser: whole, escaped, under a strict policy, live."""

from __future__ import annotations

import contextlib
import threading
from html.parser import HTMLParser

import pytest
import urllib3

from tests.cloud.api import Api, Cloud, event, job_text
from tests.waiting import wait_until

VOID = {"meta", "link", "br", "rect", "line", "path", "circle"}


class Checker(HTMLParser):
    """Collects what a page is made of and checks that its elements close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def tags(self, name: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of a name."""
        return [attributes for tag, attributes in self.seen if tag == name]


def failing_job(cloud: Cloud, user: Api) -> str:
    """A job with a completed, a failed and a missed run."""
    job_id = user.submitted(job_text("<script>alert(1)</script>", rule="v('a') > 3 and 1 < 2"))
    goal_id = user.goal_id(job_id)
    messages = [event("goal.received", 1, 1, goal_id=goal_id)]
    for number, end in enumerate(("complete", "failed", "missed")):
        fields = {"goal_id": goal_id, "plugin_name": "p", "pluginruntime_pod_instance": f"p-{number}"}
        ts_ns = 1_790_000_000_000_000_000 + number
        messages.append(event("plugin.queued", 10 + number, ts_ns, **fields))
        more = {"reason": "<b>OOM\x1b[31m</b>", "return_code": 137, "error_log": "<i>boom</i>"}
        messages.append(event(f"plugin.{end}", 20 + number, ts_ns + 5, **fields, **(more if end == "failed" else {})))
    cloud.node("W023").report("W023", *messages)
    return job_id


@pytest.mark.parametrize("path", ["/jobs", "/jobs/1"])
def test_pages_are_whole_and_nothing_from_outside_is_markup(cloud: Cloud, theone: Api, path: str) -> None:
    """Elements close; a job's name and a plugin's words are text; no style and no script stand in the page."""
    failing_job(cloud, theone)
    answer = cloud.anybody.request("GET", path)
    assert answer.content_type == "text/html; charset=utf-8"
    page = Checker(answer.text)
    assert "<script>alert(1)</script>" in page.text
    assert [script.get("src") for script in page.tags("script")] == ["/static/live.js"]
    assert not any("style" in attributes or "onclick" in attributes for _, attributes in page.seen)
    assert page.tags("html") == [{"lang": "en"}]
    assert "\x1b" not in answer.text


def test_the_policy_allows_our_own_files_only(cloud: Cloud, theone: Api) -> None:
    """On the pages and on their files."""
    theone.create()
    for path in ("/jobs", "/jobs/1", "/static/style.css", "/static/live.js", "/static/icon.svg"):
        answer = cloud.anybody.request("GET", path)
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert cloud.anybody.request("GET", "/static/../config.py").status == 404
    assert cloud.anybody.request("GET", "/jobs/99").status == 404


def test_a_failure_is_marked_and_told(cloud: Cloud, theone: Api) -> None:
    """Not by colour alone: a mark in the timeline, the reason and the log lines below."""
    job_id = failing_job(cloud, theone)
    page = Checker(cloud.anybody.request("GET", f"/jobs/{job_id}").text)
    marks = [attributes for attributes in page.tags("path") if attributes.get("class") == "mark"]
    assert len(marks) == 1
    assert len(page.tags("rect")) == 3
    assert "<b>OOM\\x1b[31m</b>" in page.text
    assert "exit code 137" in page.text
    assert "<i>boom</i>" in page.text
    assert "v('a') > 3 and 1 < 2" in page.text


def test_pages_hear_of_changes(cloud: Cloud, theone: Api) -> None:
    """The page of a job and the list are told; the page of another job is not."""
    job_id = theone.create(job_text("one"))
    other = theone.create(job_text("two"))
    heard: dict[str, str] = {}

    def listen(path: str) -> None:
        response = cloud.anybody._pool.request("GET", cloud.url + path, preload_content=False)
        with contextlib.suppress(urllib3.exceptions.ProtocolError):  # the cloud ends before the pages do
            for part in response.stream(1):
                heard[path] = heard.get(path, "") + part.decode()

    paths = (f"/jobs/{job_id}/live", "/jobs/live", f"/jobs/{other}/live")
    for path in paths:
        threading.Thread(target=listen, args=(path,), daemon=True).start()
    wait_until(lambda: all(heard.get(path, "").startswith(": open") for path in paths))
    theone.get(f"/submit?id={job_id}")
    wait_until(lambda: "event: changed" in heard[paths[0]] and "event: changed" in heard[paths[1]])
    assert "event: changed" not in heard[paths[2]]
