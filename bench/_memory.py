"""Run alone: resident memory that 10,000 series of 720 samples take, in MiB. Argument: number of names."""

from __future__ import annotations

import gc
import resource
import sys

from edgesched.core.model import SECOND_NS, Measurement
from edgesched.core.windows import WindowSpec, WindowStore

SERIES = 10_000
SAMPLES = 720
START_NS = 1_700_000_000 * SECOND_NS


def resident_mib() -> float:
    """What the process holds just now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def main(names: int) -> None:
    """Fill a store whose windows reach two hours back with a sample each ten seconds."""
    store = WindowStore()
    windows = [store.require(WindowSpec(f"env.n{i}", 7200 * SECOND_NS), START_NS) for i in range(names)]
    means = [window.ask("mean") for window in windows]
    metas = [{"sensor": "bme680", "vsn": "W023", "node": "000048b02d15bc7c", "id": str(i)} for i in range(SERIES)]
    gc.collect()
    before = resident_mib()
    for k in range(SAMPLES):
        now = START_NS + 10 * k * SECOND_NS
        for i, meta in enumerate(metas):
            store.append(Measurement(f"env.n{i % names}", now, 20 + (i * 37 + k) % 101 / 7, meta), now)
        for mean in means:
            mean(now)
    gc.collect()
    print(resident_mib() - before)


if __name__ == "__main__":
    main(int(sys.argv[1]))
