"""The timeline of the status page over the end of the agent."""

from __future__ import annotations

import json
import re
import urllib.request

from tests.e2e.processes import Command
from tests.e2e.world import World
from tests.waiting import wait_until

ALWAYS = '- "schedule(sampler): True"\n'


def label(world: World) -> str:
    """What the picture says of itself; empty without one."""
    with urllib.request.urlopen(f"http://127.0.0.1:{world.http_port}/", timeout=5) as response:
        found = re.search(r'class="timeline"[^>]*aria-label="([^"]*)"', response.read().decode())
    return found[1] if found else ""


def test_the_timeline_outlives_the_agent(world: World) -> None:
    """A killed agent's runs come back from the plugins' stories, an ended one's from its file, jobs gone or not."""
    job = world.job(ALWAYS)
    flags = [*world.flags(job), "--state-dir", str(world.folder / "state")]
    with Command("run", *flags) as agent:
        run_id = agent.await_event("plugin.complete", 60)["run"]
        assert "1 runs of 1 plugins" in label(world)
        agent.process.kill()
        agent.ended(10)
    with Command("run", *flags) as agent:
        agent.await_event("kube.connected", 60)
        assert " of 1 plugins in the last 24 hours, 0 failed" in label(world)
        again = agent.await_event("plugin.complete", 60)
        assert again["run"] != run_id
        wait_until(lambda: "2 runs of 1 plugins" in label(world), 10)
        assert agent.end() == 0
    job.write_text(json.dumps({"name": "other", "nodes": {"W099": True}, "plugins": [], "scienceRules": []}))
    with Command("run", *flags) as agent:
        agent.await_event("kube.connected", 60)
        assert re.match(r"[23] runs of 1 plugins in the last 24 hours", label(world))
        assert agent.end() == 0
