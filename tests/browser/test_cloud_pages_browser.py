"""The cloud's pages in a real browser: live, quiet in the console, usable by keyboard and on a phone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.browser.standards import accessibility_complaints, html_complaints
from tests.cloud.api import Api, Cloud, event, job_text
from tests.cloud.test_cloud_pages import failing_job

pytestmark = [pytest.mark.slow]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud that ends with the test."""
    started = Cloud(tmp_path / "cloud", {})
    started.start()
    yield started
    started.stop()


@pytest.fixture
def user(cloud: Cloud) -> Api:
    """A user of that cloud."""
    return cloud.user("theone", "W023")


def test_the_list_follows_what_happens(cloud: Cloud, user: Api) -> None:
    """A job appears, and its state changes, without a reload; nothing in the console."""

    async def watch() -> None:
        async with Chromium() as browser:
            await browser.open(f"{cloud.url}/jobs")
            await browser.until(lambda: browser.value("document.getElementById('live').textContent === 'live'"))
            await browser.value("window.notReloaded = true")
            job_id = await asyncio.to_thread(user.submitted, job_text("fresh"))
            await browser.until(lambda: browser.value("document.body.innerText.includes('Submitted')"))
            arrived = event("goal.received", 1, 1, goal_id=user.goal_id(job_id))
            await asyncio.to_thread(cloud.node("W023").report, "W023", arrived)
            await browser.until(lambda: browser.value("document.body.innerText.includes('Running')"))
            assert await browser.value("window.notReloaded")
            assert browser.complaints == []

    asyncio.run(watch())


def test_a_refresh_keeps_what_the_reader_opened(cloud: Cloud, user: Api) -> None:
    """An open section stays open and the focus stays where it was."""
    job_id = failing_job(cloud, user)

    async def read() -> None:
        async with Chromium() as browser:
            await browser.open(f"{cloud.url}/jobs/{job_id}")
            await browser.until(lambda: browser.value("document.getElementById('live').textContent === 'live'"))
            await browser.value(
                "document.querySelector('details').open = true; document.querySelector('header a').focus()"
            )
            await asyncio.to_thread(user.get, f"/jobs/{job_id}/rm?suspend=true")
            await browser.until(lambda: browser.value("document.body.innerText.includes('Suspended')"))
            assert await browser.value("document.querySelector('details').open")
            assert await browser.value("document.activeElement.getAttribute('href')") == "/jobs"
            assert browser.complaints == []

    asyncio.run(read())


def test_names_and_words_from_outside_run_nothing(cloud: Cloud, user: Api) -> None:
    """A job called <script> and a plugin that speaks HTML open no dialog and break no policy."""
    job_id = failing_job(cloud, user)

    async def look() -> None:
        async with Chromium() as browser:
            for path in ("/jobs", f"/jobs/{job_id}"):
                await browser.open(cloud.url + path)
                assert await browser.value("document.querySelectorAll('main script, main b, main i').length") == 0
            assert browser.complaints == []

    asyncio.run(look())


@pytest.mark.parametrize("path", ["/jobs", "/jobs/1"])
def test_a_phone_shows_the_page_without_scrolling_aside(cloud: Cloud, user: Api, path: str, tmp_path: Path) -> None:
    """Wide tables scroll by themselves; the page does not. The names of the timeline's rows stay in sight."""
    failing_job(cloud, user)

    async def measure() -> None:
        async with Chromium(width=375, height=700) as browser:
            await browser.open(cloud.url + path)
            assert await browser.value("document.scrollingElement.scrollWidth") <= 375
            if path == "/jobs/1":
                await browser.until(lambda: browser.value("document.querySelector('.timeline .wide').scrollLeft > 0"))
                assert (
                    await browser.value("document.querySelector('.timeline .names').getBoundingClientRect().left") >= 0
                )
            await browser.screenshot(tmp_path / "phone.png")
            assert (tmp_path / "phone.png").stat().st_size > 5000

    asyncio.run(measure())


def test_the_keyboard_reaches_everything(cloud: Cloud, user: Api) -> None:
    """The skip link comes first and leads to the content; then links in the order of the page."""
    user.create(job_text("one"))

    async def tab() -> None:
        async with Chromium() as browser:
            await browser.block("*/live")  # or a refresh could come between two keys
            await browser.open(f"{cloud.url}/jobs")
            seen = []
            for _ in range(5):
                await browser.press("Tab", 9)
                seen.append(await browser.value("document.activeElement.textContent.slice(0, 20)"))
            assert seen[0] == "Skip to the content"
            assert seen[1] == "Edge scheduler"
            assert "one" in seen
            await browser.value("document.querySelector('.skip').focus()")
            await browser.press("Enter", 13)
            await browser.value("document.querySelector('.skip').click()")
            assert await browser.value("document.activeElement.id") == "main"

    asyncio.run(tab())


def test_the_pages_keep_the_standards(cloud: Cloud, user: Api) -> None:
    """HTML and accessibility: no jobs, then jobs of all kinds, then a job with runs that failed. No exceptions."""

    async def look(path: str) -> None:
        answer = await asyncio.to_thread(cloud.anybody.request, "GET", path)
        assert html_complaints(answer.text) == []
        async with Chromium() as browser:
            await browser.block("*/live")  # or the page could change while it is looked at
            await browser.open(cloud.url + path)
            assert await accessibility_complaints(browser) == []

    asyncio.run(look("/jobs"))
    job_id = failing_job(cloud, user)
    user.create(job_text("one"))
    user.get(f"/jobs/{user.submitted(job_text('two'))}/rm?force=true")
    asyncio.run(look("/jobs"))
    asyncio.run(look(f"/jobs/{job_id}"))
