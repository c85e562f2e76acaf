"""The garbage collector, kept out of the way of decisions.

Rules, windows and modules live as long as their job. Left alone, the collector walks all of them again and again, for
up to 100 ms with a thousand rules, just when a full minute makes it run. So what lives long is set apart
(`gc.freeze`) whenever the rules in force have changed, and the collector looks only at what came since: while the
engine waits (`tidy`), so that a full minute finds room for all that it makes.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG_OBJECTS: Final = 50_000
"""New objects after which the collector looks at them at once; a full minute of a thousand crons makes about 15,000."""
_RUN_BYTES: Final = 3_000
_BLOCK: Final = 400
_KEPT: Final = 500
TIDY_OBJECTS: Final = 5_000
"""New objects that are worth a look while there is time."""


def settle() -> None:
    """Free what nobody holds any more and set the rest apart."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


_room: list[bytes] = []


def make_room(runs: int) -> None:
    """Have the memory of some runs at hand: what the system gives page by page costs a full minute a fifth of its time.

    One object in many stays, so that the interpreter keeps what it was given, until the next call.
    """
    blocks = [bytes(_BLOCK) for _ in range(runs * _RUN_BYTES // _BLOCK)]
    _room[:] = blocks[::_KEPT]


def tidy() -> None:
    """Look at the youngest objects, if there are many: about a millisecond, at most once in `TIDY_OBJECTS` objects."""
    if gc.get_count()[0] > TIDY_OBJECTS:
        gc.collect(0)
