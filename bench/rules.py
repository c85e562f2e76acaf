"""What a condition costs: evaluation, compilation, arrivals, memory.

The reference's rule checker is on no registry, so it is measured by a stand-in (`_standin`), whose rates are first
compared with those that were measured on the real one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from bench._standin import EXECUTION, StandIn
from bench._timing import cpu_s_each, median_ratio
from bench.harness import Harness
from edgesched.core.model import HOUR_NS, SECOND_NS, Instant, Measurement, Plugin, PluginSpec, ScienceGoal, SubGoal
from edgesched.core.plan.events import Booted, Event, GoalsReceived, Measured, PodsListed
from edgesched.core.plan.settings import PlanSettings
from edgesched.core.plan.state import NodeState
from edgesched.core.plan.step import next_deadline, step
from edgesched.core.rules import Bound, check_rule, compile_condition, parse_rule
from edgesched.core.windows import WindowSpec, WindowStore

NOW_NS = 1_678_875_780 * SECOND_NS
SIX = (
    "time('hour') >= 6 and time('hour') < 20",
    "avg(v('env.temperature', sensor='bme680')) > 30",
    "any(v('env.pressure', sensor='bme680') > 99) or avg(v('env.temperature', since='-1h', sensor='bme680')) > 40",
    "any(rate('env.raingauge.event_acc', since='-2h', window='5m', unit='5m') > 0.25)",
    "cronjob('p', '*/5 * * * *')",
    "after('p', since=10)",
)
"""The typical conditions that the reference was measured with."""

MEASURED_REFERENCE = {10_000: 130.0, 100_000: 30.0}
"""Evaluations a second of the mix, by number of stored measurements, as measured on the real one."""

TIMES_FASTER = {10_000: 8_000, 100_000: 30_000}
META = {"sensor": "bme680", "vsn": "W023", "node": "000048b02d15bc7c", "zone": "core"}


class BenchFacts:
    """Plugin `p` ran 20 s ago; no slot is claimed."""

    site = None

    def __init__(self) -> None:
        self.windows = WindowStore.with_history()

    def last_run(self, plugin: str) -> int | None:
        """When it ran."""
        return NOW_NS - 20 * SECOND_NS if plugin == "p" else None

    def slot_claimed(self, expr: str, fire_ns: int) -> bool:  # noqa: ARG002
        """None is."""
        return False


def run(harness: Harness) -> None:
    """All rows."""
    _evaluation(harness)
    _window_length(harness)
    _compilation(harness)
    _arrival(harness)
    _many_rules(harness)
    _memory(harness)


def recorded(count: int) -> list[Measurement]:
    """Twenty series at 1 Hz, `count` measurements up to now, and one plugin run."""
    kinds = [("env.temperature", "bme680"), ("env.temperature", "bme280"), ("env.pressure", "bme680")]
    kinds += [("env.pressure", "bme280"), ("env.raingauge.event_acc", "rg-15")]
    kinds += [(f"env.other{i}", "x") for i in range(15)]
    seconds = count // len(kinds)
    found = []
    for k in range(seconds):
        ts_ns = NOW_NS - (seconds - k) * SECOND_NS
        for i, (name, sensor) in enumerate(kinds):
            value = {"t": 20 + (k * 37 + i) % 101 / 7, "p": 90.0 + (k + i) % 9, "r": k * 0.0005}.get(name[4], 1.0)
            found.append(Measurement(name, ts_ns, value, META | {"sensor": sensor}))
    found.append(Measurement(EXECUTION, NOW_NS - 20 * SECOND_NS, "p", {"vsn": "W023"}))
    return sorted(found, key=lambda measurement: measurement.ts_ns)


# --- (a) evaluation


def _evaluation(harness: Harness) -> None:
    for count, real in MEASURED_REFERENCE.items():
        _mix(harness, count, real)


def _mix(harness: Harness, count: int, real: float) -> None:
    measurements = recorded(count)
    stand_in = StandIn(measurements, NOW_NS)
    bound = _bound(SIX, measurements)
    ready = _ready_made()
    for one, condition in zip(bound, SIX, strict=True):
        assert one.evaluate(NOW_NS).value == stand_in.evaluate(condition), condition
    rounds = cpu_s_each(
        {
            "stand-in": (lambda n: [stand_in.evaluate(text) for _ in range(n) for text in SIX], 1),
            "ours": (lambda n: _evaluate(bound, n), 5000),
            "lambdas": (lambda n: _call(ready, n), 5000),
        },
        rounds=5,
    )
    reference, ours, lambdas = (6 / rounds[name] for name in ("stand-in", "ours", "lambdas"))
    size = f"{count:,} stored"
    harness.note(f"stand-in {reference:.0f}/s, the real one {real:.0f}/s: within 30 %: {_near(reference, real)}")
    harness.row(f"rules: stand-in off the real one, {size}", abs(reference / real - 1), "part", at_most=0.3)
    least = TIMES_FASTER[count]
    harness.row(f"rules: mix of six, {size}", ours, "/s", baseline=("stand-in", reference), at_least=least)
    label = ("Python lambdas over ready aggregates", lambdas)
    harness.row(f"rules: mix of six against lambdas, {size}", ours, "/s", baseline=label, at_least=0.2)


def _near(a: float, b: float) -> str:
    return "yes" if abs(a / b - 1) <= 0.3 else "no"


def _bound(conditions: tuple[str, ...], measurements: list[Measurement]) -> list[Bound]:
    facts = BenchFacts()
    bound = [compile_condition(text).bind(facts, NOW_NS) for text in conditions]
    for measurement in measurements:
        facts.windows.append(measurement, NOW_NS)
    return bound


def _evaluate(bound: list[Bound], times: int) -> None:
    """Every evaluation at another time, so that no answer is the one of before."""
    for one in bound:
        evaluate = one.evaluate
        for now_ns in range(NOW_NS, NOW_NS + times * 1000, 1000):
            evaluate(now_ns)


def _call(ready: list[Callable[[int], bool]], times: int) -> None:
    for one in ready:
        for now_ns in range(NOW_NS, NOW_NS + times * 1000, 1000):
            one(now_ns)


class _Ready:
    """Aggregates that somebody keeps up to date."""

    def __init__(self) -> None:
        self.t_sum, self.t_count, self.t_hour_sum, self.t_hour_count = 1600.0, 60, 98_000.0, 3600
        self.p_high, self.rain_max = 0, 0.15
        self.fire, self.closed, self.claimed, self.ran = NOW_NS - 30 * SECOND_NS, NOW_NS, False, NOW_NS - 20 * SECOND_NS


def _ready_made() -> list[Callable[[int], bool]]:
    s = _Ready()
    return [
        lambda now: now // HOUR_NS % 24 >= 6 and now // HOUR_NS % 24 < 20,
        lambda now: s.t_sum / s.t_count > 30,  # noqa: ARG005
        lambda now: s.p_high > 0 or s.t_hour_sum / s.t_hour_count > 40,  # noqa: ARG005
        lambda now: s.rain_max > 0.25,  # noqa: ARG005
        lambda now: s.fire <= now < s.closed and not s.claimed and s.ran < s.fire,
        lambda now: now - s.ran > 10 * SECOND_NS,
    ]


# --- (b) length of the window

LENGTHS = {"1m": 60, "2h": 7200}
OVER_WINDOWS = (
    *(f"{name}(v('x', since='-{{}}')) > 30" for name in ("avg", "sum", "min", "max", "len", "last", "median")),
    *(f"{name}(v('x', since='-{{}}')) > 30" for name in ("stddev", "delta", "count")),
    "percentile(v('x', since='-{}'), 95) > 30",
    "any(v('x', since='-{}'))",
    "all(v('x', since='-{}'))",
    "any(v('x', since='-{}') > 35)",
    "all(v('x', since='-{}') > 35)",
    "count(v('x', since='-{}') > 35) > 3",
    "any(rate('x', since='-{}', window='5s') > 9)",
    "avg(rate('x', since='-{}', window='5s')) > 9",
)


def _window_length(harness: Harness) -> None:
    for template in OVER_WINDOWS:
        short, long = (_Stream(template.format(length), seconds) for length, seconds in LENGTHS.items())

        def refill(times: int, streams: tuple[_Stream, ...] = (short, long)) -> None:
            for stream in streams:
                stream.refill(times)

        a, b, ratio = median_ratio(long.follow, short.follow, 250, before=refill)
        harness.note(f"{template.format('2h')}: {a * 1e6:.2f} us over 2h, {b * 1e6:.2f} us over 1m")
        harness.row(f"rules: 2h against 1m, {template.format('2h')[:40]}", ratio, "times", at_most=1.5)


class _Stream:
    """A condition over a series at 1 Hz whose next samples have arrived already: following costs evaluation alone."""

    def __init__(self, condition: str, seconds: int) -> None:
        self.facts = BenchFacts()
        self.bound = compile_condition(condition).bind(self.facts, NOW_NS)
        self.now_ns = NOW_NS
        for k in range(-seconds, 0):
            self._arrive(k)
        self.bound.evaluate(NOW_NS)

    def _arrive(self, k: int) -> None:
        ts_ns = self.now_ns + k * SECOND_NS
        measurement = Measurement("x", ts_ns, 20 + (ts_ns // SECOND_NS * 37) % 101 / 7, META)
        self.facts.windows.append(measurement, self.now_ns)

    def refill(self, times: int) -> None:
        """Let the next samples arrive; they wait for their time."""
        for k in range(times):
            self._arrive(k)

    def follow(self, times: int) -> None:
        """Evaluate each second: one sample enters and one leaves."""
        evaluate = self.bound.evaluate
        for _ in range(times):
            self.now_ns += SECOND_NS
            evaluate(self.now_ns)


# --- (c) compilation


def _compilation(harness: Harness) -> None:
    rules = [f"schedule(p{i}): {condition} and time('minute') != {i % 60}" for i in range(167) for condition in SIX]
    rules = rules[:1000]
    plugins = frozenset(f"p{i}" for i in range(167)) | {"p"}

    def make(times: int) -> None:
        for text in rules[:times]:
            check_rule(text, plugins)
            compile_condition(parse_rule(text).condition)

    make(10)
    each = cpu_s_each({"rules": (make, 1000)}, rounds=3)["rules"]
    harness.row("rules: parse, check and compile a rule", each * 1e3, "ms", at_most=1.0)
    harness.row("rules: 1,000 rules", each * 1e3, "s", at_most=1.0)


# --- (d) arrivals


def _arrival(harness: Harness) -> None:
    for five in (("mean", "min", "max", "count", "any"), ("sum", "median", "stddev", "delta", "max")):
        appending = _Appending(five)
        each = cpu_s_each({"append": (appending.append, 20_000)}, before=appending.make)["append"]
        harness.row(f"rules: append with {' '.join(five)}", each * 1e6, "us", at_most=5.0)
    unwanted = _Appending(())
    each = cpu_s_each({"append": (unwanted.ignore, 20_000)})["append"]
    harness.row("rules: append of a name that no rule names", each * 1e6, "us")


class _Appending:
    """A window of an hour at 1 Hz with some aggregates."""

    def __init__(self, aggregates: tuple[str, ...]) -> None:
        self.store = WindowStore.with_history()
        self.window = self.store.require(WindowSpec("x", HOUR_NS), NOW_NS)
        self.reads = [self.window.ask(aggregate) for aggregate in aggregates]
        self.next_ns = NOW_NS
        self.ready: list[Measurement] = []
        self.make(3700)
        self.append(3700)

    def make(self, times: int) -> None:
        """Have measurements ready."""
        values = ((i, 20 + i * 37 % 101 / 7) for i in range(times))
        self.ready = [Measurement("x", self.next_ns + i * SECOND_NS, value, META) for i, value in values]
        self.next_ns += times * SECOND_NS

    def append(self, times: int) -> None:
        """Let samples arrive, enter all aggregates, and leave them in the end."""
        append, advance = self.store.append, self.window.advance
        for measurement in self.ready[:times]:
            arrived_ns = measurement.ts_ns + 1
            append(measurement, arrived_ns)
            advance(arrived_ns)

    def ignore(self, times: int) -> None:
        """Let samples arrive that nobody asks for."""
        append, measurement = self.store.append, Measurement("y", NOW_NS, 1.0, META)
        for _ in range(times):
            append(measurement, NOW_NS)


# --- (e) many rules


def _many_rules(harness: Harness) -> None:
    few, many = _Node(100), _Node(10_000)
    _, _, ratio = median_ratio(many.measure, few.measure, 300)
    a, b, _ = median_ratio(many.measure, few.measure, 300, rounds=5)
    harness.note(f"a step for a measurement that 10 rules name: {a * 1e6:.0f} us of 10,000, {b * 1e6:.0f} us of 100")
    harness.row("rules: a measurement for 10 of 10,000 against 10 of 100", ratio, "times", at_most=1.3)


class _Node:
    """A planner with so many rules, ten of which name `env.hot`."""

    def __init__(self, rules: int) -> None:
        self.state = NodeState(PlanSettings(vsn="W023"), WindowStore())
        self.now_ns = NOW_NS
        texts = [f"publish(alarm{i}): avg(v('env.hot')) > {1000 + i}" for i in range(10)]
        texts += [f"publish(alarm{i}): avg(v('env.cold{i}')) > 30" for i in range(10, rules)]
        plugin = Plugin("p", PluginSpec(image="registry.example/p:1.0.0"))
        goals = [
            ScienceGoal(f"g{k}", f"{k}", "j", (SubGoal("W023", (plugin,), tuple(texts[k : k + 100])),))
            for k in range(0, rules, 100)
        ]
        for event in (Booted("b"), PodsListed(()), GoalsReceived("stream", tuple(goals))):
            self._step(event)
        assert len(self.state.rules) == rules

    def _step(self, event: Event) -> None:
        step(self.state, event, Instant(self.now_ns, self.now_ns))
        next_deadline(self.state)

    def measure(self, times: int) -> None:
        """Hear measurements at 1 Hz."""
        for i in range(times):
            self.now_ns += SECOND_NS
            self._step(Measured(Measurement("env.hot", self.now_ns - 1, float(i % 30), META)))


# --- (f) memory


def _memory(harness: Harness) -> None:
    for names in (1, 10_000):
        command = [sys.executable, "-m", "bench._memory", str(names)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        label = f"rules: 10,000 series of 720 samples, {names:,} names"
        harness.row(label, float(done.stdout), "MiB", at_most=200.0)
