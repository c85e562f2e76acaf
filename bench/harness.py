"""One table for all benchmarks.

A row has a name, a value, a unit, and a ratio to a baseline that was measured in the same run: machines are noisy,
ratios less so. `bound` is what the ratio (or, without one, the value) must not pass; a row without a bound is for
information.
Benchmarks are shown, never asserted by a timed test: `make bench` prints `over` beside what misses its bound.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    value: float
    unit: str
    baseline: str = ""
    ratio: float | None = None
    bound: float | None = None
    bound_kind: Literal["at most", "at least"] = "at most"

    @property
    def kept(self) -> bool | None:
        """Is the bound kept? None without one."""
        if self.bound is None:
            return None
        measured = self.value if self.ratio is None else self.ratio
        return measured <= self.bound if self.bound_kind == "at most" else measured >= self.bound


@dataclass
class Harness:
    """Collects rows, prints each as it comes, keeps them in `bench/results.json`."""

    rows: list[Row] = field(default_factory=list)
    quick: bool = False

    def row(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        baseline: tuple[str, float] | None = None,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> Row:
        """Add a row; with `baseline` (what it is, its value) the bound is on the ratio value / baseline."""
        ratio = None if baseline is None or not baseline[1] else value / baseline[1]
        label = "" if baseline is None else f"{baseline[0]} {_short(baseline[1])} {unit}"
        kind: Literal["at most", "at least"] = "at most" if at_least is None else "at least"
        row = Row(name, value, unit, label, ratio, at_most if at_least is None else at_least, kind)
        self.rows.append(row)
        print(_line(row), flush=True)
        return row

    def note(self, text: str) -> None:
        """Print a line about how something was measured."""
        print(f"  # {text}", flush=True)

    def save(self) -> None:
        """Merge the rows into the results file; a row of the same name is replaced."""
        kept: dict[str, dict[str, object]] = {}
        if RESULTS.exists():
            kept = {row["name"]: row for row in json.loads(RESULTS.read_text())["rows"]}
        kept |= {row.name: {**asdict(row), "kept": row.kept} for row in self.rows}
        machine = {"python": sys.version.split()[0], "machine": platform.machine()}
        RESULTS.write_text(json.dumps({"machine": machine, "rows": list(kept.values())}, indent=1) + "\n")


class Stolen:
    """How much of this machine's time its host gave to others: with a tenth gone, p99s in ms tell of the host."""

    def __init__(self) -> None:
        self._before = self._read()

    @staticmethod
    def _read() -> tuple[int, int]:
        """Return ticks of all processors: stolen, and in all but idle."""
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, file.readline().split()[1:])
        return steal, user + nice + system + irq + softirq + steal

    def share(self) -> float:
        """Return the part that was stolen of what was wanted, 0 to 1, since this was made."""
        steal, wanted = self._read()
        return (steal - self._before[0]) / max(1, wanted - self._before[1])


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value below which `percent` of the values lie; of few values the next larger one."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _line(row: Row) -> str:
    ratio = "" if row.ratio is None else f"x{row.ratio:.2f} of {row.baseline}"
    verdict = {True: "ok", False: "over" if row.bound_kind == "at most" else "under", None: ""}[row.kept]
    bound = "" if row.bound is None else f"{row.bound_kind} {_short(row.bound)}"
    return f"{row.name:58s} {_short(row.value):>10s} {row.unit:8s} {ratio:34s} {bound:16s} {verdict}".rstrip()


def _short(value: float) -> str:
    if value and abs(value) < 0.01:
        return f"{value:.5f}"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
