"""`make crash`: kill the agent again and again at random moments under load, then let the records judge.

Twelve cron plugins with four slots a minute each, one of which fails and is retried, plugins and publications on
measurements, an embedded cluster that loses requests and replies and cuts watches, a wire to the broker that breaks.
The agent is killed with SIGKILL after a random time, mostly short and in most lives counted from its first pod, and
started again, mostly at once. After the series the agent is left alone until it has caught up, its job is taken away,
and `tools.crash_check` compares what the cluster and the broker's witness have recorded with the promises.
`--real DIRECTORY` does the same on a real API server.
`--storm`: 300 cron plugins instead of twelve, sixty of them due together every three seconds, so that each kill
falls into launches.

Prints the numbers; exit 1 when a promise was broken. The records stay in `--keep DIRECTORY`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from edgesched.simcluster import Outcome, Scenario, SimCluster
from tools.crash_check import Creation, CronPlugin, Evidence, Judgement, judge
from tools.crash_world import AGENT, Launcher, Sensors, Wire, Witness, creation, end, lives, make_broker

VSN = "W0CR"
NS = 1_000_000_000
SETTLE_S = 40.0
STORM_GRACE_S = 20.0
"""How long a slot stays open in a storm, and its pod is kept: a short series should not wait a minute for its end."""
FAILING = "c11"
SENSED = ["crash.x0", "crash.x1", "crash.x2"]


def _crons(count: int, second_of: Callable[[int], int]) -> list[CronPlugin]:
    """Make plugins with four slots a minute each, the first of them at a second below 15."""
    return [
        CronPlugin(
            f"c{number}",
            "* * * * * " + ",".join(str(second_of(number) + 15 * k) for k in range(4)),
            2 if f"c{number}" == FAILING else 0,
        )
        for number in range(count)
    ]


STEADY = _crons(12, lambda number: number)
STORM = _crons(300, lambda number: number % 5 * 3)


class Cluster(Protocol):
    """A cluster that keeps a log of its own."""

    created: list[Creation]

    def flags(self) -> list[str]:
        """Say to the agent where it is."""
        ...

    def trouble(self, chance: random.Random) -> None:
        """Do something that clusters do on bad days."""
        ...

    def calm(self) -> None:
        """No more troubles."""
        ...

    def pods(self) -> list[str]:
        """Names of the pods of the agent that are there now."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Embedded:
    """The embedded cluster."""

    def __init__(self) -> None:
        outcomes = (
            Outcome(plugin=FAILING, start_delay_s=0.05, run_s=0.2, exit_code=(1, 1, 0)),
            Outcome(start_delay_s=0.05, run_s=0.5),
        )
        self.created: list[Creation] = []
        self._cluster = SimCluster(Scenario(outcomes))
        self._cluster.start()
        self._cluster.store.listen(self._notice)

    def _notice(self, resource: Any, change: Any) -> None:
        if resource.kind == "Pod" and change.type == "ADDED":
            self.created.append(creation(change.now.obj))

    def flags(self) -> list[str]:
        return ["--kube-server", self._cluster.url]

    def trouble(self, chance: random.Random) -> None:
        faults = self._cluster.faults
        what = chance.randrange(7)
        if what == 0:
            faults.lose_reply(2, match="POST */pods")
        elif what == 1:
            faults.lose_request(2, match="POST */pods")
        elif what == 2:
            faults.fail(3, code=chance.choice([500, 503, 504]))
        elif what == 3:
            faults.throttle(2)
        elif what == 4:
            self._cluster.drop_watches()
        elif what == 5:
            self._cluster.go_down(chance.uniform(0.1, 1.0))
        else:
            faults.delay(chance.uniform(0.1, 0.8), 3)

    def pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self._cluster.pods() if AGENT in pod["metadata"]["labels"]]

    def calm(self) -> None:
        """No more faults."""
        self._cluster.faults.clear()

    def close(self) -> None:
        self._cluster.stop()


