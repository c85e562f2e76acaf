"""Aggregates that are told of every value that enters and leaves a window.

Each costs O(1) or O(log n) a value and O(1) to read, whatever the length of the window.
"""

from __future__ import annotations

import math
import operator
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from .spec import Value

OPERATORS: Final[dict[str, Callable[[Value, Value], object]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class Aggregate(Protocol):
    """What a window feeds."""

    def add(self, value: Value, /) -> None:
        """A value enters."""
        ...

    def remove(self, value: Value, /) -> None:
        """A value that entered before leaves."""
        ...

    def clear(self) -> None:
        """All values leave at once."""
        ...


class Holding:
    """Counts the values for which a comparison with a constant holds, and those that cannot be compared with it."""

    __slots__ = ("_constant", "_test", "held", "incomparable")

    def __init__(self, op: str, constant: Value) -> None:
        self._test = OPERATORS[op]
        self._constant = constant
        self.held = self.incomparable = 0

    def clear(self) -> None:
        """Forget all values."""
        self.held = self.incomparable = 0

    def add(self, value: Value) -> None:
        """Count a value."""
        try:
            if self._test(value, self._constant):
                self.held += 1
        except TypeError:
            self.incomparable += 1

    def remove(self, value: Value) -> None:
        """Count a value no more."""
        try:
            if self._test(value, self._constant):
                self.held -= 1
        except TypeError:
            self.incomparable -= 1


class Truths:
    """Counts the values that are true: not zero, not empty."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0

    def clear(self) -> None:
        """Forget all values."""
        self.held = 0

    def add(self, value: Value) -> None:
        """Count a value."""
        if value:
            self.held += 1

    def remove(self, value: Value) -> None:
        """Count a value no more."""
        if value:
            self.held -= 1


class Extreme:
    """The greatest (`sign` 1) or smallest (-1) value of a window that loses its oldest values first.

    A monotonic queue: a value stands in it only while no later one outdoes it, so the front is the answer and the
    oldest leave from there. NaN outdoes everything, so one NaN makes the answer NaN. Values are stored times `sign`.
    """

    __slots__ = ("_head", "_room", "_sign", "_since_ns", "_times", "_values")

    def __init__(self, sign: int, since_ns: int) -> None:
        self._sign = sign
        self._since_ns = since_ns
        self._room = 64
        self.fill(())

    def fill(self, samples: Iterable[tuple[int, float]]) -> None:
        """Start anew with these (ts_ns, value) in time order."""
        self._times = array("q")
        self._values = array("d")
        self._head = 0
        for ts_ns, value in samples:
            self.push(ts_ns, value)

    def push(self, ts_ns: int, x: float) -> None:
        """A value enters."""
        times, values = self._times, self._values
        x *= self._sign
        if len(times) > self._head and ts_ns < times[-1]:
            self._insert(ts_ns, x)
            return
        if x != x:  # noqa: PLR0124
            del times[:], values[:]
        while values and values[-1] <= x:
            values.pop()
            times.pop()
        if self._head > len(times):  # noqa: PLR1730 - min() would cost as much as all the rest
            self._head = len(times)
        if len(times) >= self._room:
            self._cut(ts_ns - self._since_ns)
        times.append(ts_ns)
        values.append(x)

    def _insert(self, ts_ns: int, x: float) -> None:
        times, values = self._times, self._values
        place = bisect_right(times, ts_ns, self._head)
        later = values[place]
        if later >= x or math.isnan(later):
            return
        first = self._head if math.isnan(x) else place
        while first > self._head and values[first - 1] <= x:
            first -= 1
        times[first:place] = array("q", (ts_ns,))
        values[first:place] = array("d", (x,))

    def read(self, start_ns: int) -> float:
        """The extreme of the values at or after `start_ns`; there must be one."""
        times, head = self._times, self._head
        while times[head] < start_ns:
            head += 1
        self._head = head
        return self._values[head] * self._sign

    def _cut(self, start_ns: int) -> None:
        """Forget what left long ago, also when nobody reads."""
        count = max(self._head, bisect_left(self._times, start_ns))
        del self._times[:count], self._values[:count]
        self._head = 0
        self._room = max(64, 2 * len(self._times))


class Ranked:
    """All values in order of size, in chunks so that one more costs the same in a large window.

    NaN has no place in an order: it is counted beside it. (Here and above `x != x` finds NaN: a call costs more.)
    """

    CHUNK: Final = 1024

    __slots__ = ("_chunks", "_greatest", "nans")

    def __init__(self) -> None:
        self._chunks: list[list[float]] = []
        self._greatest: list[float] = []
        self.nans = 0

    def clear(self) -> None:
        """Forget all values."""
        self._chunks.clear()
        self._greatest.clear()
        self.nans = 0

    def add(self, x: float) -> None:
        """Put a value in its place."""
        if x != x:  # noqa: PLR0124
            self.nans += 1
            return
        greatest = self._greatest
        i = bisect_left(greatest, x)
        if i < len(greatest):
            chunk = self._chunks[i]
            insort(chunk, x)
        elif i:
            i -= 1
            chunk = self._chunks[i]
            chunk.append(x)
            greatest[i] = x
        else:
            self._chunks.append([x])
            greatest.append(x)
            return
        if len(chunk) > 2 * self.CHUNK:
            self._chunks[i : i + 1] = [chunk[: self.CHUNK], chunk[self.CHUNK :]]
            greatest[i : i + 1] = [chunk[self.CHUNK - 1], chunk[-1]]

    def remove(self, x: float) -> None:
        """Take away a value that is there."""
        if x != x:  # noqa: PLR0124
            self.nans -= 1
            return
        i = bisect_left(self._greatest, x)
        chunk = self._chunks[i]
        del chunk[bisect_left(chunk, x)]
        if not chunk:
            del self._chunks[i], self._greatest[i]
        else:
            self._greatest[i] = chunk[-1]

    def at(self, rank: int) -> float:
        """The value at a rank, 0 the smallest."""
        for chunk in self._chunks:
            if rank < len(chunk):
                return chunk[rank]
            rank -= len(chunk)
        raise IndexError(rank)

    def pair(self, rank: int) -> tuple[float, float]:
        """The values at a rank and at the next one, which must be there."""
        for i, chunk in enumerate(self._chunks):
            size = len(chunk)
            if rank + 1 < size:
                return chunk[rank], chunk[rank + 1]
            if rank < size:
                return chunk[rank], self._chunks[i + 1][0]
            rank -= size
        raise IndexError(rank)

    def extreme(self, n: int, sign: int) -> float:
        """The greatest (`sign` 1) or smallest (-1) of `n` values."""
        return math.nan if self.nans else self.at(n - 1 if sign > 0 else 0)

    def median(self, n: int) -> float:
        """The middle one of `n` values, or the mean of the middle two."""
        if self.nans:
            return math.nan
        if n % 2:
            return self.at(n // 2)
        low, high = self.pair(n // 2 - 1)
        return low if low == high else low / 2 + high / 2 if math.isinf(low + high) else (low + high) / 2

    def percentile(self, n: int, q: float) -> float:
        """The q-th percentile of `n` values, 0 <= q <= 100, linear between neighbours."""
        if self.nans:
            return math.nan
        place = (n - 1) * q / 100
        rank = int(place)
        if place == rank:
            return self.at(rank)
        low, high = self.pair(rank)
        return low if low == high else low + (high - low) * (place - rank)
