"""Random conditions and rules, each a function of a seed and an index alone, so that any input can be made again.

Kinds: noise (any characters), token soup, expressions that follow the grammar, mutated real rules, deep nesting, bombs
(numbers, exponents, powers, shifts, rounding, texts, ranges and comprehensions that ask for much time or memory).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

SHARED = Path(os.environ.get("EDGESCHED_SHARED", Path(__file__).resolve().parents[2] / "shared"))

OWN_CORPUS = (
    "schedule(cloud-cover): any(v('env.coverage.cloud', since='-10m') > 0.6) and time('hour') in (8, 12, 16)",
    "schedule(a, duration=10m, cooldown=5m): cronjob('a', '*/5 * * * *', tz='America/Chicago')",
    "publish(env.alarm, value=1, to=all): avg(v('env.temperature', sensor='bme680')) > 30 or daylight()",
    "set(state, key='x,=y'): count(v('env.car.count', since='-1h') >= 1) == 0 and not after('b', since=60)",
    "schedule(b): [x for x in v('env.pressure') if x > 99.5] != [] and 1 < len(v('env.pressure')) <= 9",
    "schedule(c): max(rate('env.rain', since='-2h', window='5m', unit='5m')) > 0.25 if daylight() else False",
    "schedule(d): percentile(v('env.temperature', since='-1d'), 95) - median(v('env.temperature')) > stddev(v('t'))",
    "schedule(e): sum(x * y for x, y in zip(v('env.a'), v('env.b'))) % 7 in range(0, 5, 2)",
    "schedule(f): (v('env.a')[-3:] > 1).any() and v('env.b').mean() ** 2 < 9 and delta(v('c', last=True)) < 1e-3",
    "schedule(g): time('month') >= 6 and sorted(v('env.a'), reverse=True)[0] is not None and sunset() - 1 < 18.5",
)
NAMES = ("env.temperature", "env.a", "env.b", "env.text", "env.nan", "env.mixed", "env.rain", "t", "missing", "")
WORDS = """
    v rate avg time cronjob after sum any all len min max abs round sorted reversed int float str bool list tuple range
    zip enumerate pow last count median stddev percentile delta daylight sunrise sunset eval open map chr getattr print
"""
FUNCTIONS = WORDS.split()
SIGNS = "+ - * / // % ** << >> & | ^ < <= > >= == != and or in is not,in is,not"
OPERATORS = [sign.replace(",", " ") for sign in SIGNS.split()]
PIECES = """
    ( ) [ ] { } , : ; . = := -> @ # \\ ' " ''' f' b' if else for in lambda not ~ None True False x y _ 0 1 -1 0.5 1e308
    1e999 0x1f 0b1 1_000 1j 07 .5 5. '-1m' 'env.a' since= last= window= unit= tz=