@dataclasses.dataclass
class Lives:
    """What the series did. `early` agents ended by themselves; `launched` ones had made pods when they were killed."""

    kills: int = 0
    alive_s: float = 0.0
    early: int = 0
    launched: int = 0


class Series:
    """One series of kills in a folder."""

    def __init__(self, folder: Path, cluster: Cluster, seed: int, *, storm: bool = False) -> None:
        self.folder = folder
        self.cluster = cluster
        self.storm = storm
        self.crons = STORM if storm else STEADY
        self.chance = random.Random(seed)
        self.lives = Lives()
        self.broker = make_broker()
        self.witness = Witness(self.broker.port)
        self.wire = Wire(self.broker.port)
        self.sensors = Sensors(self.broker.port, SENSED, rate=60.0)
        jobs = folder / "jobs"
        jobs.mkdir()
        self.job = jobs / "crash.yaml"
        self.job.write_text(_job(self.crons))
        self.launcher = Launcher(folder / "agent.log")
        self.arguments = [
            *["run", "-nodename", VSN, "--mqtt-uri", f"mqtt://127.0.0.1:{self.wire.port}", f"--job={jobs}"],
            *["--state-dir", str(folder / "state"), "--http-listen", "off", "--log-format", "json", "--wes=false"],
            *["--keep-finished", "3s", "--snapshot-every", "10s", *cluster.flags()],
        ]
        if storm:
            self.arguments.append(f"--grace={STORM_GRACE_S:g}s")

    def run(self, count: int) -> Judgement:
        """Kill so often, let the agent catch up, take its job away, judge."""
        for number in range(count):
            self._one_life()
            if (number + 1) % 100 == 0:
                print(f"  {number + 1} kills, {len(self.cluster.created)} pods, {len(self.witness.heard)} messages")
        self.cluster.calm()
        pid = self.launcher.start(self.arguments)
        self._wait(lambda: not lives(pid), STORM_GRACE_S if self.storm else SETTLE_S, may_fail=True)
        to_ns = time.time_ns() - 16 * NS  # noqa: TID251 - the slots of the last seconds may still be open
        self.job.unlink()
        self._wait(lambda: not self.cluster.pods(), 90, may_fail=True)
        self._wait(self._all_arrived, 60, may_fail=True)
        end(pid, signal.SIGTERM, lambda gone: self._wait(gone, 30))
        evidence = Evidence(
            vsn=VSN,
            job_id=self._job_id(),
            crons=self.crons,
            created=self.cluster.created,
            heard=self.witness.heard,
            pods_left=self.cluster.pods(),
            from_ns=self._first_arrival_ns(),
            to_ns=to_ns,
        )
        self._keep(evidence)
        return judge(evidence)

    def close(self) -> None:
        """End everything."""
        self.sensors.close()
        self.witness.close()
        self.launcher.close()
        self.broker.stop()

    def _one_life(self) -> None:
        chance = self.chance
        self.cluster.calm()  # a short life does not use up its faults; they must not heap up
        pid = self.launcher.start(self.arguments)
        born_s, pods = time.monotonic(), len(self.cluster.created)
        life_s = chance.choice([chance.uniform(0.0, 0.4), chance.uniform(0.3, 1.5), chance.expovariate(0.7)])
        pause = threading.Event()
        if chance.random() < (0.9 if self.storm else 0.6):
            # the moment is counted from the first pod on, however long a start takes on this machine
            self._wait(lambda: len(self.cluster.created) > pods or not lives(pid), 20, may_fail=True)
            born_s = time.monotonic()
        while (left_s := born_s + life_s - time.monotonic()) > 0:
            pause.wait(min(left_s, chance.uniform(0.05, 0.5)))
            dice = chance.random()
            if dice < 0.25:
                self.cluster.trouble(chance)
            elif dice < 0.4:
                self.wire.cut(chance.choice([0.0, 0.0, 0.5]))
        self.lives.early += not lives(pid)
        end(pid, signal.SIGKILL, lambda gone: self._wait(gone, 30))
        self.lives.kills += 1
        self.lives.launched += len(self.cluster.created) > pods
        self.lives.alive_s += time.monotonic() - born_s
        if chance.random() < 0.1:
            pause.wait(chance.uniform(0.0, 3.0))
        if chance.random() < 0.005:
            pause.wait(chance.uniform(20.0, 80.0))

    def _all_arrived(self) -> bool:
        numbers = self.witness.numbers()
        before = len(self.witness.heard)
        threading.Event().wait(2.0)
        return bool(numbers) and len(self.witness.heard) == before

    def _first_arrival_ns(self) -> int:
        """The first slot that the job was there for: those of the minute before count only if they were run."""
        return next(each.ts_ns for each in self.witness.heard if each.name == "goal.received")

    def _job_id(self) -> str:
        return next(each.payload["job_id"] for each in self.witness.heard if each.name == "goal.received")

    def _wait(self, condition: Callable[[], object], timeout_s: float, *, may_fail: bool = False) -> None:
        deadline_s = time.monotonic() + timeout_s
        pause = threading.Event()
        while not condition():
            if time.monotonic() > deadline_s:
                if may_fail:
                    return
                raise TimeoutError("the agent did not end")
            pause.wait(0.005)

    def _keep(self, evidence: Evidence) -> None:
        (self.folder / "evidence.json").write_text(json.dumps(dataclasses.asdict(evidence)))


