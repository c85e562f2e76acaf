"""Kubernetes quantities such as `500m`, `1.5`, `300Mi`, `1e3`, as exact numbers."""

from __future__ import annotations

import functools
import math
import re
from fractions import Fraction
from typing import Final

_NUMBER: Final = r"([+-]?)([0-9]{1,18}\.?[0-9]{0,9}|\.[0-9]{1,9})"
_QUANTITY: Final = re.compile(_NUMBER + r"(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,2}))?\Z")
_SCALES: Final = {suffix: Fraction(1000) ** power for power, suffix in enumerate("num", start=-3)}
_SCALES.update((suffix, Fraction(1000) ** power) for power, suffix in enumerate("kMGTPE", start=1))
_SCALES.update((f"{suffix}i", Fraction(1024) ** power) for power, suffix in enumerate("KMGTPE", start=1))


def parse_quantity(text: str) -> Fraction:
    """Read a quantity in its base unit (cores, bytes, pieces).

    Raises: ValueError when the text is none.
    """
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"{text[:50]!r} is not a quantity such as 500m, 2 or 300Mi")
    sign, number, suffix, exponent = match.groups()
    value = Fraction(number) * _SCALES.get(suffix or "", Fraction(1)) * Fraction(10) ** int(exponent or 0)
    return -value if sign == "-" else value


@functools.lru_cache(maxsize=1024)
def in_units(resource: str, text: str) -> int:
    """Read an amount of a resource as the whole number that the planner counts in: millicores for `cpu`, else bytes or
    pieces, rounded up. Kept, because the pods of a node ask for the same few amounts.

    Raises: ValueError when the text is no quantity.
    """
    value = parse_quantity(text)
    return math.ceil(value * 1000 if resource == "cpu" else value)
