"""Every function of the language, in one table: the checker, the compiler and the documentation read it.

`accepts` of a parameter names what may stand there:

- literals that decide what is stored or when the rule wakes: `name` (measurement), `since`, `length` (of time), `flag`,
  `unit`, `zone`, `cron`, `plugin`; they must be written out;
- values: `values` (series, list, tuple, range or iterator), `iterable` (those and texts), `number`, `numeric` (number
  or series), `integer`, `convertible` (anything that has a value of its own), `any`; `moment` is what `after` takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from . import kinds
from .kinds import Kind

LITERALS: Final = frozenset(("name", "since", "length", "flag", "unit", "zone", "cron", "plugin"))
"""Values of `accepts` that must be literals."""

UNITS: Final = ("year", "month", "day", "hour", "minute", "second", "microsecond")
"""What `time` tells."""

METHODS: Final = ("mean", "max", "min", "sum", "any", "all")
"""Methods of a series; `size` is its only other attribute."""

Returns = Callable[[tuple[Kind, ...]], Kind]
"""From the kinds of the positional arguments to the kind of the result."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `default`: as shown in the signature, empty when the argument is required."""

    name: str
    accepts: str
    default: str = ""
    by_position: bool = True
    by_name: bool = True


@dataclass(frozen=True, slots=True)
class Function:
    """`many`: takes any number of positional arguments of the kind of its first parameter. `meta`: takes `key='text'`
    filters. `rule`: belongs to rules and not to Python; it is not visible inside a generator expression.
    """

    name: str
    parameters: tuple[Parameter, ...]
    returns: Returns
    gives: str
    doc: str
    example: str
    many: bool = False
    meta: bool = False
    rule: bool = False
    ours: bool = False

    def signature(self) -> str:
        """The function as it is called."""
        parts = [f"{p.name}={p.default}" if p.default else p.name for p in self.parameters]
        if self.many:
            parts[0] = f"{self.parameters[0].name}, ..."
        if self.meta:
            parts.append("key='text', ...")
        return f"{self.name}({', '.join(parts)})"


def _is(kind: Kind) -> Returns:
    return lambda _arguments: kind


def _element(arguments: tuple[Kind, ...]) -> Kind:
    return kinds.element(arguments[0]) if len(arguments) == 1 else kinds.join(arguments)


def _sum(arguments: tuple[Kind, ...]) -> Kind:
    items = kinds.element(arguments[0])
    start = arguments[1] if len(arguments) > 1 else kinds.INT
    total = kinds.arithmetic("+", Kind("int", numpy=items.numpy) if items.name == "bool" else items, start)
    return Kind("number", numpy=total.numpy) if total.name == "float" else total  # the sum of nothing is the integer 0


def _absolute(arguments: tuple[Kind, ...]) -> Kind:
    return kinds.INT if arguments[0] == kinds.BOOL else arguments[0]


def _rounded(arguments: tuple[Kind, ...]) -> Kind:
    return kinds.INT if len(arguments) == 1 else arguments[0]


def _power(arguments: tuple[Kind, ...]) -> Kind:
    return kinds.arithmetic("**", arguments[0], arguments[1])


def _listing(name: str) -> Returns:
    return lambda arguments: kinds.listing(name, kinds.element(arguments[0]) if arguments else None)


def _zipped(arguments: tuple[Kind, ...]) -> Kind:
    return kinds.listing("iterator", kinds.items(*(kinds.element(each) for each in arguments)))


def _counted(arguments: tuple[Kind, ...]) -> Kind:
    return kinds.listing("iterator", kinds.items(kinds.INT, kinds.element(arguments[0])))


def _of(name: str, accepts: str, default: str = "") -> Parameter:
    return Parameter(name, accepts, default, by_name=False)


def _named(name: str, accepts: str, default: str) -> Parameter:
    return Parameter(name, accepts, default, by_position=False)


_SINCE = _named("since", "since", "'-1m'")
_ZONE = _named("tz", "zone", "'UTC'")
_VALUES = _of("values", "values")
_NUMBER = _is(kinds.NUMPY_FLOAT)

