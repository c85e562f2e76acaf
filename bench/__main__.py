"""`python -m bench [NAME...]`: run the named benchmarks, or all that need no root."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from bench.harness import Harness, Stolen

ALL = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "harness" and not path.stem.startswith("_")
)

ROOTS = {"node"}
"""These need root and much time: run only when named."""


def main(names: list[str]) -> int:
    """Run, print, save."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    harness = Harness()
    for name in names or [name for name in ALL if name not in ROOTS]:
        print(f"-- {name}")
        stolen = Stolen()
        importlib.import_module(f"bench.{name}").run(harness)
        harness.note(f"{name}: the host took {stolen.share():.0%} of the processor time that was wanted here")
        harness.save()
    missed = [row.name for row in harness.rows if row.kept is False]
    print(
        f"{len(harness.rows)} rows, {len(missed)} outside their bounds" + (f": {', '.join(missed)}" if missed else "")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
