"""The same events give the same effects, whatever the hash seed of the process is."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

from edgesched.core.plan.effects import DeletePod, Effect, LaunchPod
from tests.unit.plan.driver import Driver, goal, plugin

ROOT = Path(__file__).parents[2]

RULES = (
    "schedule(a): cronjob('a', '* * * * *')",
    "schedule(b, cooldown=30s): any(v('env.x', since='-30s') > 5)",
    "schedule(c): after('a', since='c')",
    "schedule(d, duration=15s): avg(v('env.x', since='-2m')) > 4 and time('minute') % 2 == 0",
    "publish(env.event, every=40s): max(v('env.x', since='-1m', sensor='s1')) > 8",
    "set(mode, value=busy): count(v('env.y', since='-30s')) > 2",
)
PLUGINS = tuple(plugin(name, selector={"zone": "core", "resource.gpu": "true"}) for name in "abcd")


def history() -> str:
    """Play a fixed history of 600 moves in two jobs; return the digest of all effects."""
    chance = random.Random(7)
    node = Driver()
    effects: list[Effect] = node.start(
        goal(*RULES, job="1", plugins=PLUGINS), goal(*RULES[:3], job="2", plugins=PLUGINS)
    )
    for _ in range(600):
        pending = [effect.order.run_id for effect in effects if isinstance(effect, LaunchPod)]
        gone = [effect.pod_name for effect in effects if isinstance(effect, DeletePod)]
        for run_id in pending:
            effects += node.created(run_id)
            effects += node.ends(run_id, chance.choice([0, 0, 3]))
        for run in list(node.state.runs.values()):
            if run.pod_name in gone:
                effects += node.vanishes(run.run_id)
        name, sensor = chance.choice(["env.x", "env.y", "env.z"]), chance.choice(["s1", "s2"])
        effects = node.measure(name, chance.randint(0, 10), sensor=sensor)
        effects += node.advance(node.at + chance.choice([0.2, 3.0, 20.0]))
    return hashlib.sha256("\n".join(repr(effect) for _, effect in node.log).encode()).hexdigest()


def run_with_seed(seed: str, *words: str) -> str:
    """Run Python with a hash seed and return what it prints."""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=True
    )
    return done.stdout


def test_a_history_gives_the_same_effects_under_two_hash_seeds() -> None:
    """No set or hash order leaks into launches, messages or log lines."""
    program = "from tests.property.test_plan_determinism import history; print(history())"
    first, second = run_with_seed("1", "-c", program), run_with_seed("4242", "-c", program)
    assert first == second
    assert len(first.strip()) == 64


def test_a_recorded_run_replays_the_same_under_two_hash_seeds() -> None:
    """The example's recording, replayed as a user does, tells the same story twice."""
    words = ["-m", "edgesched.cli.main", "replay", "examples/tutorial/rain.yaml", "--json"]
    words += ["--measurements", "examples/measurements/rain.ndjson"]
    first, second = run_with_seed("1", *words), run_with_seed("4242", *words)
    assert first == second
    assert '"rain-sampler"' in first