_MEASURED = (
    Function(
        "v",
        (Parameter("name", "name"), _SINCE, _named("last", "flag", "False")),
        _is(kinds.series()),
        "series",
        "The values of a measurement since then, in time order; `last=True`: the newest of each series only.",
        "any(v('env.temperature', since='-5m', sensor='bme680') > 30)",
        meta=True,
        rule=True,
    ),
    Function(
        "rate",
        (Parameter("name", "name"), _SINCE, _named("window", "length", "'1s'"), _named("unit", "length", "'1s'")),
        _is(kinds.series(kinds.NUMPY_FLOAT)),
        "series",
        "How fast a counter grows, per `unit`: the mean of its increases in each `window`, summed over the series.",
        "max(rate('env.raingauge.event_acc', since='-1h', window='5m', unit='1h')) > 10",
        meta=True,
        rule=True,
    ),
    Function(
        "avg",
        (_of("values", "mean"),),
        _NUMBER,
        "number",
        "The mean.",
        "avg(v('env.temperature')) > 30",
        rule=True,
    ),
    Function(
        "count",
        (_VALUES,),
        _is(kinds.INT),
        "number",
        "How many values there are, 0 for none; of a comparison, for how many it holds.",
        "count(v('env.count.car', since='-10m')) == 0",
        rule=True,
        ours=True,
    ),
    Function(
        "last",
        (_VALUES,),
        _element,
        "element",
        "The newest value.",
        "last(v('env.temperature', since='-1h')) < 0",
        rule=True,
        ours=True,
    ),
    Function(
        "median",
        (_VALUES,),
        _NUMBER,
        "number",
        "The middle value, or the mean of the middle two.",
        "median(v('env.pressure', since='-10m')) < 990",
        rule=True,
        ours=True,
    ),
    Function(
        "stddev",
        (_VALUES,),
        _NUMBER,
        "number",
        "The standard deviation of a sample (n - 1); unknown with fewer than two values.",
        "stddev(v('env.pressure', since='-10m')) > 2",
        rule=True,
        ours=True,
    ),
    Function(
        "percentile",
        (_VALUES, Parameter("q", "number")),
        _NUMBER,
        "number",
        "The q-th percentile, 0 to 100, linear between neighbours.",
        "percentile(v('env.sound.noise', since='-1h'), 95) > 70",
        rule=True,
        ours=True,
    ),
    Function(
        "delta",
        (_VALUES,),
        _NUMBER,
        "number",
        "The newest value minus the oldest.",
        "delta(v('env.pressure', since='-3h')) < -4",
        rule=True,
        ours=True,
    ),
)

_TIMED = (
    Function(
        "time",
        (Parameter("unit", "unit"), _ZONE),
        _is(kinds.INT),
        "number",
        f"A part of the time of day or date: {', '.join(UNITS)}.",
        "6 <= time('hour', tz='America/Chicago') < 20",
        rule=True,
    ),
    Function(
        "cronjob",
        (Parameter("name", "plugin"), Parameter("expr", "cron"), _ZONE),
        _is(kinds.BOOL),
        "bool",
        "True from each time of the cron expression for one minute, until the plugin `name` has run.",
        "cronjob('image-sampler', '*/10 6-18 * * *', tz='America/Chicago')",
        rule=True,
    ),
    Function(
        "after",
        (Parameter("name", "plugin"), Parameter("since", "moment", "None")),
        _is(kinds.BOOL),
        "bool",
        "True when the plugin has run; with a plugin as `since`, later than that one; with a number, more than so many "
        "seconds ago.",
        "after('image-sampler', since=600)",
        rule=True,
    ),
    Function(
        "daylight",
        (),
        _is(kinds.BOOL),
        "bool",
        "True from sunrise to sunset at the node; unknown where the node does not know its position.",
        "daylight() and cronjob('image-sampler', '*/5 * * * *')",
        rule=True,
        ours=True,
    ),
    Function(
        "sunrise",
        (_ZONE,),
        _is(kinds.FLOAT),
        "number",
        "When the sun rises today, in hours of the day: 6.5 is 06:30.",
        "time('hour') + time('minute') / 60 > sunrise() + 1",
        rule=True,
        ours=True,
    ),
    Function(
        "sunset",
        (_ZONE,),
        _is(kinds.FLOAT),
        "number",
        "When the sun sets today, in hours of the day.",
        "time('hour', tz='Europe/Riga') >= sunset(tz='Europe/Riga')",
        rule=True,
        ours=True,
    ),
)