def _job(crons: list[CronPlugin]) -> str:
    plugins = [*(cron.name for cron in crons), "m0", "m1", "level"]
    lines = ["name: crash", "nodes:", f"  {VSN}:", "plugins:"]
    for name in plugins:
        lines += [f"- name: {name}", "  pluginSpec:", f"    image: crash/{name}:1.0.0"]
    lines.append("scienceRules:")
    for cron in crons:
        retries = f", retries={cron.retries}" if cron.retries else ""
        lines.append(f"- \"schedule({cron.name}{retries}): cronjob('{cron.name}', '{cron.expr}')\"")
    lines += [
        "- \"schedule(m0): any(v('crash.x0', since='-2s') > 35)\"",
        "- \"schedule(m1, cooldown=15s): last(v('crash.x1', since='-10s')) > 20\"",
        '- "schedule(level): True"',
        "- \"publish(crash.event): last(v('crash.x2', since='-5s')) > 20\"",
        "- \"publish(crash.often, every=1s): last(v('crash.x2', since='-5s')) > 5\"",
    ]
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> int:
    """Run a series and print what came of it."""
    parser = argparse.ArgumentParser(prog="crash", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where the records stay; removed when all is well by default")
    parser.add_argument("--real", type=Path, help="work folder for a real API server")
    parser.add_argument("--storm", action="store_true", help="sixty launches at a time, every three seconds")
    arguments = parser.parse_args(words)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="crash-"))
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.real is not None:
        from tools.crash_real import Real

        cluster: Cluster = Real(arguments.real, FAILING)
    else:
        cluster = Embedded()
    series = Series(folder, cluster, arguments.seed, storm=arguments.storm)
    began_s = time.monotonic()
    try:
        judgement = series.run(arguments.count)
    finally:
        series.close()
        cluster.close()
    took_s = time.monotonic() - began_s
    done = series.lives
    print(f"{done.kills} kills in {took_s:.0f} s, {done.alive_s:.0f} s alive, seed {arguments.seed}")
    print(f"{done.launched} of the killed had made pods, {done.early} had ended by themselves")
    print(", ".join(f"{count} {what}" for what, count in judgement.counts.items()))
    for line in judgement.wrong[:40]:
        print(f"WRONG: {line}")
    print(f"{len(judgement.wrong)} promises broken" + (f"; records in {folder}" if judgement.wrong else ""))
    if not judgement.wrong and arguments.keep is None:
        shutil.rmtree(folder)
    return 1 if judgement.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
