"""Exact sums of floats that values can leave again.

A float is an integer times a power of two, so totals are kept as scaled integers and rounded once, when they are read.
The result depends on the values alone, never on the order in which they came and went; a running float sum would drift
and could flip a comparison after a restart. Infinities and NaN are counted beside the total.
"""

from __future__ import annotations

import math


def quotient(numerator: int, denominator: int) -> float:
    """Divide integers of any size, correctly rounded; beyond the range of floats the result is infinite."""
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def root(numerator: int, denominator: int) -> float:
    """Square root of a quotient, also where the quotient is beyond the range of floats."""
    half = (numerator.bit_length() - denominator.bit_length()) // 2
    if half >= 0:
        denominator <<= 2 * half
    else:
        numerator <<= -2 * half
    try:
        return math.ldexp(math.sqrt(numerator / denominator), half)
    except OverflowError:
        return math.inf


class ExactSum:
    """Sum of floats as an integer times 2**-shift.

    The shift starts at 80, fine enough for every float of magnitude above 1e-8, and grows when a value needs it.
    """

    __slots__ = ("_infinite", "_nans", "_negative", "_scale", "_shift", "_total")

    def __init__(self) -> None:
        self._total = 0
        self._shift = 80
        self._scale = 2.0**80
        self._nans = self._infinite = self._negative = 0

    def clear(self) -> None:
        """Forget all values."""
        self._total = self._nans = self._infinite = self._negative = 0

    def add(self, x: float) -> None:
        """Add a value."""
        y = x * self._scale
        if y.is_integer():
            self._total += int(y)
        else:
            n = self._slow(x, 1)  # may change the scale of the total
            self._total += n

    def remove(self, x: float) -> None:
        """Take away a value that was added."""
        y = x * self._scale
        if y.is_integer():
            self._total -= int(y)
        else:
            n = self._slow(x, -1)
            self._total -= n

    def _slow(self, x: float, step: int) -> int:
        """Scale a value that is not finite, is too large for the float product or needs a finer scale."""
        if math.isnan(x):
            self._nans += step
        elif math.isinf(x):
            self._infinite += step
            self._negative += step if x < 0 else 0
        else:
            numerator, denominator = x.as_integer_ratio()
            bits = denominator.bit_length() - 1
            if bits > self._shift:
                self._rescale(bits - self._shift)
            return numerator << (self._shift - bits)
        return 0

    def _rescale(self, bits: int) -> None:
        self._total <<= bits
        self._shift += bits
        # 2.0**1024 is no float: with an infinite scale every value takes the slow way
        self._scale = 2.0**self._shift if self._shift < 1024 else math.inf

    def strange(self) -> float | None:
        """NaN or an infinity when the values decide so, None when all are finite."""
        if self._nans or 0 < self._negative < self._infinite:
            return math.nan
        if self._infinite:
            return -math.inf if self._negative else math.inf
        return None

    def over(self, divisor: int) -> float:
        """The sum divided by a positive integer, rounded once."""
        if self._nans or self._infinite:
            strange = self.strange()
            return math.nan if strange is None else strange
        return quotient(self._total, divisor << self._shift)


class Moments(ExactSum):
    """Sum and sum of squares, both exact: no cancellation in the variance."""

    __slots__ = ("_squares",)

    def __init__(self) -> None:
        super().__init__()
        self._squares = 0

    def clear(self) -> None:
        """Forget all values."""
        super().clear()
        self._squares = 0

    def add(self, x: float) -> None:
        """Add a value."""
        y = x * self._scale
        n = int(y) if y.is_integer() else self._slow(x, 1)
        self._total += n
        self._squares += n * n

    def remove(self, x: float) -> None:
        """Take away a value that was added."""
        y = x * self._scale
        n = int(y) if y.is_integer() else self._slow(x, -1)
        self._total -= n
        self._squares -= n * n

    def _rescale(self, bits: int) -> None:
        super()._rescale(bits)
        self._squares <<= 2 * bits

    def stddev(self, n: int) -> float:
        """Standard deviation of a sample of `n` >= 2 values."""
        if self.strange() is not None:
            return math.nan
        return root(n * self._squares - self._total**2, (n * (n - 1)) << (2 * self._shift))