_PYTHON = (
    Function("abs", (_of("x", "numeric"),), _absolute, "as x", "Magnitude.", "abs(-2) == 2"),
    Function("all", (_of("values", "iterable"),), _is(kinds.BOOL), "bool", "All are true.", "all([1, 2])"),
    Function("any", (_of("values", "iterable"),), _is(kinds.BOOL), "bool", "One is true at least.", "any([0, 1])"),
    Function("bool", (_of("x", "any", "False"),), _is(kinds.BOOL), "bool", "The truth of x.", "bool('a')"),
    Function(
        "enumerate",
        (Parameter("iterable", "iterable"), Parameter("start", "integer", "0")),
        _counted,
        "iterator",
        "Pairs (number, item).",
        "[i for i, x in enumerate([5, 7]) if x > 6] == [1]",
    ),
    Function(
        "float", (_of("x", "convertible", "0"),), _is(kinds.FLOAT), "number", "x as a float.", "float('1.5') == 1.5"
    ),
    Function(
        "int",
        (_of("x", "convertible", "0"), Parameter("base", "integer", "10")),
        _is(kinds.INT),
        "number",
        "x as an integer, cut towards zero.",
        "int('ff', 16) == 255",
    ),
    Function("len", (_of("x", "iterable"),), _is(kinds.INT), "number", "How many items.", "len([1, 2]) == 2"),
    Function(
        "list", (_of("iterable", "iterable", "[]"),), _listing("list"), "list", "Its items.", "list((1, 2)) == [1, 2]"
    ),
    Function(
        "max",
        (_of("values", "any"), _named("default", "any", "...")),
        _element,
        "element",
        "The greatest item, or of several arguments the greatest.",
        "max(v('env.temperature')) > 30",
        many=True,
    ),
    Function(
        "min",
        (_of("values", "any"), _named("default", "any", "...")),
        _element,
        "element",
        "The smallest item, or of several arguments the smallest.",
        "min(3, 4) == 3",
        many=True,
    ),
    Function(
        "pow",
        (Parameter("base", "numeric"), Parameter("exp", "numeric"), Parameter("mod", "any", "None")),
        _power,
        "number",
        "base ** exp, modulo mod.",
        "pow(2, 10) == 1024",
    ),
    Function(
        "range",
        (_of("start", "integer"), _of("stop", "integer", "..."), _of("step", "integer", "1")),
        _is(kinds.listing("range", kinds.INT)),
        "range",
        "Integers from start up to stop, without stop.",
        "sum(range(4)) == 6",
    ),
    Function(
        "reversed",
        (_of("values", "iterable"),),
        _listing("iterator"),
        "iterator",
        "The items from last to first.",
        "list(reversed([1, 2])) == [2, 1]",
    ),
    Function(
        "round",
        (Parameter("number", "number"), Parameter("ndigits", "any", "None")),
        _rounded,
        "number",
        "Rounded to the nearest, ties to even; ndigits from -30 to 30.",
        "round(2.567, 1) == 2.6",
    ),
    Function(
        "sorted",
        (_of("iterable", "iterable"), _named("reverse", "any", "False")),
        _listing("list"),
        "list",
        "The items in rising order.",
        "sorted([2, 1])[0] == 1",
    ),
    Function("str", (_of("x", "any", "''"),), _is(kinds.STR), "text", "x as a text.", "str(5) == '5'"),
    Function(
        "sum",
        (_of("values", "iterable"), Parameter("start", "numeric", "0")),
        _sum,
        "number",
        "The sum of the items.",
        "sum(v('env.count.car', since='-10m')) > 5",
    ),
    Function(
        "tuple",
        (_of("iterable", "iterable", "()"),),
        _listing("tuple"),
        "tuple",
        "Its items.",
        "tuple([1, 2]) == (1, 2)",
    ),
    Function(
        "zip",
        (_of("iterable", "iterable", "..."),),
        _zipped,
        "iterator",
        "Tuples of the first items, the second items, and so on.",
        "[a + b for a, b in zip([1, 2], [3, 4])] == [4, 6]",
        many=True,
    ),
)

GROUPS: Final = (("Measurements", _MEASURED), ("Time", _TIMED), ("Python", _PYTHON))
"""The functions as the documentation groups them."""

FUNCTIONS: Final = {function.name: function for _, group in GROUPS for function in group}
"""Every function by its name."""
