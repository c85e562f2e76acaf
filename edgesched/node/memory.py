"""The garbage collector, kept out of the way of decisions.

Rules, windows and modules live as long as their job. Left alone, the collector walks all of them again and again, for
up to 100 ms with a thousand rules, just when a full minute makes it run. So what lives long is set apart
(`gc.freeze`) whenever the rules in force have changed, and the collector looks only at what came since.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG_OBJECTS: Final = 20_000
"""New objects after which the collector looks at the youngest; a full minute of a thousand crons makes about 10,000."""


def settle() -> None:
    """Free what nobody holds any more and set the rest apart."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