"""
TOKENS = [*FUNCTIONS, *OPERATORS, *PIECES.split(), "\n", "\t", " ", "'* * * * *'"]
HUGE = (
    "9" * 400,
    "9" * 5000,
    "10**400",
    "1e308",
    "1e-320",
    "-10**9",
    "2**1023",
    "2**1024",
    "10**9",
    "0x" + "f" * 300,
    "-1",
)
BOMBS = (
    "round(7, {h}) == 1",
    "round(v('env.a'), {h})[0] > 1",
    "9**9**9**9 > 1",
    "pow(3, {h}) > 1",
    "pow(3, {h}, 7) > 1",
    "1 << {h} > 0",
    "({h}) >> 3 > 0",
    "int('{h}') > 0",
    "float('{h}') > 0",
    "str({h}) == 'x'",
    "'a' * {h} == 'b'",
    "[0] * {h} == []",
    "v('env.a') * {h} > 1",
    "'%d' % {h} == ''",
    "'%*d' % ({h}, 1) == ''",
    "'{{:>{h}}}'.format(1) == ''",
    "len(range({h})) > 1",
    "sum(range({h})) > 1",
    "max(range({h})) > 1",
    "list(range({h})) == []",
    "[x for x in range({h})] == []",
    "any(x > {h} for x in range(10**9))",
    "sorted(range({h}))[0] == 1",
    "list(zip(range({h}), range({h}))) == 1",
    "sum([x * y for x in range(1000) for y in range(1000)]) > 1",
    "[[y for y in range(3000)] for x in range(3000)] == 1",
    "{h} in range({h})",
    "({h}) * ({h}) * ({h}) > 1",
    "({h}) ** ({h}) > 1",
    "({h}) // ({h} + 1) % 3 == 0",
    "tuple(enumerate(range({h})))[0] == 1",
    "v('env.a')[{h}:{h}:{h}] == 1",
    "v('env.a')[{h}] == 1",
    "percentile(v('env.a'), {h}) > 1",
    "time('{h}') == 1",
    "v('env.a', since='-{h}s')[0] > 1",
    "any(rate('env.rain', since='-{h}m', window='{h}s', unit='{h}h') > 1)",
    "cronjob('p', '*/{h} * * * *')",
    "cronjob('p', '{h} {h} {h} {h} {h}')",
    "cronjob('p', '0 0 30 2 *')",
    "after('p', since={h})",
    "~({h}) & ({h}) | ({h}) ^ 1 > 0",
    "abs({h}) + float({h}) > 1",
    "min([{h}] * 3 + [1.0]) > 1",
    "v('env.a') ** ({h}) > 1",
    "v('env.a') / 0 > 1",
    "v('env.a') % 0 > 1",
    "v('env.mixed') + 1 > 1",
    "v('env.text') > 1",
    "str(v('env.a') * 1000000) == ''",
    "[v('env.a'), v('env.a')] * 3 == 1",
    "(({h}) if v('env.a')[0] else ({h})) > 0",
)


def corpus() -> tuple[str, ...]:
    """Real rules and conditions, where they are to be had, and our own."""
    found = list(OWN_CORPUS)
    folder = SHARED / "conformance"
    for file, key in (("rules.jsonl", "rule"), ("conditions.jsonl", "condition"), ("vectors.jsonl", "condition")):
        path = folder / file
        if path.exists():
            found += [str(record.get(key, "")) for record in map(json.loads, path.read_text().splitlines())]
    return tuple(dict.fromkeys(found))


class Inputs:
    """The inputs of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.corpus = corpus()
        self._kinds: tuple[Callable[[random.Random], str], ...] = (
            self._noise,
            self._soup,
            self._expression,
            self._typed,
            self._mutated,
            self._mutated,
            self._mutated,
            self._nested,
            self._bomb,
            self._bomb,
        )

    def make(self, index: int) -> str:
        """The text of an input."""
        rng = random.Random(self.seed * 1_000_003 + index)
        return self._kinds[index % len(self._kinds)](rng)

    @staticmethod
    def _noise(rng: random.Random) -> str:
        length = rng.choice((1, 5, 30, 200, 5000))
        top = rng.choice((0x7F, 0xFF, 0xFFFF, 0x10FFFF))
        return "".join(chr(rng.randrange(top)) for _ in range(rng.randrange(length + 1)))

    @staticmethod
    def _soup(rng: random.Random) -> str:
        glue = rng.choice(("", " ", " "))
        return glue.join(rng.choice(TOKENS) for _ in range(rng.randrange(40)))

    def _expression(self, rng: random.Random) -> str:
        text = self._value(rng, rng.randrange(1, 6), "xyz")
        return (
            text if rng.random() < 0.3 else f"{text} {rng.choice(('>', '<', '==', 'in', '!='))} {self._atom(rng, '')}"
        )

    def _typed(self, rng: random.Random) -> str:
        """Mostly what the checker accepts, so that the evaluation has its share."""
        return self._bool(rng, rng.randrange(1, 5))

    def _bool(self, rng: random.Random, depth: int) -> str:
        if depth <= 0:
            simple = ("True", "False", "daylight()", "after('p')", "cronjob('p', '*/5 * * * *')", "after('p', since=9)")
            return rng.choice(simple)
        compare = rng.choice(("<", "<=", ">", ">=", "==", "!="))
        return rng.choice(
            (
                lambda: f"({self._bool(rng, depth - 1)} {rng.choice(('and', 'or'))} {self._bool(rng, depth - 1)})",
                lambda: f"not {self._bool(rng, depth - 1)}",
                lambda: f"({self._number(rng, depth - 1)} {compare} {self._number(rng, depth - 1)})",
                lambda: (
                    f"{rng.choice(('any', 'all'))}({self._series(rng, depth - 1)} {compare} {self._number(rng, 0)})"
                ),
                lambda: f"any({self._number(rng, 0)} {compare} x for x in {self._series(rng, depth - 1)})",
                lambda: f"({self._bool(rng, depth - 1)} if {self._bool(rng, 0)} else {self._bool(rng, depth - 1)})",
                lambda: f"{self._number(rng, depth - 1)} in {self._series(rng, depth - 1)}",
                lambda: f"{self._number(rng, 0)} < {self._number(rng, depth - 1)} <= {self._number(rng, 0)}",
            )
        )()

    def _number(self, rng: random.Random, depth: int) -> str:
        if depth <= 0:
            return rng.choice(("0", "1", "-2.5", "30", "1e3", "1e308", "time('hour')", "10**20", "2**1000", "7"))
        one = rng.choice(("avg", "sum", "min", "max", "len", "last", "count", "median", "stddev", "delta"))
        sign = rng.choice(("+", "-", "*", "/", "//", "%", "**"))
        return rng.choice(
            (
                lambda: f"{one}({self._series(rng, depth - 1)})",
                lambda: f"{one}({self._measured(rng)})",
                lambda: f"percentile({self._measured(rng)}, {self._number(rng, 0)})",
                lambda: f"({self._number(rng, depth - 1)} {sign} {self._number(rng, depth - 1)})",
                lambda: f"{self._series(rng, depth - 1)}[{rng.randrange(-3, 3)}]",
                lambda: f"round({self._number(rng, depth - 1)}, {rng.choice((0, 2, -2, 30, -30, 31))})",
                lambda: f"{rng.choice(('abs', 'int', 'float', '-', '+'))}({self._number(rng, depth - 1)})",
                lambda: f"sum({self._number(rng, depth - 1)} * x for x in {self._series(rng, depth - 1)})",
            )
        )()

    def _series(self, rng: random.Random, depth: int) -> str:
        if depth <= 0:
            return self._measured(rng)
        sign = rng.choice(("+", "-", "*", "/", "%", "**"))
        return rng.choice(
            (
                lambda: self._measured(rng),
                lambda: f"({self._series(rng, depth - 1)} {sign} {self._number(rng, depth - 1)})",
                lambda: f"({self._series(rng, depth - 1)} {sign} {self._series(rng, depth - 1)})",
                lambda: f"{self._series(rng, depth - 1)}[{rng.choice(('1:', ':-1', '::2', '::-1', '-3:', '5:2'))}]",
                lambda: (
                    f"[x {sign} {self._number(rng, 0)} for x in {self._series(rng, depth - 1)} if {self._bool(rng, 0)}]"
                ),
                lambda: f"sorted({self._series(rng, depth - 1)}, reverse=True)",
                lambda: f"range({self._number(rng, 0)})",
                lambda: f"-{self._series(rng, depth - 1)}",
            )
        )()

    def _value(self, rng: random.Random, depth: int, names: str) -> str:
        if depth <= 0:
            return self._atom(rng, names)
        inner = lambda: self._value(rng, depth - 1, names)  # noqa: E731 - many short uses
        return rng.choice(
            (
                lambda: f"({inner()} {rng.choice(OPERATORS)} {inner()})",
                lambda: f"({inner()} {rng.choice(OPERATORS)} {inner()})",
                lambda: f"{rng.choice(('-', '+', '~', 'not '))}{inner()}",
                lambda: f"({inner()} if {inner()} else {inner()})",
                lambda: f"[{', '.join(inner() for _ in range(rng.randrange(4)))}]",
                lambda: f"({inner()}, {inner()})",
                lambda: f"{inner()}[{inner()}]",
                lambda: f"{inner()}[{inner()}:{inner()}:{rng.choice(('', '-1', '2', '0'))}]",
                lambda: f"[{inner()} for {(n := rng.choice('xyz'))} in {inner()} if {n} > {self._atom(rng, names)}]",
                lambda: f"{rng.choice(('sum', 'any', 'all', 'max', 'list'))}({inner()} for x in {inner()})",
                lambda: f"{rng.choice(FUNCTIONS)}({', '.join(inner() for _ in range(rng.randrange(3)))})",
                lambda: f"{inner()}.{rng.choice(('mean()', 'max()', 'size', 'any()', '__class__', 'T'))}",
                lambda: self._measured(rng),
            )
        )()

    @staticmethod
    def _measured(rng: random.Random) -> str:
        name = rng.choice(NAMES)
        since = rng.choice(("", "", ", since='-5m'", ", since='-1h'", ", sensor='a'", ", last=True"))
        if rng.random() < 0.2:
            return f"rate('{name}'{since.replace(', last=True', '')}, window='10s')"
        return f"v('{name}'{since})"

    def _atom(self, rng: random.Random, names: str) -> str:
        choice = rng.randrange(8)
        if choice < 2:
            return self._measured(rng)
        if choice == 2 and names:
            return rng.choice(names)
        if choice == 3:
            return rng.choice(("'rain'", "''", "'a'", '"é"', "'\\x00'", "None", "True", "False"))
        if choice == 4:
            return rng.choice(HUGE)
        return rng.choice(("0", "1", "2", "-1", "0.5", "30", "1e3", "time('hour')", "3.0", "100"))

    def _mutated(self, rng: random.Random) -> str:
        text = rng.choice(self.corpus)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
            at = rng.randrange(len(text) + 1)
            to = min(len(text), at + rng.randrange(8))
            what = rng.randrange(5)
            if what == 0:
                text = text[:at] + text[to:]
            elif what == 1:
                text = text[:at] + rng.choice(TOKENS) + text[at:]
            elif what == 2:
                text = text[:at] + chr(rng.randrange(0x10FFFF)) + text[to:]
            elif what == 3:
                text = text[:to] + text[at:]
            else:
                other = rng.choice(self.corpus)
                text = text[:at] + other[rng.randrange(len(other) + 1) :]
        return text

    @staticmethod
    def _nested(rng: random.Random) -> str:
        depth = rng.choice((3, 30, 63, 64, 65, 200, 1000, 4000))
        opened, core, closed = rng.choice(
            (
                ("(", "1", ")"),
                ("[", "1", "]"),
                ("not ", "True", ""),
                ("-", "1", ""),
                ("~", "1", ""),
                ("abs(", "1", ")"),
                ("sum(x for x in [", "1", "])"),
                ("[x for x in ", "[1]", "]"),
                ("(1 if ", "True", " else 0)"),
                ("1 + (", "1", ")"),
                ("1 < ", "2", ""),
                ("2 ** ", "2", ""),
                ("", "v('env.a')", "[0]"),
                ("", "v('env.a')", ".mean()"),
                ("'a' ", "'b'", " 'c'"),
                ("(", "1", ""),
                ("[[", "", ""),
                ("max(1, *", "[1]", ")"),
                ("1 and ", "True", " or 0"),
                ("(x for x in ", "[1]", ")"),
            )
        )
        return f"{opened * depth}{core}{closed * depth} == 1"

    @staticmethod
    def _bomb(rng: random.Random) -> str:
        text = rng.choice(BOMBS)
        while "{h}" in text:
            text = text.replace("{h}", rng.choice(HUGE), 1)
        return text.replace("{{", "{").replace("}}", "}")
