"""Random schedules, clock jumps, DST days and restarts: each cron slot has at most one run, and a run or a reason."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from edgesched.core.model import NS_PER_S
from edgesched.core.plan import PlanSettings
from edgesched.core.plan.events import Woke
from edgesched.core.pods import run_names
from edgesched.core.rules import next_fire
from tests.property.node_world import World
from tests.unit.plan.driver import goal

HOUR_S = 3600.0
EXPRESSIONS = (
    ("* * * * *", ""),
    ("*/5 * * * *", ""),
    ("*/20 * * * *", "Europe/Berlin"),
    ("0 * * * *", ""),
    ("30 * * * *", "Europe/Berlin"),
    ("30 2 * * *", "Europe/Berlin"),
    ("15 1,2,3 * * *", "America/Chicago"),
    ("0,30 0-4 * * *", "Europe/Berlin"),
    ("7 3 * * *", ""),
)
STARTS = tuple(
    int(datetime(*day, 23, tzinfo=UTC).timestamp()) - 2 * 3600
    for day in ((2024, 3, 30), (2024, 10, 26), (2024, 3, 9), (2024, 11, 2), (2025, 6, 15))
)
"""Evenings before the days on which clocks change in Berlin and Chicago, and of a plain one."""


class History:
    """One history, made from a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.start_ns = (chance.choice(STARTS) + chance.randrange(3600)) * NS_PER_S
        self.run_s = {name: chance.choice([0.5, 5.0, 45.0, 100.0]) for name in "abc"}
        self.world = World(
            self.start_ns,
            PlanSettings(vsn="W023", policy=chance.choice(["default", "default", "roundrobin"])),
            run_s=lambda order: self.run_s[order.plugin.name],
            exit_code=lambda order: int(order.run_id[0] in "01"),
        )
        self.slots: dict[str, tuple[str, str]] = {}
        rules = []
        for name in "abc"[: chance.randint(1, 3)]:
            expr, tz = chance.choice(EXPRESSIONS)
            zone = f", tz='{tz}'" if tz else ""
            extra = chance.choice(["", "", ", retries=1", ", grace=5m", ", misfire=latest"])
            rules.append(f"schedule({name}{extra}): cronjob('{name}', '{expr}'{zone})")
            self.slots[name] = (f"{expr} tz={tz}" if tz else expr, extra)
        self.seen: list[tuple[int, int]] = []
        self.world.boot(goal(*rules))

    def live(self) -> None:
        """Let time pass, step the clock, kill and start again."""
        chance, world = self.chance, self.world
        for _ in range(chance.randint(3, 9)):
            before_ns = world.now.ts_ns
            world.run_to(world.at + chance.choice([20.0, 90.0, 400.0, 2000.0, 5000.0]))
            self.seen.append((before_ns, world.now.ts_ns))
            what = chance.random()
            if what < 0.3:
                world.offset_s += chance.choice([-HOUR_S, HOUR_S, -HOUR_S, HOUR_S, -30.0, 90.0])
                # the engine looks at the clock every ten seconds at least
                world.later(chance.uniform(0.0, 10.0), Woke)
            elif what < 0.7:
                snapshot = world.down()
                world.run_to(world.at + chance.choice([0.0, 1.0, 30.0, 300.0, 4000.0]))
                if chance.random() < 0.3:
                    world.boot_id = f"b{chance.random()}"
                world.restart(snapshot)

    # -- the promises -----------------------------------------------------------------------------------------------

    def broken(self) -> list[str]:
        """List the promises that were broken."""
        served = self._slots_by_run()
        retries = {
            value["run_id"] for name, value, _ in self.world.said if name == "plugin.queued" and "retry" in value
        }
        runs = Counter(served.get(order.run_id) for order in self.world.launched if order.run_id not in retries)
        wrong = [f"{slot} was run {count} times" for slot, count in runs.items() if count > 1 or slot is None]
        names = Counter(order.pod_name for order in self.world.launched)
        wrong += [f"pod {name} was asked for {count} times" for name, count in names.items() if count > 1]
        ends = Counter(
            value["run_id"]
            for name, value, _ in self.world.said
            if name in ("plugin.complete", "plugin.failed", "plugin.missed") and "run_id" in value
        )
        wrong += [f"run {run_id} ended {count} times" for run_id, count in ends.items() if count > 1]
        numbers = [int(message_id.rpartition("-")[2]) for _, _, message_id in self.world.said]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong.append("numbers of messages are not continuous")
        answered = set(runs) | self._missed(served)
        for plugin, (key, _) in self.slots.items():
            wrong += [
                f"slot {datetime.fromtimestamp(fire_ns / NS_PER_S, UTC)} of {plugin} ({key}) has neither run nor reason"
                for fire_ns in self._due(key)
                if (plugin, fire_ns) not in answered
            ]
        return wrong

    def _slots_by_run(self) -> dict[str, tuple[str, int]]:
        """Map the run ids that slots give to plugin and fire time."""
        return {
            run_names(key.object, f"W023/7/{key.object}/{key.expr}/{fire_ns}").run_id: (key.object, fire_ns)
            for key, times in self.world.state.ledger.claimed.items()
            for fire_ns in times
        }

    def _missed(self, served: dict[str, tuple[str, int]]) -> set[tuple[str, int]]:
        found = set()
        for name, value, _ in self.world.said:
            if name == "slot.missed":
                fire_ns: int | None = value["slot_ns"]
                while fire_ns is not None and fire_ns <= value.get("last_slot_ns", value["slot_ns"]):
                    found.add((value["plugin"], fire_ns))
                    fire_ns = next_fire(value["cron"], fire_ns)
            elif name == "plugin.missed" and value["run_id"] in served:  # else it is a retry
                found.add(served[value["run_id"]])
        return found

    def _due(self, key: str) -> list[int]:
        """Slots that opened while the agent was alive and looking, and that closed before the end."""
        end_ns = self.seen[-1][1]
        found: dict[int, None] = {}
        for start_ns, stop_ns in self.seen:
            fire_ns = next_fire(key, start_ns - 1)
            while fire_ns is not None and fire_ns < stop_ns:
                following_ns = next_fire(key, fire_ns)
                if following_ns is not None and following_ns <= min(stop_ns, end_ns):
                    found[fire_ns] = None
                fire_ns = following_ns
        return list(found)


def check(seeds: range) -> None:
    """Make and judge histories; the first that is wrong is named with what is wrong."""
    for seed in seeds:
        history = History(seed)
        history.live()
        assert history.broken() == [], f"seed {seed}: {history.slots}"


def test_some_histories() -> None:
    """The first of the histories of the long test below."""
    check(range(200))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_histories(part: int) -> None:
    """Random schedules with clock jumps of an hour, DST days and restarts; in parts, for as many cores as there are."""
    check(range(200 + 500 * part, 700 + 500 * part))
