"""`make fuzz`: no condition may crash, hang, or fill the memory, whatever is written in it.

Every input is parsed, checked, compiled and evaluated on random data at several times. Only a RuleError, or a verdict
(true, false, unknown, error), is an answer. An input fails that raises anything else, that needs more than 50 ms of CPU
time for one operation (the best of four tries, and longer where a bare loop takes longer, so that a busy or slow
machine does not accuse it), or that lets the memory grow: by more than 64 MiB at once, or by more than 64 MiB over a
whole run after the first thousand inputs.

Inputs depend on the seed and their index alone: `--only INDEX` makes one again and shows the traceback.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from typing import Any, TypeVar

from bench._timing import bare_loop_s
from edgesched.core.model import SECOND_NS, Measurement, Site
from edgesched.core.rules import check_rule, compile_condition, parse_rule
from edgesched.core.windows import WindowStore
from edgesched.errors import RuleError
from tools.fuzz_inputs import Inputs

CPU_LIMIT_S = 0.05
LOOP_S = 0.006
"""What a bare loop takes on the machine that the limit was set on."""
HANG_S = 20
MEMORY_MIB = 64
ADDRESS_SPACE = 4 << 30
T = TypeVar("T")
NOW_NS = 1_678_875_630 * SECOND_NS
VALUES: dict[str, tuple[Any, ...]] = {
    "env.text": ("rain", "clear", ""),
    "env.nan": (float("nan"), float("inf"), -float("inf"), 0.0),
    "env.mixed": (1.0, "rain", None, [1, 2], True),
    "env.rain": (1.0, 2.0, 5.0, 3.0),
}


class HungError(Exception):
    """An evaluation did not come back."""


class WrongError(Exception):
    """An answer contradicts its own contract."""


@dataclass
class Failure:
    """What went wrong with an input."""

    index: int
    what: str
    text: str

    def __str__(self) -> str:
        shown = self.text if len(self.text) < 2000 else f"{self.text[:2000]}... ({len(self.text)} characters)"
        return f"input {self.index}: {self.what}\n  {shown!a}"


class Facts:
    """Random facts."""

    def __init__(self, rng: random.Random) -> None:
        self.windows = WindowStore.with_history() if rng.random() < 0.7 else WindowStore()
        self.site = Site(41.9, -87.6) if rng.random() < 0.7 else None
        self._rng = rng

    def last_run(self, plugin: str) -> int | None:
        """Some time, or never."""
        return None if len(plugin) % 2 else NOW_NS - 30 * SECOND_NS

    def slot_claimed(self, expr: str, fire_ns: int) -> bool:  # noqa: ARG002
        """Sometimes."""
        return fire_ns % 7 == 0

    def fill(self, rng: random.Random) -> None:
        """Some measurements for every name that is asked for."""
        for name in sorted(self.windows.names()):
            values = VALUES.get(name, (20.5, 31, -3.25, 0.0, 1e9, 1e-9))
            for _ in range(rng.choice((0, 1, 3, 40))):
                meta = {"sensor": rng.choice("ab")}
                ts_ns = NOW_NS - rng.randrange(90 * SECOND_NS)
                self.windows.append(Measurement(name, ts_ns, rng.choice(values), meta), NOW_NS)


def expect(holds: object, what: str) -> None:
    """Raise WrongError unless it holds."""
    if not holds:
        raise WrongError(what)


class Watch:
    """The longest CPU time of a single operation."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.operation = ""

    def __call__(self, operation: Callable[..., T], *arguments: Any) -> T:
        """Call and time."""
        start = time.process_time()
        try:
            return operation(*arguments)
        finally:
            used = time.process_time() - start
            if used > self.longest_s:
                self.longest_s, self.operation = used, operation.__name__


def exercise(text: str, rng: random.Random) -> Watch:
    """Do with a text all that is done with rules. Raises whatever is not an answer."""
    watch = Watch()
    condition = text
    for rule in (f"schedule(p): {text}", text):
        try:
            condition = watch(parse_rule, rule).condition
        except RuleError as error:
            expect(error.message, "an error without a message")
        for finding in watch(check_rule, rule):
            expect(finding.message, "a finding without a message")
    try:
        compiled = watch(compile_condition, condition)
    except RuleError as error:
        expect(error.line >= 1, "an error without a place")
        return watch
    facts = Facts(rng)
    bound = watch(compiled.bind, facts, NOW_NS)
    facts.fill(rng)
    for now_ns in (NOW_NS, NOW_NS + rng.randrange(3600 * SECOND_NS)):
        verdict = watch(bound.evaluate, now_ns)
        expect(verdict.value in (True, False, None), "a verdict that is none")
        expect((verdict.value is None) == bool(verdict.reason), "a reason for nothing, or none for something")
        change = watch(bound.next_change, now_ns)
        expect(change is None or change > now_ns, "a change that is not ahead")
        watch(bound.clauses, now_ns)
        watch(bound.open_slots, now_ns)
    return watch


