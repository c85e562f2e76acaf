"""The agent's status page in a real browser: live, quiet in the console, on a phone and without JavaScript."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesched.adapters.broker import free_port
from edgesched.simcluster import Outcome, Scenario, SimCluster
from tests.browser.chromium import Chromium
from tests.browser.standards import accessibility_complaints, html_complaints
from tests.e2e.processes import Command
from tests.e2e.world import GOOD_AND_BROKEN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

JOB = GOOD_AND_BROKEN.format(name="<b>page</b>")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A running agent with one plugin that succeeds and one that fails, and a broker that is away."""
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    outcomes = (
        Outcome(image="*broken*", run_s=0.2, exit_code=(3,), log=("<script>alert(1)</script>",)),
        Outcome(run_s=0.5),
    )
    port = free_port()
    with SimCluster(Scenario(outcomes)) as cluster:
        flags = ["--kube-server", cluster.url, "--wes=false", f"--job={job}", "--node", "W023", "--log-format", "json"]
        flags += ["--http-listen", f"127.0.0.1:{port}", "--mqtt-uri", f"mqtt://127.0.0.1:{free_port()}"]
        with Command("run", *flags) as agent:
            agent.await_event("plugin.failed", 60)
            agent.await_event("plugin.complete", 60)
            yield f"http://127.0.0.1:{port}/"


def test_the_page_is_whole_without_scripts(url: str) -> None:
    """What a text browser reads has the plugin, its failure, its last words and the alarm, all escaped."""
    with urllib.request.urlopen(url, timeout=10) as response:
        text = response.read().decode()
        policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for words in (
        "Node W023",
        "sampler",
        "exit code 3",
        "the MQTT broker cannot be reached",
        "<svg",
        "no data for env.t",
    ):
        assert words in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "<b>page" not in text


def test_the_page_keeps_the_standards(url: str) -> None:
    """HTML and accessibility, with alarms, failures and a timeline on the page. No exceptions."""

    async def look() -> None:
        with urllib.request.urlopen(url, timeout=10) as response:
            assert html_complaints(response.read().decode()) == []
        async with Chromium() as browser:
            await browser.block("*/changes")  # or the page would change while it is looked at
            await browser.open(url)
            assert await accessibility_complaints(browser) == []

    asyncio.run(look())


def test_the_page_is_live_and_fits_a_phone(url: str, tmp_path: Path) -> None:
    """A new run appears by itself, nothing is complained of, and nothing sticks out on a narrow screen."""
    asyncio.run(_look(url, tmp_path))


async def _look(url: str, folder: Path) -> None:
    async with Chromium() as browser:
        await browser.open(url)
        await browser.until(lambda: browser.value("document.getElementById('live').textContent === 'live'"), 30)
        before = int(await browser.value(_RUNS))
        await browser.until(lambda: _more(browser, before), 60)
        assert await browser.value("document.querySelectorAll('svg.timeline g.run.failed path').length") > 0
        await browser.screenshot(folder / "page.png")
        await browser.resize(390, 800)
        assert await browser.value("document.documentElement.scrollWidth <= 390")
        await browser.screenshot(folder / "phone.png")
        assert browser.complaints == []


_ROW = json.dumps("sampler")
_RUNS = (
    "Array.from(document.querySelectorAll('tr')).find((row) => row.firstElementChild.textContent === "
    f"{_ROW}).children[5].textContent"
)


async def _more(browser: Chromium, before: int) -> bool:
    return int(await browser.value(_RUNS)) > before