def _stop(signum: int, frame: object) -> None:  # noqa: ARG001
    raise HungError(f"no answer within {HANG_S} s of CPU time")


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def try_input(inputs: Inputs, index: int) -> Failure | None:
    """Try one input."""
    text = inputs.make(index)
    before = _peak_mib()
    try:
        signal.setitimer(signal.ITIMER_PROF, HANG_S)
        try:
            watch = _longest(text, index)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except BaseException as error:  # whatever it is, it is not an answer
        if isinstance(error, KeyboardInterrupt):
            raise
        return Failure(index, f"{type(error).__name__}: {error}", text)
    if watch.longest_s > CPU_LIMIT_S and watch.longest_s > CPU_LIMIT_S * _slowness():
        return Failure(index, f"{watch.longest_s * 1000:.0f} ms of CPU time for {watch.operation}", text)
    if _peak_mib() - before > MEMORY_MIB:
        return Failure(index, f"memory grew by {_peak_mib() - before:.0f} MiB", text)
    return None


def _longest(text: str, seed: int) -> Watch:
    """The slowest operation; when it is too slow, that of the best of four tries."""
    watch = exercise(text, random.Random(seed))
    for _ in range(3):
        if watch.longest_s <= CPU_LIMIT_S:
            break
        watch = min(watch, exercise(text, random.Random(seed)), key=lambda tried: tried.longest_s)
    return watch


def _slowness() -> float:
    """Return how many times as long as usual a bare loop takes just now, 1 at least."""
    return max(1.0, bare_loop_s() / LOOP_S)


def run(inputs: Inputs, indexes: range, current: Synchronized[int] | None = None) -> list[Failure]:
    """Try inputs one after the other; stops at ten failures."""
    signal.signal(signal.SIGPROF, _stop)
    failures: list[Failure] = []
    warm = 0.0
    for count, index in enumerate(indexes):
        if current is not None:
            current.value = index
        failure = try_input(inputs, index)
        if failure is not None:
            failures.append(failure)
            if len(failures) == 10:
                return failures
        if count == 1000:
            warm = _resident_mib()
    if warm and _resident_mib() - warm > MEMORY_MIB:
        failures.append(Failure(-1, f"memory grew by {_resident_mib() - warm:.0f} MiB over the run", ""))
    return failures


def _work(seed: int, indexes: range, current: Any, answers: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    faulthandler.enable()
    answers.put(run(Inputs(seed), indexes, current))


def run_parallel(seed: int, count: int, jobs: int) -> list[Failure]:
    """Try `count` inputs in `jobs` processes; a process that dies or hangs accuses the input it was at."""
    context = multiprocessing.get_context("spawn")
    workers = []
    for job in range(jobs):
        current, answers = context.Value("q", 0), context.SimpleQueue()
        worker = context.Process(target=_work, args=(seed, range(job, count, jobs), current, answers), daemon=True)
        worker.start()
        workers.append((worker, current, answers))
    failures: list[Failure] = []
    while workers:
        time.sleep(1)
        for entry in list(workers):
            worker, current, answers = entry
            if not answers.empty():
                failures += answers.get()
                worker.join()
                workers.remove(entry)
            elif _stuck(worker, current) or not worker.is_alive():
                what = "the process hangs" if worker.is_alive() else f"the process died ({worker.exitcode})"
                failures.append(Failure(current.value, what, Inputs(seed).make(current.value)))
                worker.kill()
                workers.remove(entry)
        _progress(workers, count)
    return failures


_seen: dict[int, tuple[int, float]] = {}


def _stuck(worker: Any, current: Any) -> bool:
    """Whether a worker is at the same input since three times the CPU time that a hang is allowed."""
    index, since = _seen.get(worker.pid, (-1, 0.0))
    now = time.monotonic()
    if index != current.value:
        _seen[worker.pid] = (current.value, now)
        return False
    return now - since > 3 * HANG_S


def _progress(workers: list[Any], count: int) -> None:
    if sys.stderr.isatty() and workers:
        print(f"\r{min(current.value for _, current, _ in workers):,} of {count:,}", end="", file=sys.stderr)


def main() -> int:
    """Run; exit 1 with the inputs that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, metavar="INDEX")
    options = parser.parse_args()
    if options.only is not None:
        text = Inputs(options.seed).make(options.only)
        print(ascii(text))
        exercise("True", random.Random(0))  # the first one builds the parser
        watch = exercise(text, random.Random(options.only))
        print(f"{watch.longest_s * 1000:.1f} ms for {watch.operation}")
        return 0
    start = time.monotonic()
    failures = run_parallel(options.seed, options.count, options.jobs)
    for failure in failures:
        print(failure)
    print(f"{options.count:,} inputs, seed {options.seed}, {time.monotonic() - start:.0f} s: {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
